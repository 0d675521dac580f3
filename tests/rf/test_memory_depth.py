"""The sweep finds memories and pre-echoes that were built in, and scores as plain least squares does."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dpdrun.data.synthetic import PRESETS, generate
from dpdrun.rf import memory_depth
from dpdrun.rf.memory_depth import EXACT_DB, MemorySweep, fit_memory_sweep

Signal = NDArray[np.complex128]


def noise(samples: int, seed: int) -> Signal:
    rng = np.random.default_rng(seed)
    return 0.3 * (rng.normal(size=samples) + 1j * rng.normal(size=samples))


def delayed(x: Signal, delay: int) -> Signal:
    """Negative: future samples."""
    return np.roll(x, delay)


def measured(samples: int, delay: int, seed: int, *, floor: float = 1e-3) -> tuple[Signal, Signal]:
    """A cubic amplifier with an echo of its past, and noise."""
    x = noise(samples, seed)
    y = x - 0.2 * x * np.abs(x) ** 2 + 0.1 * delayed(x, delay)
    return x, y + floor * noise(samples, seed + 100)


@pytest.mark.parametrize(("delay", "memory"), [(0, 1), (2, 3), (9, 10), (20, 24), (31, 32), (50, 64), (100, 128)])
def test_memory_is_the_next_candidate_over_the_longest_delay(delay: int, memory: int) -> None:
    found = fit_memory_sweep(*measured(12_000, delay, 1), *measured(4_000, delay, 2))
    assert found.memory == memory
    assert not found.is_longer


def test_slow_dependence_on_the_power_is_found() -> None:
    """A gain that follows the mean power of the last hundreds of samples, as a bias circuit makes it."""

    def slow(seed: int) -> tuple[Signal, Signal]:
        rng = np.random.default_rng(seed)
        x = noise(20_000, seed) * np.repeat(rng.uniform(0.3, 1.0, 200), 100)  # bursts
        window = np.concatenate([np.zeros(300), np.full(200, 1 / 200)])
        mean = np.convolve(np.abs(x) ** 2, window)[: len(x)]  # of the samples 300 to 499 back
        return x, x * (1 - mean) + 1e-3 * noise(20_000, seed + 9)

    found = fit_memory_sweep(*slow(1), *slow(2))
    assert found.memory in (512, 1024)


def test_future_samples_are_counted_only_where_they_gain() -> None:
    def early(seed: int) -> tuple[Signal, Signal]:
        x = noise(8_000, seed)
        return x, x + 0.05 * delayed(x, -3) + 1e-3 * noise(8_000, seed + 50)

    found = fit_memory_sweep(*early(1), *early(2))
    assert found.lookahead == 3
    assert found.lookahead_gain_db > 10
    causal = fit_memory_sweep(*measured(8_000, 2, 1), *measured(8_000, 2, 2))
    assert causal.lookahead == 0


def test_score_is_that_of_least_squares() -> None:
    """The candidate of one sample against numpy's own solution with the same seven columns."""
    (x, y), (x_val, y_val) = measured(6_000, 5, 1), measured(3_000, 5, 2)
    found = fit_memory_sweep(x, y, x_val, y_val)
    before, after = 31, memory_depth.AHEAD[-1]
    reach = max(reach for reach, _ in found.candidates)
    before = reach - 1
    A, B = (np.stack([z * np.abs(z) ** p for p in range(memory_depth.EARLY_POWERS)], axis=1) for z in (x, x_val))
    c = np.linalg.lstsq(A[before:-after], y[before:-after], rcond=None)[0]
    error = y_val[before:-after] - B[before:-after] @ c
    expected = 10 * np.log10(np.sum(np.abs(error) ** 2) / np.sum(np.abs(y_val[before:-after]) ** 2))
    assert dict(found.candidates)[1] == pytest.approx(expected, abs=0.01)


