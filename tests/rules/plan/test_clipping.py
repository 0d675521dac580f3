"""Clip norms of a plan against the norms that are met."""

from __future__ import annotations

import math

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import clipping


def checked(profile: str = "measured", **facts: object) -> dict[str, Finding]:
    advice = derive(PlanFacts(d_model=16, hidden=16, max_steps=1000, **facts), profile)  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("CL")}


@pytest.mark.parametrize(
    ("clip", "codes"),
    [
        (200.0, {"CL101"}),
        (10.0 * clipping.FIRST_NORM, set()),
        (1.0, set()),
        (clipping.LEAST_NORM, set()),
        (0.001, {"CL102"}),
        (math.inf, set()),
    ],
)
def test_clip_against_the_norms_that_are_met(clip: float, codes: set[str]) -> None:
    found = checked(kind="transformer", clip_norm=clip)
    assert set(found) == codes
    assert all(finding.patch == {"optim.clip_norm": 1.0} for finding in found.values())


@pytest.mark.parametrize("profile", ["note", "measured"])
def test_clip_of_200_is_a_fault_of_a_transformer_in_either_profile(profile: str) -> None:
    assert checked(profile, kind="transformer", clip_norm=200.0)["CL101"].severity == "warning"


def test_clip_of_200_of_a_gru_is_worth_a_word_and_the_note_may_set_it() -> None:
    assert checked(kind="gru", clip_norm=200.0)["CL103"].severity == "info"
    assert checked("note", kind="gru") == {}
