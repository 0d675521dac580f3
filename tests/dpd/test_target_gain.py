"""The gain to aim at, and the drive without predistortion that it is compared with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.dpd.target_gain import Method, linear_drive, target_gain
from dpdrun.rf.metrics import Signal, one_tap_gain, rms, to_db

METHODS: tuple[Method, ...] = ("peak", "least_squares", "same_power")
RNG = np.random.default_rng(0)
X: Signal = 0.3 * (RNG.normal(size=4000) + 1j * RNG.normal(size=4000))


def amplifier(u: Signal) -> Signal:
    """Compresses, with AM/PM, a phase of its own and a gain of 4."""
    return np.asarray(4.0 * np.exp(0.7j) * u * (1 - (0.12 + 0.05j) * np.abs(u) ** 2))


@pytest.mark.parametrize("method", METHODS)
@given(gain=st.floats(1e-3, 1e3), turn=st.floats(-3.0, 3.0))
def test_a_linear_amplifier_has_one_gain(method: Method, gain: float, turn: float) -> None:
    assert target_gain(X, gain * np.exp(1j * turn) * X, method) == pytest.approx(gain, rel=1e-9)


def test_definitions() -> None:
    y = amplifier(X)
    assert target_gain(X, y, "peak") == pytest.approx(np.abs(y).max() / np.abs(X).max())
    assert target_gain(X, y, "same_power") == pytest.approx(np.sqrt(np.sum(np.abs(y) ** 2) / np.sum(np.abs(X) ** 2)))
    fit = np.linalg.lstsq(X[:, None], y, rcond=None)[0][0]
    assert target_gain(X, y, "least_squares") == pytest.approx(abs(fit))


def test_at_its_peaks_an_amplifier_that_compresses_has_less_gain_than_on_average() -> None:
    y = amplifier(X)
    assert target_gain(X, y, "peak") < 0.9 * target_gain(X, y, "least_squares")


@pytest.mark.parametrize(("x", "y"), [(0 * X, X), (X, 0 * X)])
def test_silence_has_no_gain(x: Signal, y: Signal) -> None:
    with pytest.raises(ValueError, match="silent"):
        target_gain(x, y, "peak")


@pytest.mark.parametrize("gain", [1.0, 3.0, 3.9])
def test_the_linear_drive_has_power_and_phase_of_the_target(gain: float) -> None:
    drive = linear_drive(amplifier, X, gain, float("inf"))
    y = amplifier(drive * X)
    assert to_db((rms(y) / (gain * rms(X))) ** 2) == pytest.approx(0.0, abs=2e-3)
    assert np.angle(one_tap_gain(X, y)) == pytest.approx(0.0, abs=0.05)


def test_the_linear_drive_keeps_the_limit() -> None:
    peak, heard = 0.4, []

    def plant(u: Signal) -> Signal:
        heard.append(np.abs(u).max())
        return amplifier(u)

    linear_drive(plant, X, 3.0, peak)
    assert heard
    assert max(heard) <= peak * (1 + 1e-12)