def test_loops_continue_at_their_own_beginning() -> None:
    """Frames that were played in a loop: their memory wraps, so an exact fit is possible only if the sweep's does."""
    rng = np.random.default_rng(3)
    frames = rng.normal(size=(8, 1000)) + 1j * rng.normal(size=(8, 1000))
    x = frames.ravel()
    y = (frames + 0.3 * np.roll(frames, 5, axis=1)).ravel()
    looped = fit_memory_sweep(x, y, x, y, loop=1000)
    assert looped.memory == 6
    assert looped.polynomial_db < -60
    assert fit_memory_sweep(x[:4000], y[:4000], x[4000:], y[4000:]).polynomial_db > looped.polynomial_db + 20


@pytest.mark.parametrize("samples", [256, 300, 1000])
def test_short_records_get_short_sweeps(samples: int) -> None:
    found = fit_memory_sweep(*measured(samples, 1, 1), *measured(256, 1, 2))
    assert found.candidates
    assert all(np.isfinite(db) for _, db in found.candidates)
    assert found.candidates[-1][0] <= samples // 8
    assert found.memory == 2


def test_choices_of_a_sweep() -> None:
    this = MemorySweep(((1, -20.0), (2, -30.0), (4, -30.2), (8, -30.3)), ((0, -30.2), (2, -30.22), (4, -30.26)))
    assert this.memory == 4  # -30.0 is further than TIE_DB from the best
    assert not this.is_longer
    assert this.polynomial_db == -30.3
    assert this.lookahead == 4
    assert MemorySweep(((1, -20.0), (2, -30.0)), ((0, -30.0), (1, -30.04))).is_longer
    assert MemorySweep(((1, -20.0), (2, -30.0)), ((0, -30.0), (1, -30.04))).lookahead == 0


def test_a_power_step_is_no_memory() -> None:
    """The record is recorded at one level, and its last part at another one: a slow term could tell the two apart."""
    x = noise(24_000, 1)
    x[11_000:] *= 10 ** (-6 / 20)
    y = x - 0.2 * x * np.abs(x) ** 2 + 0.1 * delayed(x, 3) + 1e-3 * noise(24_000, 101)
    y[11_000:] *= 1.1 * np.exp(0.1j)  # another range of the receiver
    found = fit_memory_sweep(x[:18_000], y[:18_000], x[18_000:], y[18_000:])
    assert found.memory == found.near_memory == 4
    assert found.slow_gain_db < 0.1


def test_traps_are_no_matter_of_a_window() -> None:
    """The amplifier of synthetic/hard has traps that it takes 8,000 samples to leave: no window reaches that far."""
    samples = 40_000
    x, y = (part[:samples] for part in generate(PRESETS["hard"]))
    train, val = slice(int(0.6 * samples)), slice(int(0.6 * samples), int(0.8 * samples))
    found = fit_memory_sweep(x[train], y[train], x[val], y[val])
    assert 10 <= found.near_memory <= 20
    assert found.memory > 128
    assert found.slow_gain_db > 0.15


@pytest.mark.parametrize("width", [0.05, 0.35, 0.5])
@pytest.mark.parametrize("digits", [6, 9, 16])
def test_an_exact_filter_has_its_own_memory_and_no_future(width: float, digits: int) -> None:
    """Differences far below what a record can hold are of the arithmetic; nothing is read from them."""
    samples = 24_000
    spectrum = np.fft.fft(noise(samples, 5))
    spectrum[np.abs(np.fft.fftfreq(samples)) > width] = 0.0
    x = np.fft.ifft(spectrum)
    y = x + 0.2 * np.roll(x, 1)
    x, y = np.round(x, digits), np.round(y, digits)
    found = fit_memory_sweep(x[:16_000], y[:16_000], x[16_000:], y[16_000:])
    assert found.memory == 2
    assert found.lookahead == 0
    assert found.lookahead_gain_db < 1.0
    assert found.polynomial_db == pytest.approx(EXACT_DB)
