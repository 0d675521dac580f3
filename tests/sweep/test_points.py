"""Configurations become trials: named by what decides their weights, checked before the first run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dpdrun.errors import DataError, RecipeError
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.loader import load_text
from dpdrun.sweep.document import Sweep, load_sweep
from dpdrun.sweep.points import DIGITS, plan_points


def test_a_trial_is_named_by_the_digest_of_its_plan(read: Callable[..., Sweep]) -> None:
    sweep = read(over={"model.d_model": "8,16"}, seeds=2)
    planned = plan_points(sweep)
    assert [point.config for point in planned.points] == [{}, {"model.d_model": "8"}, {"model.d_model": "16"}]
    assert [point.is_rules for point in planned.points] == [True, False, False]
    for point in planned.points:
        for trial in point.trials:
            loaded = load_text(sweep.base.text, sweep.base.path, [*sweep.base.overrides, *trial.overrides])
            plan, capture = prepare(loaded)
            assert trial.id == plan.digest(capture.sha256)[:DIGITS]
            assert plan.recipe.train.seed == trial.seed
    # the recipe has d_model 8: the rules' point and the first of the grid are the same trials
    first, same, other = planned.points
    assert first.trials[0].id == same.trials[0].id
    assert len({trial.id for trial in (*same.trials, *other.trials)}) == 4


def test_point_0_is_what_the_rules_give(read: Callable[..., Sweep]) -> None:
    planned = plan_points(read("optim.lr=0.5", over={"optim.lr": "1e-3,1e-2"}))
    assert planned.points[0].config == {"optim.lr": "auto"}
    plan, _ = prepare(read("optim.lr=auto").base)
    assert planned.points[0].values["optim.lr"] == plan.lr != 0.5


def test_trials_hold_in_every_folder(
    read: Callable[..., Sweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = read(over={"optim.lr": "1e-3"})
    trial = plan_points(sweep).points[1].trials[0]
    monkeypatch.chdir("/")
    plan, capture = prepare(load_text(sweep.base.text, sweep.base.path, trial.overrides))
    assert plan.digest(capture.sha256).startswith(trial.id)


def test_what_cannot_work_is_left_out_with_its_reason(read: Callable[..., Sweep]) -> None:
    planned = plan_points(read(over={"model.heads": "2,3", "model.d_model": "6,8"}))
    assert [point.config for point in planned.points[1:]] == [
        {"model.heads": "2", "model.d_model": "6"},
        {"model.heads": "2", "model.d_model": "8"},
        {"model.heads": "3", "model.d_model": "6"},
    ]
    (left,) = planned.left_out
    assert left.config == {"model.heads": "3", "model.d_model": "8"}
    assert "model.heads 3 does not divide model.d_model 8" in left.reason


def test_variants_of_a_section_and_fields_that_only_one_has(read: Callable[..., Sweep]) -> None:
    over = {"model": "{kind: gru, hidden: 4},{kind: gmp, order: 3, delays: 2}", "model.hidden": "4,5"}
    planned = plan_points(read(over=over))
    assert [point.config["model.hidden"] for point in planned.points[1:]] == ["4", "5"]
    assert all("model.kind gmp has no hidden" in each.reason for each in planned.left_out)
    assert len(planned.left_out) == 2


def test_a_gmp_among_networks_has_none_of_their_settings_of_steps(read: Callable[..., Sweep]) -> None:
    sweep = read(over={"model": "{kind: gru, hidden: 4},{kind: gmp, order: 3, delays: 2}"})
    planned = plan_points(sweep)
    assert planned.left_out == ()
    loaded = load_text(sweep.base.text, sweep.base.path, planned.points[2].trials[0].overrides)
    assert (loaded.recipe.model.kind, loaded.recipe.train.max_steps) == ("gmp", "off")


@pytest.mark.parametrize(
    ("over", "why"),
    [
        ("optim.lrr=1e-3", "unknown key optim.lrr; did you mean 'lr'?"),
        ("optim.lr=1e-3,-1", "optim.lr: expected a number greater than 0, or auto; got -1; write auto"),
        ("model.d_model=4,wide", "model.d_model: expected a whole number of at least 1; got 'wide'"),
        ("train.batch_size=0..8:3", "train.batch_size: expected a whole number of at least 1, or auto; got 0"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_reported(over: str, why: str, read: Callable[..., Sweep]) -> None:
    with pytest.raises(RecipeError) as error:
        plan_points(read(over=dict([over.split("=")])))
    assert str(error.value) == f"--over {over}: {why}"


def test_all_wrong_values_in_one_pass_with_line_and_column(place: Path) -> None:
    text = "recipe: small.yaml\nover:\n  optim.lr: [1e-3, fast]\n  train.frame: [16, 1]\n  data.sorce: [x, y]\n"
    (place / "sweep.yaml").write_text(text)
    with pytest.raises(RecipeError) as error:
        plan_points(load_sweep(Path("sweep.yaml")))
    shown = [line for line in str(error.value).splitlines() if line.startswith("sweep.yaml")]
    assert [line.partition(": ")[0] for line in shown] == ["sweep.yaml:3:20", "sweep.yaml:4:21", "sweep.yaml:5:16"]
    assert "3 |   optim.lr: [1e-3, fast]" in str(error.value)


def test_a_sweep_without_a_valid_configuration_is_refused(read: Callable[..., Sweep]) -> None:
    with pytest.raises(RecipeError, match=r"no configuration of this sweep can work:\n.*does not divide"):
        plan_points(read(over={"model.heads": "3"}))


def test_a_missing_capture(read: Callable[..., Sweep]) -> None:
    planned = plan_points(read(over={"data.source": "capture.npz,other.npz"}))
    assert [point.config.get("data.source") for point in planned.points] == [None, "capture.npz"]
    assert "other.npz" in planned.left_out[0].reason
    with pytest.raises(DataError, match=r"other\.npz"):
        plan_points(read("data.source=other.npz", over={"optim.lr": "1e-3"}))


def test_a_search_checks_the_ends_of_its_ranges(read: Callable[..., Sweep]) -> None:
    flags = {"search": "random", "budget": {"trials": 4}}
    assert len(plan_points(read(over={"optim.lr": "log:1e-3..1e-1"}, **flags)).points) == 1
    with pytest.raises(RecipeError, match=r"optim\.beta1: expected a number of at least 0 and below 1, or auto; got 2"):
        plan_points(read(over={"optim.beta1": "0.5..2"}, **flags))
