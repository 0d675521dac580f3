"""Recommendations: the note's value beside ours, what stays open and why, and recipes that load."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.plan import make_plan
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.plan_facts import PlanFacts
from dpdrun.rules.recommendation import about, patch_of, recipe_text, recommend

FACTS = PlanFacts(kind="transformer", d_model=32, layers=2, window=32, conv=4, frames=300)
MODEL = {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32}


def test_note_stands_beside_the_measured_value() -> None:
    values = recommend(FACTS, "measured").values
    assert values["optim.lr"].value > values["optim.lr"].note_value == 3e-4
    assert values["train.batch_size"].note_value == 256
    assert values["optim.schedule"].note_value == "plateau"


def test_what_the_note_does_not_speak_of_has_no_note_value() -> None:
    values = recommend(FACTS, "measured").values
    assert values["train.frame"].note_value is None
    assert values["train.epochs"].note_value is None
    assert values["train.eval_every"].note_value is None


def test_given_value_is_kept_and_compared() -> None:
    value = recommend(PlanFacts(kind="transformer", d_model=32, lr=1e-3, frames=300), "measured").values["optim.lr"]
    assert (value.value, value.rule, value.evidence) == (1e-3, None, None)
    assert value.why.startswith("given; LR010 would set")
    assert value.note_value == 3e-4


def test_given_value_that_the_rules_share() -> None:
    value = recommend(PlanFacts(kind="transformer", d_model=32, weight_decay=0.01), "measured").values[
        "optim.weight_decay"
    ]
    assert value.why == "given; RG001 says the same"


def test_open_fields_say_what_is_needed() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=32), "measured")
    assert this.total_steps is None
    assert this.left_open["train.burn_in"] == "needs the layers and the window of the model"
    assert this.left_open["train.epochs"] == "needs the amount of training data"
    assert "optim.lr" not in this.left_open


def test_gmp_has_nothing_to_recommend() -> None:
    assert not recommend(PlanFacts(kind="gmp", samples=1000), "measured").values


def test_json_is_stable() -> None:
    content = json.loads(json.dumps(recommend(FACTS, "measured").to_json(), allow_nan=False))
    assert list(content) == [
        "schema_version", "rules", "values", "total_steps", "warmup_steps", "warmup_steps_range", "rounded",
        "warnings", "left_open",
    ]  # fmt: skip
    assert {"value", "low", "high", "note_value", "rule", "evidence", "why", "regret_db"} <= set(
        content["values"]["optim.lr"]
    )
    assert content["values"]["optim.warmup"]["note_value"] == "7.5%"


@pytest.mark.parametrize("rules", ["note", "measured"])
def test_recipe_text_loads_and_plans_to_the_same_values(rules: str) -> None:
    this = recommend(FACTS, rules)
    text = recipe_text(this, {"data": {"source": "synthetic/mild"}, "model": MODEL}, "dpdrun recommend")
    recipe = load_text(text).recipe
    written = values_of(recipe)
    assert this.values
    assert all(written[key] == value.value for key, value in this.values.items())
    assert recipe.rules == rules
    assert make_plan(recipe, 58_980).lr == this.values["optim.lr"].value
    assert all(f"# {value.rule}: " in text for value in this.values.values() if value.rule)


def test_patch_fills_autos_only() -> None:
    text = "task: pa\ndata: {source: x}\nmodel: {kind: gru, hidden: 8}\noptim:\n  lr: 1e-3  # mine\n"
    recipe = load_text(text).recipe
    this = recommend(PlanFacts.of_recipe(recipe, frames=300), recipe.rules)
    patch = patch_of(this, recipe)
    assert "optim.lr" not in patch
    edited = apply_patch(text, patch)
    assert "lr: 1e-3  # mine" in edited
    filled = values_of(load_text(edited).recipe)
    assert patch
    assert all(filled[key] == value for key, value in patch.items())


@pytest.mark.parametrize(
    ("number", "said"), [(1954, 2000), (98, 100), (195, 200), (147, 150), (125, 125), (7, 7), (10, 10), (1, 1)]
)
def test_about(number: int, said: int) -> None:
    assert about(number) == said


@given(st.integers(1, 10**8))
def test_about_is_near(number: int) -> None:
    assert abs(about(number) - number) <= 0.03 * number
