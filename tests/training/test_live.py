"""The rules beside a training: they say what a diagnosis of the log would, once, and change nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_facts, facts_of_run
from dpdrun.plan.plan import Plan
from dpdrun.rules import engine
from dpdrun.rules.engine import Finding, Verdict, find_rule
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.training import live
from dpdrun.training.live import LiveRules
from dpdrun.training.loop import fit
from dpdrun.training.telemetry import Silent

PlanMaker = Callable[..., Plan]
DIVERGES = ("train.max_steps=220", "optim.lr=3e-2", "optim.warmup=off", "optim.clip_norm=off", "train.eval_every=50")


class Listener(Silent):
    def __init__(self) -> None:
        self.told: list[tuple[int, str, str]] = []
        self.messages: list[str] = []

    def finding(self, finding: Finding, step: int) -> None:
        self.told.append((step, finding.code, finding.severity))

    def message(self, text: str) -> None:
        self.messages.append(text)


def trained(plan: Plan, capture: Capture, path: Path, monitor: Silent | None = None) -> tuple[torch.Tensor, Metrics]:
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    fit(model, plan, capture, RunFolder.create(path), monitor or Silent(), resume=False)
    return torch.cat([p.detach().flatten() for p in model.parameters()]), read_metrics(path)


def cut(log: Metrics, step: int) -> Metrics:
    return Metrics(
        steps=[line for line in log.steps if line["step"] <= step],
        evals=[line for line in log.evals if line["step"] <= step],
    )


def test_live_findings_are_those_of_the_log_up_to_there(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    runaway: Callable[[float], None],
) -> None:  # fmt: skip
    runaway(2.9e-2)  # in its first steps
    seen: list[Diagnosis] = []
    evaluate = LiveRules.evaluate

    def watched(self: LiveRules) -> Diagnosis | None:
        this = evaluate(self)
        assert this is not None
        seen.append(replace(this, facts=replace(this.facts, step=list(this.facts.step))))  # the log grows on
        return this

    monkeypatch.setattr(LiveRules, "evaluate", watched)
    monkeypatch.setattr(live, "COST", math.inf)
    this = plan(*DIVERGES)
    listener = Listener()
    _, log = trained(this, capture, tmp_path / "run", listener)
    assert [diagnosis.facts.step[-1] for diagnosis in seen] == [50, 100, 150, 200]
    assert any(diagnosis.findings for diagnosis in seen)
    for diagnosis in seen:
        later = diagnose_facts(facts_of_run(cut(log, diagnosis.facts.step[-1]), this))
        assert diagnosis.to_json() == later.to_json()
    assert ("LR202", "error") in [told[1:] for told in listener.told]


def test_looking_changes_nothing(
    plan: PlanMaker, capture: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, so that a rule that drew random numbers would tell."""
    base = ("train.max_steps=120", "model.dropout=0.1")
    looked, often = trained(plan(*base), capture, tmp_path / "often")
    stopping, bound = trained(plan(*base, "train.on_finding=stop"), capture, tmp_path / "stop")
    ready, adaptive = trained(plan(*base, "train.on_finding=adapt"), capture, tmp_path / "adapt")
    monkeypatch.setattr(live, "LEAST_BETWEEN", 10**9)
    blind, never = trained(plan(*base), capture, tmp_path / "never")
    traces = [
        [(line["loss"], line["grad_norm"], line["lr"]) for line in log.steps] for log in (never, often, bound, adaptive)
    ]
    assert len(traces[0]) == 120
    assert all(trace == traces[0] for trace in traces)
    assert all(torch.equal(blind, other) for other in (looked, stopping, ready))


def step_line(step: int) -> dict[str, Any]:
    return {
        "kind": "step", "step": step, "lr": 1e-2, "lr_planned": 1e-2, "loss": 0.1, "grad_norm": 0.3, "clip_norm": 1.0,
        "clipped": False,
    }  # fmt: skip


