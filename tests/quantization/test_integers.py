"""Weights, shifts and bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.quantization.integers import fitting_fraction, round_half_up


def test_rounding_is_half_up_and_saturates() -> None:
    assert round_half_up(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]), 0).tolist() == [-2, -1, 0, 1, 2, 3]
    assert round_half_up(np.array([0.999, 3.0, -3.0]), 3, bits=4).tolist() == [7, 7, -8]


@pytest.mark.parametrize("largest", [1.0, 0.99, 0.9999999, 127 / 128, 3.7, 1e-3])
def test_the_finest_scale_that_fits(largest: float) -> None:
    fraction = int(fitting_fraction(largest, 8))
    assert round_half_up(largest, fraction) <= 127 < round_half_up(largest, fraction + 1)


@pytest.mark.parametrize("per_channel", ["off", "weights", "all"])
def test_weights_fit_their_bits_and_use_them(case: Any, per_channel: str) -> None:
    program, weights = case.rounded(weights=10, per_channel=per_channel)
    matrices = {term["weight"] for each in program["steps"] for term in each.get("terms", ()) if term["weight"]}
    assert all(np.abs(weights[name]).max() <= 512 for name in matrices)
    for each in program["steps"]:
        largest = [np.abs(weights[term["weight"]]).max() for term in each.get("terms", ()) if term["weight"]]
        assert not largest or max(largest) >= 255 or each["bias"], each["out"]


def test_stated_fractions_give_the_weights_back(case: Any) -> None:
    program, weights = case.rounded(weights=16, per_channel="all")
    for name, values in case.network.weights.items():
        fraction = np.asarray(program["weights"][name]["fraction"], float)
        assert np.abs(weights[name] * np.exp2(-fraction) - values).max() <= np.exp2(-fraction).max() / 2
        assert np.abs(weights[name]).max() < 2 ** (program["weights"][name]["bits"] - 1)


def test_an_accumulator_that_can_overflow_is_refused_with_its_bits(transformer: Any) -> None:
    program, _ = transformer.rounded(weights=12, accumulator=40)
    bits = {each["out"]: each["accumulator_bits"] for each in program["steps"]}
    with pytest.raises(RunError, match=rf"more than the 32 bits .*block0.mixed: {bits['block0.mixed']}.*wider"):
        transformer.rounded(weights=12, accumulator=32)
