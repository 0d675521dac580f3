"""Recommendations: the note's value beside ours, what stays open and why, and recipes that load."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.plan.plan import make_plan
from dpdrun.plan.recipe_writer import recipe_patch, recipe_text
from dpdrun.plan.recommendation import about, recommend, silent_lines
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.facts.plan import PlanFacts

FACTS = PlanFacts(kind="transformer", d_model=32, layers=2, window=32, conv=4, frames=300)
MODEL = {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32}


def test_note_is_shown_with_the_measured_value() -> None:
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
    assert value.why == "given; RG001 would set the same"


def test_open_fields_say_what_is_needed() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=32), "measured")
    assert this.total_steps is None
    assert this.left_open["train.burn_in"] == "needs model.layers (--layers) and model.window (--window)"
    assert this.left_open["train.epochs"] == "needs the amount of training data"
    assert "optim.lr" not in this.left_open


def test_gmp_has_nothing_to_recommend() -> None:
    assert not recommend(PlanFacts(kind="gmp", samples=1000), "measured").values


def test_json_is_stable() -> None:
    content = json.loads(json.dumps(recommend(FACTS, "measured").to_json(), allow_nan=False))
    assert list(content) == [
        "schema_version", "rules", "values", "total_steps", "warmup_steps", "warmup_steps_range", "rounded",
        "warnings", "left_open", "skipped",
    ]  # fmt: skip
    assert {"value", "low", "high", "note_value", "rule", "evidence", "why", "regret_db"} <= set(
        content["values"]["optim.lr"]
    )
    assert content["values"]["optim.warmup"]["note_value"] == "7.5%"


def test_rules_outside_their_box_are_named_with_the_field_and_the_reason() -> None:
    this = recommend(PlanFacts(kind="transformer", d_model=512, layers=2, window=32, frames=300), "measured")
    skipped = {each["code"]: each for each in this.to_json()["skipped"]}
    assert skipped["LR010"]["field"] == "optim.lr"
    assert "d_model is 512, the rule covers 8 to 256" in skipped["LR010"]["reason"]
    assert "LR011" not in skipped, "of another kind of model"
    assert all(not each["reason"].startswith("needs ") for each in skipped.values())
    assert [line for line in silent_lines(this) if "LR010 for optim.lr" in line and "they cover 8 to 256" in line]
    assert recommend(this.facts, "measured").to_json()["skipped"] == [], "nothing is asked for what is given"


@pytest.mark.parametrize(("rules", "facts"), [("measured", FACTS), ("note", replace(FACTS, d_model=512))])
def test_nothing_is_skipped_inside_the_boxes_and_by_the_note(rules: Any, facts: PlanFacts) -> None:
    assert recommend(facts, rules).skipped == []


def test_worth_is_shown_inside_of_what_was_measured_only() -> None:
    inside = recommend(FACTS, "measured").values
    assert inside["optim.lr"].worth is not None
    outside = recommend(replace(FACTS, d_model=1024), "measured").values
    assert [key for key, value in outside.items() if value.worth] == []


@pytest.mark.parametrize(
    ("d_model", "lr", "differs"),
    [(1024, 6e-5, False), (1024, 5e-5, False), (1024, 1e-4, False), (1024, 2e-4, True), (32, 3e-4, False),
     (32, 6e-5, True)],
)  # fmt: skip
def test_a_value_in_the_range_of_the_note_does_not_differ_from_it(d_model: int, lr: float, differs: bool) -> None:
    value = recommend(replace(FACTS, d_model=d_model, lr=lr), "measured").values["optim.lr"]
    assert value.differs_from_note == differs
    assert value.to_json()["note_low"] == (5e-5 if d_model == 1024 else None)


@pytest.mark.parametrize(
    ("key", "facts", "differs"),
    [
        ("optim.warmup", {"warmup": Percent("6%")}, False),
        ("optim.warmup", {"warmup": Percent("11%")}, True),
        ("optim.warmup", {"warmup": 7}, True),
        ("optim.warmup", {"warmup": 0}, True),
        ("train.batch_size", {"batch": 512}, False),
        ("train.batch_size", {"batch": 128}, True),
        ("optim.schedule", {"schedule": "cosine"}, True),
        ("optim.schedule", {"schedule": "plateau"}, False),
    ],
)
def test_ranges_of_shares_and_of_least_values(key: str, facts: dict[str, Any], differs: bool) -> None:
    assert recommend(replace(FACTS, **facts), "measured").values[key].differs_from_note == differs


def test_a_length_of_very_many_epochs_is_given_in_steps() -> None:
    this = recommend(PlanFacts(kind="gru", hidden=16, samples=62_873, burn_in=64), "note")
    assert "train.epochs" not in this.values
    value = this.values["train.max_steps"]
    assert (value.value, value.rule, this.total_steps) == (6000, "TL001", 6000)
    assert "4680 epochs" in value.why
    text = recipe_text(this, {"data": {"source": "synthetic/mild"}, "model": {"kind": "gru", "hidden": 16}}, "x")
    assert make_plan(load_text(text).recipe, 62_873).total_steps == 6000
    assert list(this.values).index("train.max_steps") < list(this.values).index("train.batch_size")


def test_given_epochs_stay_epochs() -> None:
    this = recommend(PlanFacts(kind="gru", hidden=16, samples=62_873, burn_in=64, epochs=5000), "note")
    assert this.values["train.epochs"].value == 5000


def test_head_of_a_recipe_says_which_rules_were_silent() -> None:
    this = recommend(replace(FACTS, d_model=512), "measured")
    text = recipe_text(this, {"data": {"source": "x"}, "model": MODEL | {"d_model": 512}}, "dpdrun recommend")
    assert "# not applicable: " in text
    assert "LR010 for optim.lr" in text


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
    patch = recipe_patch(this, recipe)
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
