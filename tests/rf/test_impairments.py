from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf import impairments


def noise(samples: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(samples) + 1j * rng.standard_normal(samples)) / np.sqrt(2)


X = noise(20_000, 0)


def test_gain_image_and_offset_are_separated() -> None:
    y = (1 + 1j) * X + 0.01 * np.sqrt(2) * np.conj(X) + 0.02j
    path = impairments.linear_path(X, y)
    assert path.gain == pytest.approx(1 + 1j)
    assert path.image_dbc == pytest.approx(-40.0, abs=1e-6)
    assert path.offset_db == pytest.approx(10 * np.log10(0.0004 / np.mean(np.abs(y) ** 2)), abs=1e-6)


def test_image_of_a_known_iq_imbalance() -> None:
    """Gain error g and phase error p of the Q path leave an image of (1 - g e^-jp) / (1 + g e^jp)."""
    g, p = 1.02, np.radians(1.0)
    y = X.real + 1j * g * (X.imag * np.cos(p) + X.real * np.sin(p))
    expected = 20 * np.log10(abs((1 - g * np.exp(-1j * p)) / (1 + g * np.exp(1j * p))))
    assert impairments.linear_path(X, y).image_dbc == pytest.approx(expected, abs=0.1)


def test_a_clean_path_shows_nothing() -> None:
    path = impairments.linear_path(X, 2j * X)
    assert path.image_dbc < -150
    assert path.offset_db < -150


def test_dc() -> None:
    assert impairments.dc_db(X - X.mean() + 0.1) == pytest.approx(-20.0, abs=0.1)
    assert impairments.dc_db(X - X.mean()) < -200


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        (1j * X, False),
        (np.conj(X), True),
        (X.imag + 1j * X.real, True),
        (np.roll(np.conj(X), 40), True),
        (noise(20_000, 5), False),
        (X / (1 + np.abs(X)), False),
    ],
    ids=["straight", "conjugate", "swapped", "late conjugate", "unrelated", "compressed"],
)
def test_conjugated(y: np.ndarray, expected: bool) -> None:
    assert impairments.conjugated(X, y) is expected


def test_rails() -> None:
    assert impairments.railed_samples(X) == 0
    assert impairments.railed_samples(np.round(X * 2**12)) == 0  # a converter that does not saturate
    clipped = np.clip(X.real, -1, 1) + 1j * X.imag
    assert impairments.railed_samples(clipped) == np.count_nonzero(np.abs(X.real) >= 1)
