"""Curves of amplifiers in closed form: polynomials, and spreads that are put in by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.gain_curve import gain_curve, spread_intervals
from dpdrun.rf.metrics import rms

RNG = np.random.default_rng(0)
X = RNG.standard_normal(40_000) + 1j * RNG.standard_normal(40_000)
X = X[np.abs(X) < 3 * rms(X)] / rms(X)


def polynomial(r: np.ndarray) -> np.ndarray:
    """Complex gain over |x|: gain expansion, then compression, and a phase that turns."""
    return 2.0 * np.exp(0.3j) * (1 + (0.03 - 0.02j) * r**2 - (0.008 + 0.003j) * r**4)


def test_a_polynomial_is_followed() -> None:
    found = gain_curve(X, X * polynomial(np.abs(X)))
    truth = polynomial(found.level * rms(X))
    assert len(found.level) > 25
    assert np.all(np.diff(found.level) > 0)
    assert found.gain_db == pytest.approx(20 * np.log10(np.abs(truth)), abs=0.01)
    assert found.phase_deg == pytest.approx(np.degrees(np.angle(truth)), abs=0.1)
    assert found.samples.sum() >= len(X) - 10 * 32
    assert found.am_am_spread_db < 0.02  # without memory there is none but what straight pieces of a curve leave
    assert found.am_pm_spread_deg < 0.2


def test_compression_is_against_small_signal() -> None:
    found = gain_curve(X, X * polynomial(np.abs(X)))
    small = np.abs(X) < 0.5 * rms(X)
    at_small = np.sum(np.abs(X[small]) ** 2 * polynomial(np.abs(X[small]))) / np.sum(np.abs(X[small]) ** 2)
    against = polynomial(found.level[-1] * rms(X)) / at_small
    assert found.compression_db == pytest.approx(-20 * np.log10(np.abs(against)), abs=0.01)
    assert found.compression_db > 1  # it compresses
    assert found.p1db_level is not None
    there = polynomial(np.array([found.p1db_level * rms(X)]))[0] / at_small
    assert 20 * np.log10(np.abs(there)) == pytest.approx(-1.0, abs=0.05)
    assert found.phase_shift_deg == pytest.approx(np.degrees(np.angle(against)), abs=0.1)


def test_a_linear_amplifier_has_a_flat_curve() -> None:
    found = gain_curve(X, (0.6 - 0.8j) * X)
    assert found.gain_db == pytest.approx(np.zeros(len(found.level)), abs=1e-9)
    assert found.phase_deg == pytest.approx(np.full(len(found.level), np.degrees(np.angle(0.6 - 0.8j))))
    assert found.compression_db == pytest.approx(0.0, abs=1e-9)
    assert found.phase_shift_deg == pytest.approx(0.0, abs=1e-9)
    assert found.am_am_spread_db == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("in_gain", "in_phase"), [(0.02, 0.0), (0.0, 0.03), (0.01, 0.02)])
def test_spread_is_in_db_and_degrees(in_gain: float, in_phase: float) -> None:
    """Samples lie on both sides of the curve by a known amount, as with memory."""
    one, other = RNG.choice([-1.0, 1.0], (2, len(X)))
    found = gain_curve(X, 3j * X * (1 + in_gain * one) * np.exp(1j * in_phase * other))
    assert found.am_am_spread_db == pytest.approx(20 * np.log10(np.e) * in_gain, rel=0.05, abs=0.01)
    assert found.am_pm_spread_deg == pytest.approx(np.degrees(in_phase), rel=0.05, abs=0.01)
    assert np.median(found.spread_db) == pytest.approx(20 * np.log10(np.e) * in_gain, rel=0.05, abs=0.01)
    assert np.median(found.spread_deg) == pytest.approx(np.degrees(in_phase), rel=0.05, abs=0.01)


def test_noise_spreads_less_where_the_signal_is_large() -> None:
    noise = RNG.standard_normal(len(X)) + 1j * RNG.standard_normal(len(X))
    found = gain_curve(X, X + 0.01 * noise)
    expected = 20 * np.log10(np.e) * 0.01 / (found.level * rms(X))
    middle = slice(3, 20)
    assert found.spread_db[middle] == pytest.approx(expected[middle], rel=0.15)


def test_a_phase_that_crosses_180_degrees_does_not_jump() -> None:
    found = gain_curve(X, X * np.exp(1j * (3.0 + 0.2 * np.abs(X))))
    assert np.max(np.abs(np.diff(found.phase_deg))) < 5
    assert found.phase_deg[-1] > 180


def test_zeros_in_the_input_are_harmless() -> None:
    x = np.concatenate([np.zeros(1000), X])
    assert gain_curve(x, 2 * x).am_am_spread_db == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (X, X[:-1], "equal length"),
        (0 * X, X, "gain of a signal without power"),
        (X, 0 * X, "no power at some level"),
        (X[:20], X[:20], "too few"),
    ],
)
def test_what_cannot_be_estimated(x: np.ndarray, y: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        gain_curve(x, y)


def test_an_interval_of_the_spread_has_the_width_of_theory() -> None:
    """Independent deviations e: the variance of mean e^2 over N is 2/N of its square, and a root halves that.

    Here e is weighted by |x|^2, exponential: the mean of the fourth power is twice the square of the second's.
    """
    noise = RNG.standard_normal((2, len(X)))
    y = X * (1 + 0.01 * noise[0] + 0.01j * noise[1])
    curve = gain_curve(X, y)
    found = spread_intervals(X, y, curve)
    weight = np.mean(np.abs(X) ** 4) / np.mean(np.abs(X) ** 2) ** 2
    relative = 0.5 * np.sqrt(((3 - 2) * weight + weight) / len(X))  # of the ratio of two sums, not of one
    assert set(found) == {"am_am_spread_db", "am_pm_spread_deg"}
    for name, limits in found.items():
        assert limits is not None
        spread = getattr(curve, name)
        assert limits.low < spread < limits.high
        assert limits.high - limits.low == pytest.approx(2 * 1.96 * relative * spread, rel=0.25), name


def test_a_short_record_has_no_interval_of_the_spread() -> None:
    x, y = X[:4000], X[:4000] * polynomial(np.abs(X[:4000]))
    assert set(spread_intervals(x, y, gain_curve(x, y)).values()) == {None}


def test_an_amplifier_without_compression_has_no_compression_point() -> None:
    assert gain_curve(X, 3.0 * X).p1db_level is None
