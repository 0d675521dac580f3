"""Iterative learning control: it finds the input of amplifiers whose inverse is known, and keeps the limit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from dpdrun.dpd.ilc import PROBE_BINS, learn_input
from dpdrun.rf.metrics import Signal, nmse_db, rms

INF = float("inf")
RNG = np.random.default_rng(0)
WHITE = RNG.normal(size=4096) + 1j * RNG.normal(size=4096)
X: Signal = np.asarray(lfilter(firwin(65, 0.25), 1.0, WHITE))  # +-0.125 of the sample rate
X *= 0.3 / rms(X)


def memoryless(u: Signal) -> Signal:
    return np.asarray((2.0 + 0.5j) * u * (1 - 0.15 * np.abs(u) ** 2))


def untrained(u: Signal) -> Signal:
    """As a model may be where its training signal was empty: gain and phase there are nonsense, here -1.5."""
    spectrum, frequency = np.fft.fft(memoryless(u)), np.abs(np.fft.fftfreq(len(u)))
    return np.asarray(np.fft.ifft(spectrum * np.where(frequency > 0.35, -1.5, 1.0)))


def test_it_finds_the_inverse_of_a_memoryless_amplifier() -> None:
    found = learn_input(memoryless, X, 1.8 * X, INF)
    assert found.nmse_db < -60
    assert nmse_db(1.8 * X, memoryless(found.u)) == pytest.approx(found.nmse_db)
    assert list(found.history_db) == sorted(found.history_db, reverse=True), "no iteration makes it worse"


@pytest.mark.parametrize("reach", [0.3, 0.5])
def test_a_model_that_knows_nothing_out_of_band_does_not_stop_it(reach: float) -> None:
    found = learn_input(untrained, X, 1.8 * X, INF, reach=reach)
    assert found.history_db[-1] < -50


def test_the_plain_gain_is_stopped_by_such_a_model() -> None:
    """Why the inverse is taken by frequency: 1 / gain amplifies what it should correct."""
    u, best = X, nmse_db(1.8 * X, untrained(X))
    for _ in range(8):  # then it overflows
        u = u + (1.8 * X - untrained(u)) / (2.0 + 0.5j)
        best = min(best, nmse_db(1.8 * X, untrained(u)))
    assert best > learn_input(untrained, X, 1.8 * X, INF, reach=0.3).nmse_db + 6


def test_nothing_is_added_beyond_reach() -> None:
    found = learn_input(untrained, X, 1.8 * X, INF, reach=0.2)
    frequency = np.abs(np.fft.fftfreq(len(X)))
    beyond = frequency > 0.2 + 4.0 / PROBE_BINS
    assert beyond.any()
    assert np.allclose(np.fft.fft(found.u)[beyond], np.fft.fft(X)[beyond], atol=1e-9 * np.abs(np.fft.fft(X)).max())
    assert not np.allclose(found.u, X)


def test_the_limit_is_kept_and_costs_accuracy() -> None:
    free, peak = learn_input(memoryless, X, 1.8 * X, INF), 0.6
    held = learn_input(memoryless, X, 1.8 * X, peak)
    assert np.abs(free.u).max() > peak
    assert np.abs(held.u).max() <= peak * (1 + 1e-12)
    assert held.nmse_db > free.nmse_db + 10


def test_the_same_question_has_the_same_answer() -> None:
    first, second = (learn_input(memoryless, X, 1.8 * X, INF, iterations=3) for _ in range(2))
    assert np.array_equal(first.u, second.u)
    assert first.reason == "iteration limit"
    assert len(first.history_db) == 4


def test_it_ends_where_nothing_can_be_gained() -> None:
    found = learn_input(memoryless, X, memoryless(X), INF)
    assert len(found.history_db) < 10
    assert found.reason != "iteration limit"


@pytest.mark.parametrize("broken", [lambda u: u[:-1], lambda u: np.full_like(u, np.nan)])
def test_a_nonfinite_pa_model_is_reported(broken: object) -> None:
    with pytest.raises(ValueError, match="not finite, or not as long"):
        learn_input(broken, X, X, INF)  # type: ignore[arg-type]
