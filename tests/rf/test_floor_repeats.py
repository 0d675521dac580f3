"""Noise from repeated input, where the noise is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.data.sources import load_capture
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.floor_estimates import FEWEST_REPEATED, PAST, Estimate, by_repeats

PERIOD = 6000


def period(seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(PERIOD) + 1j * rng.standard_normal(PERIOD)
    return np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(PERIOD)) < 0.1))


def played(floor_db: float, periods: float = 3.0, turn_rad: float = 0.0) -> tuple[Any, Any]:
    """A period played over and over through an amplifier with memory, whose phase turns; noise at a known floor."""
    rng = np.random.default_rng(1)
    x = np.resize(period(), int(periods * PERIOD))
    y = x * (1 - 3.0 * np.abs(x) ** 2) + 0.2 * np.roll(x, 3)
    y = y * np.exp(1j * turn_rad * (np.arange(len(x)) // PERIOD))
    noise = rng.standard_normal(len(y)) + 1j * rng.standard_normal(len(y))
    return x, y + noise * np.sqrt(np.mean(np.abs(y) ** 2) * 10 ** (floor_db / 10) / 2)


def pairs(found: Estimate) -> int:
    """How many pairs of outputs were compared."""
    return int(found.caveat.partition(" pairs of samples")[0].replace(",", ""))


@pytest.mark.parametrize("floor_db", [-25.0, -42.0, -60.0])
@pytest.mark.parametrize("periods", [1.6, 2.0, 3.7])
@pytest.mark.parametrize("turn_rad", [0.0, 0.05])
def test_known_noise_is_found(floor_db: float, periods: float, turn_rad: float) -> None:
    found = by_repeats(*played(floor_db, periods, turn_rad))
    assert found.nmse_db == pytest.approx(floor_db, abs=0.2)
    assert pairs(found) >= FEWEST_REPEATED
    assert "drift" in found.caveat


def test_a_repeat_with_another_past_is_no_repeat() -> None:
    """Memory makes its outputs differ; only samples whose past is the same too are compared."""
    rng = np.random.default_rng(3)
    piece = rng.standard_normal(4000) + 1j * rng.standard_normal(4000)
    between = [rng.standard_normal(500) + 1j * rng.standard_normal(500) for _ in range(2)]
    x = np.concatenate([between[0], piece, between[1], piece])
    y = x + 0.5 * np.convolve(x, np.ones(PAST) / 16)[: len(x)]
    found = by_repeats(x, y + 1e-3 * (rng.standard_normal(len(x)) + 1j * rng.standard_normal(len(x))))
    assert found.nmse_db == pytest.approx(10 * np.log10(2e-6 / np.mean(np.abs(y) ** 2)), abs=0.2)
    assert pairs(found) < 4000 - PAST + 1


def test_no_repeat_no_number() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal(9000) + 1j * rng.standard_normal(9000)
    for signal in (x, x[:100], x[:0], np.zeros(9000, complex)):
        found = by_repeats(signal, signal)
        assert found.nmse_db is None
        assert "does not repeat" in found.caveat
    mild = load_capture(DataSection(source="synthetic/mild"))
    assert by_repeats(mild.train.x, mild.train.y).nmse_db is None


def test_a_copied_period_is_no_second_measurement() -> None:
    x, y = period(), period() * 2
    found = by_repeats(np.tile(x, 3), np.tile(y, 3))
    assert found.nmse_db is None
    assert "copied" in found.caveat


def test_an_output_without_power() -> None:
    x = np.tile(period(), 3)
    assert by_repeats(x, 0 * x).nmse_db is None
