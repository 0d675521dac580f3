from __future__ import annotations

import numpy as np
import pytest

from dpdrun.rf.memory_polynomial import explained, instants_of, prediction
from dpdrun.rf.metrics import nmse_db, one_tap_nmse_db

RNG = np.random.default_rng(0)
X = (RNG.standard_normal(20_000) + 1j * RNG.standard_normal(20_000)) / np.sqrt(2)


def amplifier(x: np.ndarray) -> np.ndarray:
    late = np.concatenate([[0], x[:-1]])
    return x * (1 - 0.05 * np.abs(x) ** 2) + 0.1j * late * np.abs(late)


def test_what_is_a_memory_polynomial_is_explained_down_to_the_noise() -> None:
    y = amplifier(X)
    noise = 10 ** (-40 / 20) * np.sqrt(np.mean(np.abs(y) ** 2) / 2)
    noisy = y + noise * (RNG.standard_normal(len(y)) + 1j * RNG.standard_normal(len(y)))
    found = explained(X, noisy)
    assert found.polynomial_db == pytest.approx(-40, abs=0.5)
    assert found.one_tap_db == pytest.approx(one_tap_nmse_db(X, noisy), abs=0.4)  # of the last quarter
    at = np.arange(50, 19_000)
    value, slope = prediction(X, noisy, at)
    assert nmse_db(y[at], value) < -55  # 84 coefficients keep 84 / 16,000 of the noise
    assert nmse_db((y[at + 1] - y[at - 1]) / 2, slope) < -55


def test_what_does_not_belong_is_not_explained() -> None:
    found = explained(X, RNG.permutation(X))
    assert found.one_tap_db == pytest.approx(0, abs=0.1)
    assert found.polynomial_db > -0.1


def test_the_score_is_of_what_was_not_fitted() -> None:
    """A phase that turns in the last quarter alone counts in full."""
    y = X * np.where(np.arange(len(X)) < 15_000, 1, 1j)
    assert explained(X, y).one_tap_db == pytest.approx(3.0, abs=0.2)


def test_instants_have_their_taps() -> None:
    at = instants_of(1000)
    assert at[0] == 9
    assert at[-1] == 997
    many = instants_of(1_000_000)
    assert len(many) == len(set(many)) == 16_000
    assert np.all(np.diff(many) > 0)
    assert np.array_equal(many, instants_of(1_000_000))


@pytest.mark.parametrize("samples", [32_008, 60_000, 64_008])  # evenly spaced: every second, 3.75th, fourth
@pytest.mark.parametrize("frequency", [1 / 2, 1 / 4, 4 / 15, 1 / 3])
def test_instants_tell_a_tone_from_a_constant(samples: int, frequency: float) -> None:
    tone = np.exp(2j * np.pi * frequency * instants_of(samples))
    assert abs(np.mean(tone)) < 4 / np.sqrt(16_000)
