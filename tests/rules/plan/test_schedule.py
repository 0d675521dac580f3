"""Schedules of a plan."""

from __future__ import annotations

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts


def checked(profile: str = "measured", **facts: object) -> dict[str, Finding]:
    advice = derive(PlanFacts(kind="transformer", d_model=16, **facts), profile)  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("SC")}


@pytest.mark.parametrize(
    ("schedule", "lr", "flagged"),
    [("constant", 2e-2, True), ("constant", 3e-4, False), ("cosine", 2e-2, False), ("plateau", 2e-2, False)],
)
def test_high_rate_that_never_falls(schedule: str, lr: float, flagged: bool) -> None:
    assert ("SC101" in checked(schedule=schedule, lr=lr, max_steps=10_000, patience=1)) is flagged


@pytest.mark.parametrize(("steps", "flagged"), [(500, True), (899, True), (900, False)])
def test_plateau_needs_scorings(steps: int, flagged: bool) -> None:
    assert ("SC102" in checked(schedule="plateau", eval_every=50, max_steps=steps, patience=5)) is flagged


def test_plateau_is_given_more_scorings_where_that_is_enough() -> None:
    assert checked(schedule="plateau", eval_every=50, max_steps=500, patience=5)["SC102"].patch == {
        "train.eval_every": 12
    }
    finding = checked(schedule="plateau", eval_every=50, max_steps=500, patience=30)["SC102"]
    assert (finding.patch, finding.fix) == ({}, "none")
    assert "lower optim.plateau.patience" in finding.advice


def test_plateau_of_the_note_has_time_to_act() -> None:
    assert checked("note", max_steps=1954, patience=5) == {}
