"""A recipe made concrete: numbers, provenance, refusals, and the way through JSON."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.digest import changed_keys
from dpdrun.plan.measured import Predistortion
from dpdrun.plan.plan import Plan, PlanError, make_plan
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import Recipe
from dpdrun.rules.engine import Finding

SIZES: dict[str, dict[str, Any]] = {
    "transformer": {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32},
    "gru": {"kind": "gru", "hidden": 23},
    "gmp": {"kind": "gmp"},
}
SAMPLES = 58_980


def recipe(kind: str = "transformer", rules: str = "measured", **sections: Any) -> Recipe:
    content = {"task": "pa", "rules": rules, "data": {"source": "x"}, "model": SIZES[kind], **sections}
    return Recipe.model_validate(content)


@pytest.mark.parametrize("rules", ["note", "measured"])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_no_auto_is_left_but_those_of_data_and_machine(kind: str, rules: str) -> None:
    plan = make_plan(recipe(kind, rules), SAMPLES)
    left = {key for key, value in values_of(plan.recipe).items() if value == AUTO}
    of_the_data = {"data.sample_rate_hz", "data.bandwidth_hz", "data.cyclic", "data.split", "dpd.peak_limit"}
    of_the_data |= {"data.input", "data.output", "data.columns", "data.carriers", "data.channel_spacing_hz"}
    assert left == of_the_data | {"train.compile", "train.device", "train.threads"}
    assert plan.total_steps > 100


@pytest.mark.parametrize("rules", ["note", "measured"])
@pytest.mark.parametrize("kind", ["transformer", "gru", "gmp"])
def test_plan_survives_json(kind: str, rules: str) -> None:
    plan = make_plan(recipe(kind, rules), SAMPLES)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False))) == plan


@pytest.mark.parametrize("made", [None, Predistortion("ab", 1.25, 0.9), Predistortion(None, 2.0, math.inf)])
def test_what_the_data_decide_for_a_predistorter_survives_json(made: Predistortion | None) -> None:
    plan = replace(make_plan(recipe(), SAMPLES), predistortion=made)
    content = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    assert Plan.from_json(content) == plan
    if made is None:
        del content["predistortion"]  # as in plans from before there were any
        assert Plan.from_json(content) == plan
    else:
        assert plan.digest("x") != replace(plan, predistortion=replace(made, gain=1.0)).digest("x")
        with pytest.raises(RunError, match="damaged"):
            Plan.from_json(content | {"predistortion": {"gain": 1.0}})


def test_plan_with_everything_off_survives_json() -> None:
    optim = {"weight_decay": "off", "clip_norm": "off", "warmup": "off"}
    plan = make_plan(recipe(optim=optim, train={"checkpoint_every": "off"}), SAMPLES)
    assert (plan.weight_decay, plan.clip_norm, plan.warmup_steps, plan.checkpoint_every) == (0.0, math.inf, 0, 0)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False))) == plan


def test_numbers_are_those_of_the_recipe() -> None:
    optim = {"lr": 2e-3, "beta1": 0.8, "beta2": 0.9, "eps": 1e-9, "weight_decay": 0.1, "clip_norm": 3.0,
             "warmup": 11, "schedule": "linear", "lr_end": "10%"}  # fmt: skip
    train = {"epochs": 2.5, "batch_size": 10, "frame": 300, "burn_in": 100, "eval_every": 7, "checkpoint_every": 9}
    plan = make_plan(recipe(optim=optim, train=train), 1999)
    assert plan.frames_per_epoch == 10  # 1999 samples, 200 scored in each frame
    assert plan.total_steps == 3  # ceil(2.5 x 10 / 10)
    assert (plan.lr, plan.beta1, plan.beta2, plan.eps) == (2e-3, 0.8, 0.9, 1e-9)
    assert (plan.weight_decay, plan.clip_norm, plan.schedule, plan.lr_end) == (0.1, 3.0, "linear", 0.1)
    assert (plan.batch_size, plan.frame, plan.burn_in, plan.eval_every, plan.checkpoint_every) == (10, 300, 100, 7, 9)


def test_warmup_longer_than_the_run_is_refused() -> None:
    with pytest.raises(PlanError, match="warmup") as error:
        make_plan(recipe(optim={"warmup": 5000}, train={"epochs": 10}), SAMPLES)
    assert error.value.conflicts[0][0] == "optim.warmup"


def test_long_warmup_is_a_warning() -> None:
    plan = make_plan(recipe(optim={"warmup": "40%"}), SAMPLES)
    assert [finding.code for finding in plan.warnings] == ["WU101"]
    assert plan.warmup_steps == round(0.4 * plan.total_steps)


def test_max_steps_instead_of_epochs() -> None:
    plan = make_plan(recipe(train={"max_steps": 123}), SAMPLES)
    assert plan.total_steps == 123
    assert plan.recipe.train.epochs == AUTO
    assert plan.provenance["train.epochs"].why == "train.max_steps sets the length"
    assert make_plan(plan.recipe, SAMPLES).total_steps == 123  # the completed recipe can be planned again


def test_completed_recipe_gives_the_same_plan() -> None:
    plan = make_plan(recipe(), SAMPLES)
    again = make_plan(plan.recipe, SAMPLES)
    assert replace(again, provenance=plan.provenance) == plan


def test_provenance_covers_every_value() -> None:
    plan = make_plan(recipe(optim={"lr": 1e-3, "beta1": AUTO}), SAMPLES)
    assert list(plan.provenance) == list(values_of(plan.recipe))
    origin = plan.provenance
    assert (origin["optim.lr"].origin, origin["optim.lr"].rule) == ("user", None)
    assert (origin["optim.beta1"].origin, origin["optim.beta1"].rule) == ("rule", "OP001")
    assert origin["optim.beta1"].evidence == "cited"
    assert origin["train.seed"].origin == "default"
    assert all(each.why for each in origin.values())


def test_gmp_has_no_optimizer() -> None:
    plan = make_plan(recipe("gmp"), SAMPLES)
    assert (plan.total_steps, plan.frame, plan.batch_size, plan.lr, plan.warnings) == (0, 0, 0, 0.0, [])


def test_frame_longer_than_the_data_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.frame 256 is longer than the training split"):
        make_plan(recipe(train={"frame": 256}), 200)


@pytest.mark.parametrize("name", ["lookahead", "conv"])
def test_taps_longer_than_the_data_are_refused(name: str) -> None:
    content = {"task": "pa", "data": {"source": "x"}, "model": SIZES["transformer"] | {name: 10_000_000}}
    with pytest.raises(RecipeError, match=rf"model\.{name} 10000000 is longer than the training split"):
        make_plan(Recipe.model_validate(content), SAMPLES)


def test_small_record_gets_a_small_frame() -> None:
    plan = make_plan(recipe("gru"), 1000)
    assert plan.burn_in < plan.frame <= 125


def test_user_burn_in_that_the_users_frame_cannot_hold_is_refused() -> None:
    with pytest.raises(PlanError, match="burn_in"):
        make_plan(recipe(train={"frame": 64, "burn_in": 64}), SAMPLES)


def test_auto_burn_in_yields_to_the_users_frame() -> None:
    assert make_plan(recipe(train={"frame": 64}), SAMPLES).burn_in == 32


def test_digest_is_of_what_decides_the_weights() -> None:
    plan = make_plan(recipe(), SAMPLES)
    digest = plan.digest("data")
    assert len(digest) == 64
    assert make_plan(recipe(), SAMPLES).digest("data") == digest
    assert plan.digest("other data") != digest
    assert make_plan(recipe(train={"seed": 1}), SAMPLES).digest("data") != digest
    assert make_plan(recipe(optim={"lr": 1e-3}), SAMPLES).digest("data") != digest
    assert make_plan(recipe(train={"checkpoint_every": 5}), SAMPLES).digest("data") == digest
    assert replace(plan, provenance={}).digest("data") == digest
    assert plan.at(data_source="/elsewhere/x.npz", pa="/elsewhere/pa").digest("data") == digest, "paths are not counted"
    assert plan.at(data_source="/elsewhere/x.npz", pa="off").recipe.data.source == "/elsewhere/x.npz"


def test_changed_keys_are_those_that_the_digest_counts() -> None:
    plan = make_plan(recipe(), SAMPLES)
    other = make_plan(recipe(train={"seed": 1, "checkpoint_every": 5, "on_finding": "stop"}), SAMPLES)
    moved = other.at(data_source="y", pa="z")
    assert changed_keys(plan.to_json(), moved.to_json()) == ["train.seed"]
    adapting = make_plan(recipe(train={"on_finding": "adapt"}), SAMPLES)
    assert changed_keys(plan.to_json(), adapting.to_json()) == ["train.on_finding"]
    assert adapting.digest("data") != plan.digest("data")


@pytest.mark.parametrize("name", ["lr", "eps", "lr_end"])
def test_every_number_may_be_infinite(name: str) -> None:
    plan = replace(make_plan(recipe(), SAMPLES), **{name: math.inf})
    assert Plan.from_json(json.loads(json.dumps(plan.to_json(), allow_nan=False))) == plan


def test_plan_of_a_later_version_is_refused() -> None:
    with pytest.raises(RunError, match="schema_version is 2"):
        Plan.from_json(make_plan(recipe(), SAMPLES).to_json() | {"schema_version": 2})


@pytest.mark.parametrize(
    "damage",
    [
        {"lr": "fast"}, {"total_steps": None}, {"total_steps": -1}, {"total_steps": 10**400}, {"recipe": {}},
        {"recipe": 3}, {"provenance": {"a": 1}}, {"warnings": 1}, {"warnings": [{"message": "m", "severity": 3}]},
        {"provenance": {"optim.lr": {"origin": "rule", "rule": 65537, "why": "", "evidence": None}}},
        {"provenance": {"optim.lr": {"origin": "rule", "rule": "LR010", "why": "", "evidence": "auto"}}},
    ],
)  # fmt: skip
def test_damaged_plan_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(RunError, match="damaged") as refused:
        Plan.from_json(make_plan(recipe(), SAMPLES).to_json() | damage)
    assert f": {next(iter(damage))}" in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_origin_of_a_value_that_the_recipe_lacks_is_passed_over() -> None:
    plan = make_plan(recipe(), SAMPLES)
    origin = plan.to_json()["provenance"]["optim.lr"]
    older = {"train.shard": origin, "optim.nothing": origin, "model": origin, "": origin, "optim.lr.x": origin}
    content = plan.to_json()
    assert Plan.from_json(content | {"provenance": content["provenance"] | older}) == plan


def test_findings_of_a_plan_survive_json() -> None:
    finding = Finding(
        "m", {"optim.lr": 1e-3}, "warning", step=3, evidence={"n": 2}, advice="a", code="AA101", slug="s", fix="safe"
    )
    plan = replace(make_plan(recipe(), SAMPLES), warnings=[finding])
    content = plan.to_json()
    content["warnings"][0]["of_a_later_version"] = 1
    assert Plan.from_json(content) == plan


def test_plan_without_a_key_is_refused() -> None:
    content = make_plan(recipe(), SAMPLES).to_json()
    del content["total_steps"]
    with pytest.raises(RunError, match="total_steps"):
        Plan.from_json(content)
