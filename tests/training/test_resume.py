"""A resumed run is the uninterrupted one, wherever it was stopped; another recipe or other data are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import RunError, StoppedError
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import Loaded
from dpdrun.rules.engine import Finding
from dpdrun.run.files import write_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint, live
from dpdrun.training.checkpoint import SCORING, Progress, TrainingState
from dpdrun.training.loop import fit
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.resume import plan_to_resume, require_same
from dpdrun.training.schedule import Plateau
from dpdrun.training.telemetry import Silent

PlanMaker = Callable[..., Plan]
MonitorAt = Callable[..., Silent]
TIMES = ("seconds", "step_s", "data_s")

# 13 steps of 18 of 83 frames: epochs end within steps 5 and 10; scorings and checkpoints fall between
STEPS = 13
ALL = (
    f"train.max_steps={STEPS}", "train.batch_size=18", "train.accumulate=3", "train.eval_every=2",
    "train.checkpoint_every=5", "model.dropout=0.1", "optim.schedule=plateau", "optim.plateau.patience=1",
    "optim.plateau.threshold_db=30", "optim.warmup=off", "train.phase_augment=on",
)  # fmt: skip


def run_fit(
    plan: Plan, capture: Capture, path: Path, *, resume: bool = False, monitor: Silent | None = None
) -> dict[str, Any]:
    """Everything that a run came to, but for its times."""
    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    run = RunFolder(path) if resume else RunFolder.create(path)
    fit(model, plan, capture, run, monitor or Silent(), resume=resume)
    tensors, header = checkpoint.read(run.last)
    progress = json.loads(header["progress"])
    del progress["seconds"]
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    return {
        "log": [{key: value for key, value in line.items() if key not in TIMES} for line in lines],
        "progress": progress,
        "best": run.best.read_bytes(),
        **{name: value.numpy().tobytes() for name, value in tensors.items()},
    }


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    return [key for key in {**one, **other} if one.get(key) != other.get(key)]


_STRAIGHT: dict[str, dict[str, Any]] = {}


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_a_stop_at_any_step_changes_no_bit(
    at: int, plan: PlanMaker, capture: Capture, tmp_path: Path, signal_at: MonitorAt
) -> None:
    this = plan(*ALL)
    straight = _STRAIGHT.get("all") or _STRAIGHT.setdefault("all", run_fit(this, capture, tmp_path / "straight"))
    log = straight["log"]
    assert [line["step"] for line in log if line["kind"] == "epoch"] == [5, 10]
    assert len({line["lr"] for line in log if line["kind"] == "step"}) > 2  # the plateau fell
    with pytest.raises(StoppedError, match=f"after step {at} of 13"):
        run_fit(this, capture, tmp_path / "run", monitor=signal_at(at))
    assert len(read_metrics(tmp_path / "run").steps) == at
    assert differing(run_fit(this, capture, tmp_path / "run", resume=True), straight) == []


@pytest.mark.parametrize("at", [3, 4, 8, 11, pytest.param(12, marks=pytest.mark.slow)])
def test_a_stop_around_an_adaptation_changes_no_bit(
    at: int, plan: PlanMaker, capture: Capture, tmp_path: Path, signal_at: MonitorAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rules look at every fourth step, and find at step 8 that something began at step 5."""

    def found(facts: Any) -> Diagnosis:
        sees = facts.step[-1] == 8 and not facts.adapted
        bad = [Finding("runaway", {"optim.lr": facts.top_lr / 2}, "error", step=5)] if sees else []
        return Diagnosis("error" if bad else "healthy", bad, [], [], facts)

    monkeypatch.setattr(live, "LEAST_BETWEEN", 4)
    monkeypatch.setattr(live, "diagnose_facts", found)
    this = plan(*ALL, "train.on_finding=adapt")
    straight = _STRAIGHT.get("adapt") or _STRAIGHT.setdefault("adapt", run_fit(this, capture, tmp_path / "straight"))
    adapts = straight["progress"]["adapts"]
    assert [(line["step"], line["to_step"]) for line in adapts] == [(8, 4)]
    with pytest.raises(StoppedError):
        run_fit(this, capture, tmp_path / "run", monitor=signal_at(at))
    assert differing(run_fit(this, capture, tmp_path / "run", resume=True), straight) == []


