"""A model as operations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.quantization import network, reference
from dpdrun.recipe.schema import TransformerModel
from tests.quantization.conftest import PEAK, SMALL, case_of


def test_wide_words_do_what_the_model_does(case: Any) -> None:
    """Each bit halves the error: what is left at 18 bits is rounding, not another function."""
    program, weights = case.rounded(weights=18, activations=18, port=18, accumulator=60)
    assert case.loss_db(reference.run(program, weights, case.x)) < -65


def test_a_learned_mask_costs_no_bit() -> None:
    """A distance that lies 200 below the maximum of its head is left out; the maximum itself is not seen."""
    case = case_of("transformer")
    weights = dict(case.network.weights)
    mask = weights["block0.distance"].copy()
    assert mask.max(-1).tolist() == [0.0, 0.0]
    mask[0, 2:] = -200.0
    weights["block0.distance"] = mask
    from dataclasses import replace

    from dpdrun.quantization import calibration

    ranges, masked = calibration.observe(replace(case.network, weights=weights), case.x)
    first = next(each for each in masked.steps if each["op"] == "attention")
    assert first["distances"] == [[0, 1], [0, 1, 2, 3, 4]]
    assert ranges.keys() == case.ranges.keys()


def test_a_limit_is_kept_to_one_word() -> None:
    case = case_of("gmp, limited")
    program, weights = case.rounded()
    size = np.abs(reference.run(program, weights, case.x))
    assert size.max() < PEAK + 1.01 * 2.0 ** -program["output"]["fraction"]
    assert (size > PEAK - 2.0 ** -program["output"]["fraction"]).sum() > 5


@pytest.mark.parametrize(
    ("change", "instead"),
    [
        ({"window": "full"}, "set a number of samples"),
        ({"norm": "layer"}, "set off"),
        ({"embedding": "layernorm_mlp"}, "set linear"),
        ({"positions": "sinusoidal"}, "set relative"),
    ],
)
def test_settings_without_an_integer_form_are_refused_by_name(change: dict[str, Any], instead: str) -> None:
    key, value = next(iter(change.items()))
    section = TransformerModel(**SMALL | change)
    with pytest.raises(RunError, match=rf"this model has no fixed-point form: model\.{key}: {value}.*{instead}"):
        network.build(section, {}, scale_x=1, scale_y=1)
