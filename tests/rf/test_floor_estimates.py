"""Bounds and floors of captures whose noise is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.data.sources import load_capture
from dpdrun.data.synthetic import PRESETS, generate
from dpdrun.recipe.schema import DataSection
from dpdrun.rf.floor_estimates import (
    EDGE,
    FEWEST,
    FEWEST_REPEATED,
    PAST,
    SMALLEST,
    FloorEstimate,
    by_repeats,
    by_smallest_inputs,
)
from dpdrun.rf.metrics import nmse_db, one_tap_gain

PART = slice(60_000, 80_000)


@pytest.fixture(scope="module", params=["mild", "hard"])
def capture(request: pytest.FixtureRequest) -> tuple[Any, Any, Any, float]:
    """Input, output, output without noise, and the true floor."""
    preset = PRESETS[request.param]
    (x, y), (_, clean) = generate(preset), generate(preset, noise=False)
    return x[PART], y[PART], clean[PART], preset.noise_floor_db


def test_a_perfect_model_shows_the_noise(capture: tuple[Any, Any, Any, float]) -> None:
    x, y, clean, floor = capture
    rough = clean + 0.03 * x * np.abs(x) ** 2  # which errs at large inputs
    found = by_smallest_inputs(x, y, {"rough": rough})
    assert found.nmse_db is None
    assert nmse_db(y, rough) > floor + 0.5
    assert found.at_most_db == pytest.approx(nmse_db(y, clean) + 0.3, abs=0.3)
    assert "rough" in found.caveat


@pytest.mark.parametrize("error", [0.01, 0.03, 0.1])
def test_it_is_a_bound_from_above(capture: tuple[Any, Any, Any, float], error: float) -> None:
    x, y, clean, floor = capture
    found = by_smallest_inputs(x, y, {"bad": clean * (1 + error) - error * np.roll(x, 1)})
    assert found.at_most_db is None or found.at_most_db > floor
    gain = one_tap_gain(x, y)
    linear = by_smallest_inputs(x, y, {"linear": gain * x})
    assert linear.at_most_db is None or linear.at_most_db > floor + 3


def test_the_best_model_counts_and_what_is_not_finite_does_not(capture: tuple[Any, Any, Any, float]) -> None:
    x, y, clean, _ = capture
    rough = clean + 0.03 * x * np.abs(x) ** 2
    alone = by_smallest_inputs(x, y, {"rough": rough})
    assert by_smallest_inputs(x, y, {"worse": 1.1 * rough, "rough": rough, "broken": np.nan * y}) == alone
    assert by_smallest_inputs(x, y, {"broken": np.nan * y}).caveat == "no output is finite"


def test_the_ends_of_a_record_do_not_count(capture: tuple[Any, Any, Any, float]) -> None:
    x, y, clean, _ = capture
    rough = clean + 0.03 * x * np.abs(x) ** 2
    cold = rough.copy()
    cold[:EDGE] = cold[-EDGE:] = 0.0
    one, two = by_smallest_inputs(x, y, {"a": rough}), by_smallest_inputs(x, y, {"a": cold})
    assert one.at_most_db == two.at_most_db


def test_an_error_that_does_not_fall_says_nothing() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(8000) + 1j * rng.standard_normal(8000)
    found = by_smallest_inputs(x, x, {"a": x + 0.1 / (0.3 + np.abs(x))})
    assert found.at_most_db is None
    assert "says nothing" in found.caveat
    few = round(FEWEST / SMALLEST) + 2 * EDGE
    assert "too few" in by_smallest_inputs(x[: few - 20], x[: few - 20], {"a": x[: few - 20]}).caveat


def test_repeats_are_reported_with_their_number() -> None:
    rng = np.random.default_rng(0)
    x = np.tile(rng.standard_normal(6000) + 1j * rng.standard_normal(6000), 3)
    y = x + 0.01 * (rng.standard_normal(len(x)) + 1j * rng.standard_normal(len(x)))
    found = by_repeats(x, y)
    assert found.nmse_db == pytest.approx(-40.0, abs=0.2)
    assert "pairs of samples" in found.caveat
    assert by_repeats(x[:6000], y[:6000]) == FloorEstimate("repeats", None, None, "the input does not repeat itself")


def test_what_is_left() -> None:
    assert FloorEstimate("m", -42.0, None, "c").to_json(-40.0) == {
        "method": "m", "nmse_db": -42.0, "at_most_db": None, "caveat": "c", "left_db": 2.0, "left_at_least_db": None,
    }  # fmt: skip
    bound = FloorEstimate("m", None, -41.0, "c").to_json(-40.0)
    assert (bound["left_db"], bound["left_at_least_db"]) == (None, 1.0)


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


def pairs(found: FloorEstimate) -> int:
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