def test_a_scoring_that_was_owed_is_made_before_the_next_step(
    plan: PlanMaker, capture: Capture, tmp_path: Path, signal_at: MonitorAt
) -> None:
    """As the first process leaves it that lost another one while the two were scoring."""
    this, run = plan(*ALL), RunFolder(tmp_path / "run")
    straight = run_fit(this, capture, tmp_path / "straight")
    with pytest.raises(StoppedError):
        run_fit(this, capture, run.path, monitor=signal_at(5))
    before = checkpoint.progress_of(run.last, checkpoint.read_header(run.last))
    with pytest.raises(StoppedError):
        run_fit(this, capture, run.path, resume=True, monitor=signal_at(6))
    tensors, header = checkpoint.read(run.last)
    six = json.loads(header["progress"]) | {"owed": SCORING, "plateau": vars(before.plateau)}
    six |= {"best_db": before.best_db, "best_step": before.best_step}
    checkpoint.write(run.last, tensors, header | {"progress": json.dumps(six)})
    lines = run.metrics.read_text().splitlines()
    write_text(
        run.metrics, "".join(f"{each}\n" for each in lines if json.loads(each) != read_metrics(run.path).evals[-1])
    )
    assert read_metrics(run.path).evals[-1]["step"] == 4
    assert differing(run_fit(this, capture, run.path, resume=True), straight) == []


@pytest.fixture
def begun(loaded: Callable[..., Loaded], tmp_path: Path) -> RunFolder:
    """A folder of a run that made no step yet."""
    run, recipe = RunFolder.create(tmp_path / "run"), loaded()
    write_text(run.recipe, recipe.effective_text)
    run.write_json(run.plan, make_plan(recipe.recipe, 2000).to_json() | {"dpdrun": "0", "data_sha256": "1"})
    return run


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("optim.lr=2e-2", "optim.lr 0.01 -> 0.02"),
        ("train.seed=1", "train.seed"),
        ("train.max_steps=24", "train.max_steps 12 -> 24"),
        ("train.on_finding=adapt", "train.on_finding"),
        ("model.d_model=16", "model.d_model 8 -> 16"),
    ],
)
def test_another_recipe_is_refused_with_what_differs(
    override: str, said: str, begun: RunFolder, loaded: Callable[..., Loaded]
) -> None:
    with pytest.raises(RunError, match="with another recipe than that of this run") as caught:
        plan_to_resume(loaded(override), begun)
    assert said in str(caught.value)
    assert f"dpdrun train {begun.recipe} --run-dir {begun.path} --resume" in str(caught.value)


def test_what_decides_no_weight_may_change(begun: RunFolder, loaded: Callable[..., Loaded]) -> None:
    changed = plan_to_resume(loaded("train.checkpoint_every=3", "train.on_finding=stop"), begun)
    assert (changed.checkpoint_every, changed.recipe.train.on_finding) == (3, "stop")
    assert plan_to_resume(loaded("train.checkpoint_every=off"), begun).checkpoint_every == 0
    assert changed.digest("x") == plan_to_resume(loaded(), begun).digest("x")


def test_a_resumed_run_keeps_its_threads_unless_told_otherwise(begun: RunFolder, loaded: Callable[..., Loaded]) -> None:
    """On a machine that would choose another number the rounding stays that of the first steps."""
    assert plan_to_resume(loaded(), begun).recipe.train.threads == 1  # recorded by a version without the field
    content = begun.read_json(begun.plan)
    content["recipe"]["train"]["threads"] = 3
    begun.write_json(begun.plan, content)
    assert plan_to_resume(loaded(), begun).recipe.train.threads == 3
    assert plan_to_resume(loaded("train.threads=2"), begun).recipe.train.threads == 2


def test_a_best_model_of_another_run_is_refused(begun: RunFolder, capture: Capture, plan: PlanMaker) -> None:
    this, model = plan(), torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    own = this.digest(capture.sha256)
    TrainingState(model, optimizer, Progress.fresh(Plateau(1.0, 1, 0.0)), own).save(begun.last)
    for made_under, taken in ((own, True), (None, True), ("of another", False)):
        about = {"format": checkpoint.FORMAT} | ({"plan_hash": made_under} if made_under else {})
        checkpoint.save_model(begun.best, model, about)
        headers = {path: checkpoint.read_header(path) for path in (begun.last, begun.best)}
        if taken:
            require_same(begun, this, capture, headers)
            continue
        with pytest.raises(RunError, match=r"best\.safetensors: made by another recipe or other data"):
            require_same(begun, this, capture, headers)


def test_alone_a_state_is_restored_as_a_checkpoint_is(tmp_path: Path) -> None:
    model, twin = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    at = Progress(0, 1.0, 0, 2.0, Plateau(0.5, 1, 0.0))
    TrainingState(model, torch.optim.AdamW(model.parameters()), at, "a").save(tmp_path / "c")
    fresh = torch.optim.AdamW(twin.parameters())
    assert checkpoint.restore_all(tmp_path / "c", twin, fresh, ProcessGroup(), plan_hash="a") == at
    assert torch.equal(model.weight, twin.weight)
