"""Ranges of tensors, and the scales that follow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.quantization import calibration, reference
from dpdrun.quantization.calibration import HEADROOM, Range


def test_minmax_is_the_finest_scale_that_holds_the_largest_value_with_headroom() -> None:
    found = Range.of(3)
    found.add(np.array([[0.1, 0.0, 3.0], [-0.7, 0.0, 1.0]]))
    assert found.largest.tolist() == [0.7, 0.0, 3.0]
    fraction = found.fraction(12, "minmax")
    for largest, bits in zip((0.7, 3.0), fraction[[0, 2]], strict=True):
        assert largest * HEADROOM * 2.0**bits <= 2047 < largest * HEADROOM * 2.0 ** (bits + 1)
    assert found.pooled().fraction(12, "minmax").tolist() == [9]


def test_a_rare_peak_is_clipped_where_that_costs_less_than_resolution() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(-0.7, 0.7, (100_000, 1))
    values[0] = 2.9  # two bits for one value of 100,000
    found = Range.of(1)
    found.add(values)
    assert found.fraction(14, "minmax")[0] == 11
    assert found.fraction(14, "percentile")[0] == 13
    # by the error itself: at 6 bits the grid is the larger part, at 14 the clipped value
    for bits in (6, 14):
        errors = {}
        for fraction in range(bits - 3, bits):
            scaled = HEADROOM * values * 2.0**fraction
            kept = np.clip(np.round(scaled), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            errors[fraction] = np.square(kept - scaled).mean() / 4.0**fraction
        assert found.fraction(bits, "mse")[0] == min(errors, key=errors.__getitem__)


def test_ranges_are_those_of_the_record(case: Any) -> None:
    """The tensors of 18 bits have the largest values that were noted, and nothing is clipped."""
    program, weights = case.rounded(weights=18, activations=18, port=18, accumulator=60)
    seen = reference.Seen(keep=True)
    reference.step(program, weights, reference.to_words(program, case.x), reference.initial_state(program), seen)
    assert sum(seen.saturated.values()) == 0
    for name, words in seen.trace.items():
        largest = np.abs(words * np.exp2(-np.asarray(program["tensors"][name]["fraction"], float))).max()
        assert largest == pytest.approx(case.ranges[name].largest.max(), rel=0.03, abs=2e-3), name


def test_tensors_have_the_bits_of_their_role(transformer: Any) -> None:
    program, _ = transformer.rounded(activations=12, state=14, port=16)
    bits = {name: tensor["bits"] for name, tensor in program["tensors"].items()}
    assert (bits["x"], bits["y"]) == (16, 16)
    assert (bits["block0.k"], bits["embedding"]) == (14, 14)  # read with a delay
    assert (bits["block0.q"], bits["conv"]) == (12, 12)


def test_decibel_is_the_power_of_the_change() -> None:
    y = np.exp(1j * np.arange(50.0))
    assert calibration.decibel(y * 1.001, y) == pytest.approx(-60)
