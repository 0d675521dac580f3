"""The shape of the predistorter within a budget."""

from __future__ import annotations

import pytest

from dpdrun.auto.budget import predistorter_model, read_budget
from dpdrun.errors import RecipeError
from dpdrun.models import build
from dpdrun.plan.cost import size_of
from dpdrun.recipe.schema import TransformerModel


@pytest.mark.parametrize(
    ("most", "parameters", "layers"), [(500, 496, 1), (800, 784, 1), (1000, 974, 2), (2000, 1882, 2)]
)
def test_shapes_of_the_arena(most: int, parameters: int, layers: int) -> None:
    model = TransformerModel.model_validate(predistorter_model({"parameters": most}))
    assert (size_of(model).parameters, model.layers) == (parameters, layers)


@pytest.mark.parametrize("budget", [{"parameters": 250}, {"macs_per_sample": 700}, {"parameters": 900_000}])
def test_within_the_budget_and_trainable(budget: dict[str, int]) -> None:
    section = TransformerModel.model_validate(predistorter_model(budget))
    built = sum(each.numel() for each in build(section, scale_x=1.0, scale_y=1.0).parameters())
    assert built <= budget.get("parameters", 4000)
    assert size_of(section).macs_per_sample <= budget.get("macs_per_sample", 10**9)


def test_a_limit_of_macs_gives_the_shape_of_that_size() -> None:
    assert predistorter_model({"macs_per_sample": 680}) == predistorter_model({"parameters": 500})


def test_both_limits_hold() -> None:
    section = TransformerModel.model_validate(predistorter_model({"parameters": 1000, "macs_per_sample": 400}))
    assert size_of(section).macs_per_sample <= 400


def test_too_small_a_budget_names_the_smallest() -> None:
    with pytest.raises(RecipeError, match=r"the smallest predistorter has \d+ parameters .* too small"):
        predistorter_model({"parameters": 20})


@pytest.mark.parametrize("text", ["parameters", "parameters=0", "parameters=-4", "memory=10", "macs=1e3"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(RecipeError, match="--budget"):
        read_budget([text])


def test_reads_several() -> None:
    assert read_budget(["parameters=500", "macs=2_000"]) == {"parameters": 500, "macs_per_sample": 2000}


def test_bits_are_those_of_the_parameters() -> None:
    assert read_budget(["bits=8000"], bits=14) == {"parameters": 571}
    assert read_budget(["bits=8000"]) == {"parameters": 250}  # of 32 bits
    assert read_budget(["bits=8000", "parameters=200"], bits=14) == {"parameters": 200}
    assert read_budget(["parameters=200", "bits=1400"], bits=14) == {"parameters": 100}
