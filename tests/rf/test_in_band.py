from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.spectrum import in_band_error_db

RATE = 1024e6  # with 1024 samples a segment, bins of 1 MHz
N = 8192


def tone(frequency_hz: float) -> np.ndarray:
    return np.exp(2j * np.pi * frequency_hz / RATE * np.arange(N))


def test_only_the_error_inside_the_band_counts() -> None:
    reference = tone(20e6)
    y = reference + 0.01 * tone(-50e6) + 0.1 * tone(150e6)
    assert in_band_error_db(reference, y, RATE, 200e6, nperseg=1024) == pytest.approx(-40.0, abs=1e-9)
    assert in_band_error_db(reference, y, RATE, 800e6, nperseg=1024) == pytest.approx(
        10 * np.log10(1e-4 + 1e-2), abs=1e-9
    )


def test_a_gain_is_an_error() -> None:
    reference = tone(20e6) + tone(-70e6)
    y = (1 + 0.02j) * reference
    assert in_band_error_db(reference, y, RATE, 200e6, nperseg=1024) == pytest.approx(20 * np.log10(0.02), abs=1e-9)


def test_the_reference_counts_only_inside_the_band_too() -> None:
    reference = tone(20e6) + 10 * tone(400e6)
    y = reference + 0.01 * tone(20e6)
    assert in_band_error_db(reference, y, RATE, 200e6, nperseg=1024) == pytest.approx(-40.0, abs=1e-9)


def test_no_error_at_all() -> None:
    assert in_band_error_db(tone(20e6), tone(20e6), RATE, 200e6, nperseg=1024) == -np.inf


@pytest.mark.parametrize(
    ("reference", "y", "band", "said"),
    [
        (tone(0), tone(0)[:-1], 200e6, "equal length"),
        (tone(0), tone(0), 1025e6, "does not fit"),
        (0 * tone(0), tone(0), 200e6, "no power in its band"),
    ],
)
def test_what_cannot_be_estimated(reference: np.ndarray, y: np.ndarray, band: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        in_band_error_db(reference, y, RATE, band, nperseg=1024)
