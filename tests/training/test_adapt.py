"""What findings do to a run: stop ends it with a checkpoint, adapt goes back and lowers the rate, to the bit alike."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.diagnosis.diagnose import diagnose_facts, facts_of_run
from dpdrun.errors import DivergedError, FindingError, StoppedError
from dpdrun.plan.plan import Plan
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.training import adapt
from dpdrun.training.adapt import MOST_ADAPTS, is_kept, lr_factor_of
from dpdrun.training.loop import TrainingOutcome, fit
from dpdrun.training.loss import squared_error
from dpdrun.training.schedule import schedule_of
from dpdrun.training.telemetry import Silent

PlanMaker = Callable[..., Plan]
Runaway = Callable[[float], None]
# The rate climbs until step 190, and the run diverges above the rate of step 104 (`climbing`): the rules see it at step
# 150, and training goes back to the checkpoint of step 100.
LR, TOO_HIGH = 1e-2, 1e-2 * 104.5 / 190
CLIMBS = (
    "train.max_steps=200", f"optim.lr={LR}", "optim.warmup=190", "optim.clip_norm=off", "optim.schedule=constant",
    "train.eval_every=50", "train.checkpoint_every=40", "model.dropout=0.05", "train.on_finding=adapt",
)  # fmt: skip


def run_fit(
    plan: Plan, capture: Capture, path: Path, *, resume: bool = False, monitor: Silent | None = None
) -> tuple[torch.Tensor, TrainingOutcome]:
    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    folder = RunFolder(path) if resume else RunFolder.create(path)
    outcome = fit(model, plan, capture, folder, monitor or Silent(), resume=resume)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), outcome


def trace(log: Metrics) -> list[tuple[Any, ...]]:
    keys = ("step", "samples", "frames_crc", "lr", "lr_planned", "loss", "grad_norm")
    return [tuple(line[key] for key in keys) for line in log.steps]


@dataclass(frozen=True)
class Straight:
    """A run that adapted, and was never interrupted."""

    weights: torch.Tensor
    outcome: TrainingOutcome
    path: Path
    log: Metrics
    raw: list[dict[str, Any]]


_STRAIGHT: list[Straight] = []


@pytest.fixture
def climbing(plan: PlanMaker, runaway: Runaway) -> Plan:
    """The plan of the run that climbs, which diverges from now on."""
    runaway(TOO_HIGH)
    return plan(*CLIMBS)


@pytest.fixture
def straight(climbing: Plan, capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> Straight:
    if not _STRAIGHT:
        path = tmp_path_factory.mktemp("adapt") / "run"
        weights, outcome = run_fit(climbing, capture, path)
        raw = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        _STRAIGHT.append(Straight(weights, outcome, path, read_metrics(path), raw))
    return _STRAIGHT[0]


def test_a_blow_up_is_undone_and_the_rate_is_lower_from_there_on(climbing: Plan, straight: Straight) -> None:
    log = straight.log
    (line,) = log.adapts
    assert line["code"] == "LR202"
    assert (line["to_step"], line["onset"], line["step"]) == (100, 104, 150)
    assert line["lr_factor"] == line["factor"] < 1.0
    assert straight.outcome.adapts == log.adapts
    assert [step["step"] for step in log.steps] == list(range(1, 201))
    schedule = schedule_of(climbing)
    for step in log.steps:
        factor = 1.0 if step["step"] <= line["to_step"] else line["factor"]
        assert step["lr"] == step["lr_planned"] == schedule.lr_at(step["step"]) * factor
    undone = [each for each in straight.raw if each["kind"] == "step"]
    assert len(undone) == 200 + line["step"] - line["to_step"]  # the record of what was undone stays in the file
    late = [each["loss"] for each in log.steps[-20:]]
    blown = [each["loss"] for each in undone[line["step"] - 20 : line["step"]]]
    assert max(late) < min(blown)
    assert [each["step"] for each in log.epochs] == sorted({each["step"] for each in log.epochs})


def test_the_audit_and_the_diagnosis_understand_what_was_undone(climbing: Plan, straight: Straight) -> None:
    folder = RunFolder(straight.path)
    audit = folder.read_json(folder.audit)
    assert audit["agrees"], audit
    facts = facts_of_run(straight.log, climbing)
    assert facts.step == list(range(1, 201))
    assert facts.peak_lr == pytest.approx(LR * straight.log.adapts[0]["factor"])
    codes = [finding.code for finding in diagnose_facts(facts).findings]
    assert "AD201" in codes
    assert "SC201" not in codes
    assert "LR202" not in codes


def test_nothing_to_go_back_to_is_left_and_the_best_model_is(straight: Straight) -> None:
    folder = RunFolder(straight.path)
    assert folder.rollback_points() == {}
    best = [line["val_nmse_db"] for line in straight.raw if line["kind"] == "eval"]
    assert straight.outcome.best_db == min(best)


def test_an_adaptation_repeats_itself(straight: Straight, climbing: Plan, capture: Capture, tmp_path: Path) -> None:
    weights, outcome = run_fit(climbing, capture, tmp_path / "run")
    log = read_metrics(tmp_path / "run")
    assert trace(log) == trace(straight.log)
    assert torch.equal(weights, straight.weights)
    assert outcome.adapts == straight.outcome.adapts


class StopAt(Silent):
    """Sends the signal when a step is reached for the n-th time."""

    def __init__(self, make: Callable[..., Silent], step: int, times: int) -> None:
        self._signal, self._step, self._left = make(step), step, times

    def step(self, line: dict[str, Any]) -> None:
        self._left -= line["step"] == self._step
        if self._left == 0:
            self._signal.step(line)


@pytest.mark.parametrize(("at", "times"), [(90, 1), (110, 2), (150, 1), (150, 2), (199, 1)])
def test_a_resumed_run_is_the_uninterrupted_one_before_and_after_an_adaptation(
    at: int,
    times: int,
    straight: Straight,
    climbing: Plan,
    capture: Capture,
    tmp_path: Path,
    signal_at: Callable[..., Silent],
) -> None:
    path = tmp_path / "run"
    with pytest.raises(StoppedError):
        run_fit(climbing, capture, path, monitor=StopAt(signal_at, at, times))
    weights, outcome = run_fit(climbing, capture, path, resume=True)
    log = read_metrics(path)
    assert trace(log) == trace(straight.log)
    assert [line["val_nmse_db"] for line in log.evals] == [line["val_nmse_db"] for line in straight.log.evals]
    assert log.epochs == straight.log.epochs
    assert log.adapts == straight.log.adapts
    assert (outcome.best_db, outcome.best_step) == (straight.outcome.best_db, straight.outcome.best_step)
    assert torch.equal(weights, straight.weights)


class Killed(Exception):  # noqa: N818
    """As if the process had ended here."""


def test_a_kill_between_the_checkpoint_and_the_line_of_an_adaptation_loses_nothing(
    straight: Straight, climbing: Plan, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(adapt.FindingPolicy, "_report_adaptation", killed)
        with pytest.raises(Killed):
            run_fit(climbing, capture, tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    assert '"adapt"' not in path.read_text()
    weights, _ = run_fit(climbing, capture, tmp_path / "run", resume=True)
    log = read_metrics(tmp_path / "run")
    assert trace(log) == trace(straight.log)
    assert log.adapts == straight.log.adapts
    assert torch.equal(weights, straight.weights)


def test_the_budget_is_bounded_and_the_end_is_the_usual_one(plan: PlanMaker, capture: Capture, tmp_path: Path) -> None:
    """A sample that is no number is cured by no rate."""
    x = capture.train.x.copy()
    x[1000] = np.nan
    poisoned = replace(capture, train=Part(x, capture.train.y))
    object.__setattr__(poisoned, "scale_x", capture.scale_x)
    heard: list[str] = []

    class Listener(Silent):
        def message(self, text: str) -> None:
            heard.append(text)

    with pytest.raises(DivergedError, match="loss nan"):
        run_fit(plan("train.max_steps=100", "train.on_finding=adapt"), poisoned, tmp_path / "run", monitor=Listener())
    log = read_metrics(tmp_path / "run")
    factors = [line["lr_factor"] for line in log.adapts]
    assert len(factors) == MOST_ADAPTS
    assert factors == sorted(factors, reverse=True)
    assert all(line["code"] == "LS201" for line in log.adapts)
    assert [text.split(":")[0] for text in heard[:3]] == [f"adapted ({n} of at most 3)" for n in (1, 2, 3)]
    assert "the lr is not lowered again, after 3 adaptations" in heard[3]
    assert len(heard) == 4


def test_a_gradient_that_is_no_number_does_not_outlive_the_step_that_is_undone(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = count(1)

    def once_nan(*arguments: Any) -> torch.Tensor:
        return squared_error(*arguments) * (math.nan if next(losses) == 5 else 1.0)

    monkeypatch.setattr("dpdrun.training.step.squared_error", once_nan)
    _, outcome = run_fit(plan("train.on_finding=adapt"), capture, tmp_path / "run")
    (line,) = outcome.adapts
    assert (line["code"], line["step"], line["to_step"], line["factor"]) == ("LS201", 5, 0, 0.3)
    log = read_metrics(tmp_path / "run")
    assert [each["step"] for each in log.steps] == list(range(1, 13))
    assert all(math.isfinite(each["loss"] + each["grad_norm"]) for each in log.steps)


TOO_FAST = ("train.max_steps=120", "optim.lr=3e-2", "optim.warmup=off", "optim.clip_norm=off", "train.eval_every=40")


def test_stop_ends_the_run_with_a_checkpoint_that_resumes_exactly(
    plan: PlanMaker, capture: Capture, tmp_path: Path, runaway: Runaway
) -> None:
    runaway(2.9e-2)  # in its first steps: the cosine is below that afterwards
    with pytest.raises(FindingError, match=r"stopped after step 50 of 120.*LR202") as caught:
        run_fit(plan(*TOO_FAST, "train.on_finding=stop"), capture, tmp_path / "run")
    assert caught.value.exit_code == 1
    for said in ("advice: lower optim.lr from 0.03 to", "dpdrun diagnose", "--resume --set train.on_finding=warn"):
        assert said in str(caught.value)
    weights, _ = run_fit(plan(*TOO_FAST), capture, tmp_path / "run", resume=True)
    whole, _ = run_fit(plan(*TOO_FAST), capture, tmp_path / "whole")
    assert trace(read_metrics(tmp_path / "run")) == trace(read_metrics(tmp_path / "whole"))
    assert torch.equal(weights, whole)


def facts_with(lr: float) -> Any:
    return diagnose_facts(example_run(realised=None, peak_lr=lr))


@pytest.mark.parametrize(
    ("patch", "factor"),
    [
        ({"optim.lr": 2.5e-3}, 0.25),
        ({"optim.lr": 2e-2}, None),  # higher: no cure for what ran away
        ({"optim.lr": 0.0}, adapt.FACTOR),
        ({"optim.warmup": 100}, None),
        ({}, None),
    ],
)
def test_only_a_lower_rate_is_a_cure(patch: dict[str, Any], factor: float | None) -> None:
    assert lr_factor_of(Finding("seen", patch, "error"), facts_with(1e-2)) == factor


def kept_at(now: int) -> Iterator[int]:
    """What is left of the checkpoints of looks 0 .. now, each time with those kept before."""
    held: list[int] = []
    for turn in range(now + 1):
        held = [each for each in (*held, turn) if is_kept(each, turn)]
    yield from held


@given(st.integers(1, 400), st.data())
def test_few_checkpoints_are_kept_and_one_is_never_far_before_any_step(now: int, data: st.DataObject) -> None:
    held = list(kept_at(now))
    assert held[0] == 0
    assert held[-1] == now
    assert len(held) <= 2 * math.log2(now + 1) + 4
    onset = data.draw(st.integers(0, now))
    nearest = max(turn for turn in held if turn <= onset)
    assert now - nearest <= 2 * (now - onset) + 2
