"""Sizes from data: what drives them, and that what is given is kept."""

from __future__ import annotations

import pytest

from dpdrun.plan.cost import size_of
from dpdrun.plan.recommendation import recommend
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.schema import GRUModel
from dpdrun.rules.advice import derive
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import law_of
from dpdrun.rules.plan.sizing import LONGEST_WINDOW, SHORTEST_WINDOW, WEIGHTS_OF_16, WEIGHTS_OF_GRU, heads_for

LOOK = {"kind": "transformer", "samples": 58_980, "memory": 20, "ahead": 0, "conv": 4}


def sized(**facts: object) -> PlanFacts:
    return derive(PlanFacts(**(LOOK | facts)), "measured").facts  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("memory", "window"), [(1, 32), (24, 32), (32, 32), (33, 64), (64, 64), (65, 128), (128, 128), (2048, 128)]
)
def test_window_holds_the_memory(memory: int, window: int) -> None:
    assert sized(memory=memory).window == window


def test_window_drives_burn_in_and_frame() -> None:
    short, long = sized(memory=20), sized(memory=512)
    assert (short.burn_in, short.frame) == (65, 256)
    assert (long.burn_in, long.frame) == (257, 1024)


@pytest.mark.parametrize(
    ("facts", "d_model"),
    [
        ({}, 16),
        ({"samples": 2 * WEIGHTS_OF_16}, 16),
        ({"samples": 2 * WEIGHTS_OF_16 - 1}, 8),
        ({"polynomial_db": -41.8, "noise_floor_db": -42.0}, 8),
        ({"polynomial_db": -41.4, "noise_floor_db": -42.0}, 16),
        ({"polynomial_db": -41.8}, 16),
    ],
)
def test_width_by_samples_and_what_is_left(facts: dict[str, object], d_model: int) -> None:
    assert sized(**facts).d_model == d_model


@pytest.mark.parametrize(("d_model", "heads"), [(1, 1), (8, 2), (15, 1), (16, 2), (32, 4), (20, 2), (256, 32)])
def test_heads_divide_the_width(d_model: int, heads: int) -> None:
    assert sized(d_model=d_model).heads == heads


def test_full_attention_needs_no_lookahead() -> None:
    assert sized(window=float("inf"), ahead=6).lookahead is None
    assert sized(ahead=6).lookahead == 6


def test_given_sizes_are_kept_and_compared() -> None:
    this = recommend(PlanFacts(**LOOK, d_model=64), "measured")  # type: ignore[arg-type]
    value = this.values["model.d_model"]
    assert (value.value, value.rule) == (64, None)
    assert value.why == "given; SZ011 would set 16"
    assert this.values["model.heads"].value == 8


def test_sizes_are_of_the_kind() -> None:
    keys = recommend(PlanFacts(**(LOOK | {"kind": "gru"})), "measured").values  # type: ignore[arg-type]
    assert [key for key in keys if key.startswith("model.")] == ["model.hidden", "model.layers"]


@pytest.mark.parametrize(
    ("facts", "hidden"),
    [
        ({}, 64),
        ({"samples": 27_156}, 64),
        ({"samples": 27_155}, 32),
        ({"samples": 7_443}, 16),
        ({"samples": 2_195}, 8),
        ({"samples": None}, 32),
        ({"polynomial_db": -41.8, "noise_floor_db": -42.0}, 8),
    ],
)
def test_units_of_a_gru_by_samples_and_what_is_left(facts: dict[str, object], hidden: int) -> None:
    assert sized(kind="gru", **facts).hidden == hidden


def test_weights_of_a_gru_are_those_of_the_model() -> None:
    for units, weights in WEIGHTS_OF_GRU.items():
        assert size_of(GRUModel(kind="gru", hidden=units)).parameters == weights
    assert set(WEIGHTS_OF_GRU) | {8} == set(law_of("gru").widths), "the sizes that were swept"


def test_depth_is_of_the_kind() -> None:
    assert (sized().layers, sized(kind="gru").layers) == (2, 1)


def test_without_an_inspection_sizes_are_left_open() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=16, samples=58_980), "measured")
    assert not [key for key in (*this.values, *this.left_open) if key.startswith("model.")]


def test_the_note_says_nothing_of_sizes() -> None:
    this = recommend(PlanFacts(**LOOK), "note")  # type: ignore[arg-type]
    assert not [key for key in this.values if key.startswith("model.")]


def test_limits_are_those_of_the_recipes() -> None:
    from pathlib import Path

    files = [path for path in sorted(Path("recipes").glob("*.yaml")) if path.name != "pipeline.yaml"]
    recipes = [load_recipe(path).recipe for path in files]
    amplifiers = [recipe.model for recipe in recipes if recipe.task == "pa"]
    windows = {model.window for model in amplifiers if model.kind == "transformer"}
    assert windows == {SHORTEST_WINDOW, LONGEST_WINDOW}


@pytest.mark.parametrize(("width", "heads"), [(5, 1), (8, 2), (32, 4), (10**30, 1024)])
def test_heads_divide_a_width_of_any_size(width: int, heads: int) -> None:
    assert heads_for(width) == heads
