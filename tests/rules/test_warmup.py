"""Warmup: its share, and plans whose warmup is too long or too short to be one."""

from __future__ import annotations

import pytest

from dpdrun.recipe.fields import Percent
from dpdrun.rules.advice import derive
from dpdrun.rules.catalogue import Finding
from dpdrun.rules.facts import PlanFacts


def checked(**facts: object) -> dict[str, Finding]:
    advice = derive(PlanFacts(kind="transformer", d_model=8, **facts), "measured")  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings}


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_measured_share_lies_in_the_notes_range(kind: str) -> None:
    opinion = derive(PlanFacts(kind=kind, d_model=16, hidden=16, max_steps=2000), "measured").opinions["optim.warmup"]
    assert 0.05 <= opinion.value <= 0.10
    assert opinion.detail["low_steps"] <= opinion.detail["steps"] <= opinion.detail["high_steps"]


def test_width_that_was_not_trained_has_the_notes_share() -> None:
    assert derive(PlanFacts(kind="transformer", d_model=512), "measured").facts.warmup == Percent("7.5%")


def test_a_gru_has_none_by_the_note() -> None:
    assert derive(PlanFacts(kind="gru"), "note").facts.warmup == 0


def test_over_a_tenth_gives_number_and_advice() -> None:
    finding = checked(warmup=1000, max_steps=1954)["WU101"]
    assert (finding.severity, finding.patch) == ("warning", {"optim.warmup": Percent("7.5%")})
    assert "1000 of 1954 steps, 51%" in finding.message
    assert "147 steps" in finding.advice


def test_warmup_that_never_ends_is_an_error() -> None:
    assert checked(warmup=1954, max_steps=1954)["WU101"].severity == "error"


@pytest.mark.parametrize(("share", "flagged"), [("10%", False), ("10.1%", True), ("5%", False)])
def test_a_tenth_is_allowed(share: str, flagged: bool) -> None:
    assert ("WU101" in checked(warmup=Percent(share), max_steps=10_000)) is flagged


@pytest.mark.parametrize(("steps", "flagged"), [(19, True), (20, False)])
def test_a_share_under_one_step(steps: int, flagged: bool) -> None:
    assert ("WU102" in checked(warmup=Percent("5%"), max_steps=steps)) is flagged


def test_warmup_that_is_off_or_counted_is_no_share() -> None:
    assert "WU102" not in checked(warmup=0, max_steps=5)
    assert "WU102" not in checked(warmup=1, max_steps=5)
    assert "WU102" not in checked(warmup=Percent("0%"), max_steps=5)
