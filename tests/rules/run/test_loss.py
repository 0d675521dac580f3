"""Losses and norms that are not finite, or exactly 0."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts


def findings(**run: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_run(**run)).findings}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_non_finite_names_the_first_step(bad: float) -> None:
    finding = findings(steps=100, norm=lambda t: bad if t > 0.5 else 0.3, loss=lambda t: 0.1 * 10 ** (6 * t))["LS201"]
    assert (finding.severity, finding.step) == ("error", 51)
    assert finding.patch["optim.lr"] < 1e-2


def test_a_number_out_of_the_blue_is_a_sample_and_no_learning_rate() -> None:
    finding = findings(steps=100, norm=0.3, loss=lambda t: math.nan if t > 0.5 else 0.1)["LS201"]
    assert finding.patch == {}
    assert "the samples of step 51" in finding.advice
    early = findings(steps=100, norm=0.3, loss=lambda t: math.nan if t > 0.15 else 0.1)["LS201"]
    assert early.patch != {}  # too little is known


@pytest.mark.parametrize("unknown", ["grad_norm", "lr", "loss", "both but the loss"])
def test_one_column_is_enough_to_see_a_number_that_is_none(unknown: str) -> None:
    bad = {"loss": [0.1, math.nan, 0.1], "grad_norm": [0.3, math.nan, 0.3], "lr": [1e-2] * 3}
    for name in ("grad_norm", "lr") if unknown == "both but the loss" else (unknown,):
        bad[name] = []
    finding = {f.code: f for f in diagnose_facts(RunFacts(step=[1, 2, 3], **bad)).findings}["LS201"]
    assert (finding.severity, finding.step) == ("error", 2)
    assert finding.message.count("nan") == 2 - (unknown in ("grad_norm", "loss")) - (unknown == "both but the loss")
    assert finding.patch == ({"optim.lr": 3e-3} if bad["lr"] else {})
    assert "lower optim.lr from 0.01 to 0.003" in finding.advice or "lower the learning rate" in finding.advice


def test_a_log_with_neither_is_skipped() -> None:
    skipped = {s.code: s.reason for s in diagnose_facts(RunFacts(step=[1, 2, 3], lr=[1e-2] * 3)).skipped}
    assert skipped["LS201"] == "needs loss or grad_norm"


def zeros(losses: list[float], **other: Any) -> Finding | None:
    run = RunFacts(step=list(range(1, len(losses) + 1)), loss=losses, **other)
    return next((f for f in diagnose_facts(run).findings if f.code == "LS209"), None)


def test_a_loss_that_is_suddenly_zero_is_a_hidden_nan() -> None:
    found = zeros([9.3, 8.1, *[0.0] * 8])
    assert found is not None
    assert (found.severity, found.step) == ("error", 3)
    assert zeros([0.0] * 9) is not None
    assert zeros([9.3, 0.0, 8.1, 0.0, 7.0, 0.0, 6.0, 0.0]) is None
    assert zeros([0.0] * 9, loss_unit="objective") is None


def test_a_loss_that_came_down_to_zero_is_rounded() -> None:
    found = zeros([1.0, 0.1, 0.01, 0.0005, *[0.0] * 8])
    assert found is not None
    assert found.severity == "info"


def test_two_zeros_at_the_end_of_a_short_log() -> None:
    assert zeros([15.9, 9.1, 0.0, 0.0]) is not None
    assert zeros([0.4, 0.2, 0.0, 0.0]) is None
    assert zeros([15.9, 0.0, 9.1, 0.0]) is None


@pytest.mark.parametrize(
    ("unit", "lowest", "named"), [("nats", -55.0, True), ("nats", -0.9, False), (None, -55.0, False)]
)
def test_a_cross_entropy_is_never_negative(unit: str | None, lowest: float, *, named: bool) -> None:
    run = RunFacts(signed_step=[1, 2, 3], signed_loss=[0.5, lowest, lowest], loss_unit=unit)
    assert ("LS210" in {f.code for f in diagnose_facts(run).findings}) is named


def test_a_loss_that_may_be_negative_is_still_to_be_finite() -> None:
    run = RunFacts(signed_step=[1, 2, 3], signed_loss=[-3.8, -3.9, math.nan])
    found = {f.code: f for f in diagnose_facts(run).findings}
    assert found["LS201"].step == 3
    assert "LS201" in diagnose_facts(RunFacts(signed_step=[1, 2], signed_loss=[-3.8, -3.9])).healthy


@pytest.mark.parametrize(
    ("losses", "named"),
    [([15.8, 0.0], True), ([1.2, 0.0], False), ([1.2, 0.0, 0.0], True), ([15.8, 0.0, 12.0], False), ([0.0], False)],
)
def test_few_zeros_count_at_the_end_and_after_a_high_loss(losses: list[float], *, named: bool) -> None:
    run = RunFacts(step=list(range(1, len(losses) + 1)), loss=losses)
    assert ("LS209" in {f.code for f in diagnose_facts(run).findings}) is named


def test_what_the_program_says_of_nan() -> None:
    found = {f.code: f for f in diagnose_facts(RunFacts(step=[1, 2], loss=[0.5, 0.4], reports_nan=[7, 9])).findings}
    assert "in 2 lines, first in line 7" in found["LS211"].message
