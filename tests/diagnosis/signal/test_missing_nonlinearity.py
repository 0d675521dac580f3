"""Gains by level against least squares by hand; fits against scipy's solver; shares that were put in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.diagnosis.signal import missing_nonlinearity
from dpdrun.diagnosis.signal.missing_nonlinearity import (
    COEFFICIENTS,
    FIR_TAPS,
    against_fits,
    by_level,
    left_by_curves,
)

Signal = NDArray[np.complex128]
N = 8000


def noise(seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return (rng.standard_normal(N) + 1j * rng.standard_normal(N)) / np.sqrt(2)


X = np.fft.ifft(np.fft.fft(noise(0)) * (np.abs(np.fft.fftfreq(N)) < 0.15)) * 1.8
CUBIC = X * np.abs(X) ** 2
Y = 3 * X - 0.2 * CUBIC + 0.1 * np.roll(X, 2)


def test_gain_of_each_level() -> None:
    found = by_level(X, Y, Y, 10)
    order = np.argsort(np.abs(X))
    for group, gain_db in zip(np.array_split(order, 10), found["target_gain_db"], strict=True):
        gain = np.linalg.lstsq(X[group, None], Y[group], rcond=None)[0][0]
        assert gain_db == pytest.approx(20 * math.log10(abs(gain)))
    assert found["model_gain_db"] == pytest.approx(found["target_gain_db"])
    assert found["level_share"] == 0.0
    assert found["model_gain_deg"] == pytest.approx(found["target_gain_deg"])


def test_share_of_a_constant_gain_is_all_of_the_error() -> None:
    found = by_level(X, 3 * X - 0.2 * CUBIC, X, 10)
    assert found["level_share"] > 0.7  # ten steps do not follow a curve quite


def test_angle_of_each_level_without_jumps() -> None:
    found = by_level(X, X * np.exp(1j * (2.5 + 0.3 * np.abs(X) ** 2)), X, 10)
    order = np.argsort(np.abs(X))
    for group, angle in zip(np.array_split(order, 10), found["target_gain_deg"], strict=True):
        expected = np.degrees(2.5 + 0.3 * np.average(np.abs(X[group]) ** 2, weights=np.abs(X[group]) ** 2))
        assert angle == pytest.approx(expected, abs=3.0)  # the mean of the angles, not the angle of the mean
    assert found["target_gain_deg"][-1] > 181
    assert np.ptp(found["model_gain_deg"]) < 1e-9


@pytest.mark.parametrize("spread", [0.01, 0.1])
def test_curve_leaves_the_memory_and_nothing_of_a_curve(spread: float) -> None:
    static = X * (1 - 0.1 * np.abs(X) ** 2) * np.exp(0.2j * np.abs(X))
    memory = spread * np.roll(X, 40)
    of_y, of_p = left_by_curves(X, static + memory, static)
    assert of_y == pytest.approx(20 * math.log10(spread * np.linalg.norm(X) / np.linalg.norm(static)), abs=0.5)
    assert of_p < -60
    assert left_by_curves(X, static, 2j * X)[1] < -250


@pytest.mark.parametrize("size", [0.1, 1.0, 3.0])
def test_noise_is_no_wrong_gain(size: float) -> None:
    found = by_level(X, Y, Y + size * noise(3), 10)
    assert found["level_share"] < 0.02


def test_silence_has_no_gain() -> None:
    quiet = np.where(np.arange(N) < N // 5, 0, X)
    assert by_level(quiet, Y, Y, 10) == {}
    assert by_level(X, Y, np.zeros_like(Y), 10) == {}


def test_linear_fit_is_that_of_a_direct_solver() -> None:
    found = against_fits(X, Y, Y)
    inside = np.arange(FIR_TAPS[-1], N + FIR_TAPS[0])
    A = np.stack([X[inside - tap] for tap in FIR_TAPS], axis=1)
    left = Y[inside] - A @ np.linalg.lstsq(A, Y[inside], rcond=1e-9)[0]
    expected = 20 * math.log10(np.linalg.norm(left) / np.linalg.norm(Y[inside]))
    assert found["linear_nmse_db"] == pytest.approx(expected, abs=0.05)
    assert found["polynomial_nmse_db"] < -80


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("level", [0.001, 0.3])
def test_share_of_the_nonlinearity_whatever_the_noise(share: float, level: float) -> None:
    found = against_fits(X, Y, 3 * X - share * 0.2 * CUBIC + level * noise(4))
    assert found["nonlinear_share"] == pytest.approx(share, abs=0.08)


def test_no_share_where_it_is_unknown() -> None:
    linear = 3 * X + 0.1 * noise(5)
    for y, p in ((linear, 3 * X), (Y, Y + 30 * noise(6))):
        found = against_fits(X, y, p)
        assert found["nonlinear_share"] is None


def test_share_knows_that_an_error_at_the_peaks_says_little() -> None:
    """Bursts of error where the nonlinearity is: their few peaks decide, and the share is as good as a guess."""
    bursts = np.fft.ifft(np.fft.fft(noise(7)) * (np.abs(np.fft.fftfreq(N)) < 0.1)) * np.abs(X) ** 2
    white = noise(8) * np.linalg.norm(bursts) / np.linalg.norm(noise(8))
    shares = []
    for size in (0.05, 2.0):
        found = against_fits(X, Y, Y + size * bursts)
        shares.append(found["nonlinear_share"])
    assert shares[0] == pytest.approx(1.0, abs=0.1)
    assert shares[1] is None
    even = against_fits(X, Y, Y + 2.0 * white)
    assert even["nonlinear_share"] == pytest.approx(1.0, abs=0.3)


def test_short_record_is_not_fitted() -> None:
    short = missing_nonlinearity.ROWS_PER_COEFFICIENT * COEFFICIENTS - 1
    assert against_fits(X[:short], Y[:short], Y[:short]) == {}
    assert against_fits(X[: short + 1], Y[: short + 1], Y[: short + 1])