def scripted(monkeypatch: pytest.MonkeyPatch, script: list[list[tuple[str, str]]]) -> None:
    """Rules that find what they are told, look by look: (code, severity)."""
    turns = iter(script)

    def diagnosing(facts: Any) -> Diagnosis:
        found = [Finding("seen", severity=severity, code=code) for code, severity in next(turns)]  # type: ignore[arg-type]
        return Diagnosis("healthy", found, [], [], facts)

    monkeypatch.setattr(live, "diagnose_facts", diagnosing)


def test_a_finding_is_shown_once_and_again_when_it_gets_worse(plan: PlanMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(
        monkeypatch,
        [
            [("AA201", "info")],
            [("AA201", "warning"), ("BB201", "info")],
            [],
            [("AA201", "warning")],
            [("AA201", "error")],
            [("AA201", "warning"), ("CC201", "error")],
        ],
    )
    listener = Listener()
    rules = LiveRules(plan(), listener, Metrics(), {})
    for step in range(1, 7):
        rules.add(step_line(step))
        rules.evaluate()
    assert listener.told == [(2, "AA201", "warning"), (5, "AA201", "error"), (6, "CC201", "error")]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("mode", "looks"), [("warn", [50, 750]), ("stop", list(range(50, 1000, 50)))])
def test_looks_of_a_warning_run_cost_little_and_others_are_where_the_plan_says(
    mode: str, looks: list[int], plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second a step and three seconds a look: 0.4 % of the time is one look in 750 steps."""
    clock = Clock()

    def diagnosing(facts: Any) -> Diagnosis:
        clock.now += 3.0
        return Diagnosis("healthy", [], [], [], facts)

    monkeypatch.setattr(live, "diagnose_facts", diagnosing)
    rules = LiveRules(plan("train.max_steps=1000", f"train.on_finding={mode}"), Silent(), Metrics(), {}, clock=clock)
    done = []
    for step in range(1, 1001):
        rules.add(step_line(step))
        clock.now += 1.0
        if rules.due(step):
            done.append(step)
            rules.evaluate()
    assert done == looks


def test_long_runs_are_looked_at_fifty_times(plan: PlanMaker) -> None:
    rules = LiveRules(plan("train.max_steps=10001", "train.on_finding=stop"), Silent(), Metrics(), {})
    assert rules.every == 201
    assert sum(rules.due(step) for step in range(1, 10002)) == 49


@pytest.mark.parametrize("fault", [AttributeError("in a rule"), AssertionError("in a rule")])
def test_a_rule_that_fails_is_reported_once_and_ends_nothing(
    plan: PlanMaker, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def failing(**facts: Any) -> Verdict:
        raise fault

    rule = find_rule("SC202")
    monkeypatch.setitem(engine._RULES, "SC202", replace(rule, function=failing, where={}))
    listener = Listener()
    rules = LiveRules(plan("train.max_steps=1000", "train.on_finding=stop"), listener, Metrics(), {})
    for step in range(1, 101):
        rules.add(step_line(step) | {"loss": math.nan if step > 90 else 0.1})
        if rules.due(step):
            assert rules.evaluate() is not None
    assert listener.messages == [f"rule SC202 failed: {fault!r}; please report it"]
    assert [code for _, code, _ in listener.told] == ["LS201"], "the other rules go on"


def test_facts_that_cannot_be_made_end_the_diagnosis_and_not_the_run(
    plan: PlanMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(facts: Any) -> Diagnosis:
        raise AttributeError("in the facts")

    monkeypatch.setattr(live, "diagnose_facts", failing)
    listener = Listener()
    rules = LiveRules(plan("train.max_steps=1000", "train.on_finding=stop"), listener, Metrics(), {})
    rules.add(step_line(50))
    assert rules.due(50)
    assert rules.evaluate() is None
    assert not rules.due(100)
    assert len(listener.messages) == 1
    assert "in the facts" in listener.messages[0]
