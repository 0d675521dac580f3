"""The number of torch threads of a plan: from the work of a step and the cores, never from a clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dpdrun.data.sources import load_capture
from dpdrun.plan import threads
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.plan.prepare import prepare
from dpdrun.plan.threads import GRAIN_S, seconds_per_call, threads_to_predict, threads_to_train, with_threads
from dpdrun.recipe.loader import load_recipe, load_text
from dpdrun.recipe.schema import GRUModel, Recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(path for path in RECIPES.glob("*.yaml") if path.stem != "pipeline")
SAMPLES = 58_980


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "available_threads", lambda processes=1: 8 // processes)


def plan_of(d_model: int = 16, batch: int = 8, threads: Any = "auto", **model: Any) -> Plan:
    sizes = {"kind": "transformer", "d_model": d_model, "layers": 2, "heads": 2, "window": 32, **model}
    content: dict[str, Any] = {
        "task": "pa", "data": {"source": "x"}, "model": sizes,
        "train": {"batch_size": batch, "frame": 256, "burn_in": 64, "max_steps": 100, "threads": threads},
        "optim": {"lr": 1e-3},
    }  # fmt: skip
    return make_plan(Recipe.model_validate(content), SAMPLES)


@pytest.mark.parametrize(
    "path", sorted(set(RECIPES.glob("*.yaml")) - {RECIPES / "pipeline.yaml"}), ids=lambda path: path.stem
)
def test_shipped_recipes_train_in_one_thread(path: Path) -> None:
    recipe = load_recipe(path).recipe
    assert threads_to_train(make_plan(recipe, SAMPLES)) == 1


def test_threads_follow_the_work_of_a_step_up_to_the_cores() -> None:
    counts = [threads_to_train(plan_of(d_model, batch)) for d_model, batch in ((16, 8), (64, 32), (128, 32), (512, 64))]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert 1 < counts[1] < 8
    assert counts[-1] == 8


def test_a_thread_has_its_share_of_an_operation() -> None:
    plan = plan_of(64, 32)
    assert threads_to_train(plan) == int(seconds_per_call(plan) / GRAIN_S)


def test_processes_and_passes_share_the_work_and_the_cores() -> None:
    plan = plan_of(64, 32)
    assert seconds_per_call(plan, processes=4) == pytest.approx(seconds_per_call(plan) / 4)
    train = plan.recipe.train.model_copy(update={"accumulate": 4})
    passes = replace(plan, recipe=plan.recipe.model_copy(update={"train": train}))
    assert seconds_per_call(passes) == pytest.approx(seconds_per_call(plan) / 4)
    assert with_threads(plan_of(512, 64), processes=4).recipe.train.threads == 2


def test_a_recurrence_is_many_small_operations() -> None:
    content = {"kind": "gru", "hidden": 64}
    gru = make_plan(
        Recipe.model_validate({"task": "pa", "data": {"source": "x"}, "model": content, "optim": {"lr": 1e-3}}), SAMPLES
    )
    assert seconds_per_call(gru) < 10e-6
    assert threads_to_train(gru) == 1


def test_attention_to_the_whole_frame_counts_by_its_length() -> None:
    full, window = (seconds_per_call(plan_of(window=window, positions="none")) for window in ("full", 128))
    assert full == pytest.approx(window)  # 256 keys each: the frame, and a block and the one before


def test_direct_learning_runs_the_pa_model_too() -> None:
    plan, pa = plan_of(64, 32), GRUModel(kind="gru", hidden=16)
    dpd = plan.recipe.dpd.model_copy(update={"learning": "direct"})
    direct = replace(plan, recipe=plan.recipe.model_copy(update={"dpd": dpd}))
    assert seconds_per_call(direct, pa) < seconds_per_call(plan)  # thousands of small operations more
    ilc = plan.recipe.dpd.model_copy(update={"learning": "ilc"})
    assert seconds_per_call(replace(plan, recipe=plan.recipe.model_copy(update={"dpd": ilc})), pa) == seconds_per_call(
        plan
    )


def test_the_users_number_stands() -> None:
    plan = plan_of(threads=12)
    assert with_threads(plan) == plan
    assert threads_to_train(plan) == 12
    assert threads_to_predict(plan) == 8  # no more than there are cores, later and elsewhere


def test_a_plan_records_the_number_and_its_reason() -> None:
    plan = with_threads(plan_of(64, 32))
    assert Plan.from_json(plan.to_json()).recipe.train.threads == threads_to_train(plan) > 1
    origin = plan.provenance["train.threads"]
    assert origin.origin == "default"
    assert (
        origin.why == f"{seconds_per_call(plan) * 1e6:.2g} us of arithmetic in an average operation of a step; 8 usable"
    )


def test_threads_are_no_part_of_what_identifies_a_run() -> None:
    """Like the processor, they change rounding alone; and a run of before them can be resumed."""
    one, two = with_threads(plan_of()), plan_of(threads=2)
    assert one.digest("x") == two.digest("x") == plan_of().digest("x")


def test_a_prepared_plan_has_threads() -> None:
    model = "{kind: transformer, d_model: 8, layers: 1, heads: 1, window: 8}"
    loaded = load_text(f"task: pa\ndata: {{source: synthetic/mild}}\nmodel: {model}")
    plan, capture = prepare(loaded)
    assert plan.recipe.train.threads == 1
    assert capture.sha256 == load_capture(plan.recipe.data).sha256
