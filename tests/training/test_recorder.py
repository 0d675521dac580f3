"""The record of a training: the first process keeps it, and it is whole when another process is lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import FindingError, LostError
from dpdrun.plan.plan import Plan
from dpdrun.rules.engine import Finding
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint, live, task
from dpdrun.training.loop import fit
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.telemetry import Silent

PlanMaker = Callable[..., Plan]


class Losing(ProcessGroup):
    """A group that loses its others at the n-th exchange."""

    def __init__(self, at: int, *, is_first: bool = True) -> None:
        super().__init__()
        self._left, self._is_first = at, is_first

    @property
    def is_rank_zero(self) -> bool:
        return self._is_first

    def all_gather(self, values: Any) -> Any:
        self._left -= 1
        if self._left == 0:
            raise LostError("the others have gone")
        return super().all_gather(values)


def train(
    plan: Plan, capture: Capture, run: RunFolder, *, group: ProcessGroup | None = None, resume: bool = False
) -> None:
    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    fit(model, plan, capture, run, Silent(), resume=resume, group=group)


def everything(run: RunFolder) -> tuple[Any, ...]:
    """What a run came to, without its times."""
    tensors, header = checkpoint.read(run.last)
    progress = json.loads(header["progress"]) | {"seconds": 0}
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    log = [{key: line[key] for key in line if key not in ("seconds", "step_s", "data_s")} for line in lines]
    return {name: value.tolist() for name, value in tensors.items()}, progress, log, run.best.read_bytes()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    return RunFolder.create(tmp_path / "straight"), RunFolder.create(tmp_path / "run")


def test_the_last_finished_step_is_saved_when_the_others_are_lost(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture
) -> None:
    straight, run = folders
    train(plan(), capture, straight)
    with pytest.raises(LostError, match=r"have gone\n  step 9 of 12 is saved; continue with:\n.*--resume") as caught:
        train(plan(), capture, run, group=Losing(9 + 2 + 1))  # one a step and a scoring
    assert caught.value.exit_code == 75
    assert len(read_metrics(run.path).steps) == 9
    train(plan(), capture, run, resume=True)
    assert everything(run) == everything(straight)


def test_without_a_step_there_is_nothing_to_save(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture
) -> None:
    _, run = folders
    with pytest.raises(LostError, match=r"have gone\n  there is nothing to resume"):
        train(plan(), capture, run, group=Losing(1))
    assert not run.has_steps()


def test_a_scoring_interrupted_by_lost_processes_is_made_by_the_resumed_run(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, run = folders
    this = plan("optim.schedule=plateau", "optim.plateau.patience=1", "optim.plateau.threshold_db=30")
    train(this, capture, straight)
    scored, left = task.evaluate_split, [2]

    def gone(*arguments: Any) -> task.Score:
        left[0] -= 1
        if left[0] == 0:
            raise LostError("the others have gone")
        return scored(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(task, "evaluate_split", gone)
        with pytest.raises(LostError, match="step 8 of 12 is saved"):
            train(this, capture, run)
    assert [line["step"] for line in read_metrics(run.path).evals] == [4]
    train(this, capture, run, resume=True)
    assert everything(run) == everything(straight)


def test_the_log_is_on_the_disk_before_the_checkpoint(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, order, fsync = folders[1], [], os.fsync

    def recorded(handle: int) -> None:
        if os.path.samestat(os.fstat(handle), run.metrics.stat()):
            order.append("log")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    written = checkpoint.TrainingState.save
    monkeypatch.setattr(checkpoint.TrainingState, "save", lambda *args: (order.append("checkpoint"), written(*args)))
    train(plan(), capture, run)
    saves = [index for index, what in enumerate(order) if what == "checkpoint"]
    assert saves
    assert all(order[index - 1] == "log" for index in saves)


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look at every fourth step, and find at step 8 that something began at step 5."""

    def found(facts: Any) -> Diagnosis:
        sees = facts.step[-1] == 8 and not facts.adapted
        bad = [Finding("runaway", {"optim.lr": facts.top_lr / 2}, "error", step=5)] if sees else []
        return Diagnosis("error" if bad else "healthy", bad, [], [], facts)

    monkeypatch.setattr(live, "LEAST_BETWEEN", 4)
    monkeypatch.setattr(live, "diagnose_facts", found)


@pytest.mark.usefixtures("rules")
def test_a_run_that_rolls_back_when_processes_are_lost_resumes_from_there(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture
) -> None:
    straight, run = folders
    this = plan("train.on_finding=adapt")
    train(this, capture, straight)
    (line,) = read_metrics(straight.path).adapts
    assert (line["step"], line["to_step"]) == (8, 4)
    exchanges = 8 + 2 + 2  # one a step, a scoring and a look, which come after steps 4 and 8; the last one is lost
    with pytest.raises(LostError, match="the rollback point is saved; continue with"):
        train(this, capture, run, group=Losing(exchanges))
    at = checkpoint.progress_of(run.last, checkpoint.read_header(run.last))
    assert (at.step, len(at.adapts)) == (4, 1)
    train(this, capture, run, resume=True)
    assert everything(run) == everything(straight)


@pytest.mark.usefixtures("rules")
def test_findings_lost_with_other_processes_are_reported_again(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture
) -> None:
    _, run = folders
    this = plan("train.on_finding=stop")
    with pytest.raises(LostError, match="step 8 of 12 is saved"):
        train(this, capture, run, group=Losing(8 + 2 + 2))
    with pytest.raises(FindingError, match="stopped after step 8 of 12"):
        train(this, capture, run, resume=True)


def test_another_process_than_the_first_writes_nothing(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture
) -> None:
    _, run = folders
    train(plan("train.on_finding=adapt"), capture, run, group=Losing(99, is_first=False))
    with pytest.raises(LostError, match=r"have gone$"):
        train(plan(), capture, run, group=Losing(7, is_first=False))
    assert [path.name for path in run.path.rglob("*")] == ["checkpoints"]


def test_the_log_is_on_the_disk_before_the_checkpoint_that_goes_with_it(
    folders: tuple[RunFolder, RunFolder], plan: PlanMaker, capture: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a kill right after it would leave a checkpoint without the lines that it goes on from."""
    _, run = folders
    save, seen = checkpoint.TrainingState.save, []

    def watched(state: checkpoint.TrainingState, path: Path) -> None:
        seen.append((state.progress.step, len(read_metrics(run.path).steps)))
        save(state, path)

    monkeypatch.setattr(checkpoint.TrainingState, "save", watched)
    train(plan("train.checkpoint_every=3", "train.eval_every=12"), capture, run)
    assert seen == [(3, 3), (6, 6), (9, 9), (12, 12)]
