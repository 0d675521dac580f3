"""Guard samples at the cuts of a record."""

from __future__ import annotations

import math

import pytest

from dpdrun.data.splits import GUARD_SAMPLES
from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import framing, splitting


def checked(**facts: object) -> dict[str, Finding]:
    return {finding.code: finding for finding in derive(PlanFacts(**facts), "measured").warnings}  # type: ignore[arg-type]


@pytest.mark.parametrize(("guard", "flagged"), [(0, True), (64, True), (65, False), (256, False), (None, False)])
def test_guard_against_a_receptive_field_of_65(guard: int | None, flagged: bool) -> None:
    assert ("SP101" in checked(kind="transformer", layers=2, window=32, conv=4, guard=guard)) is flagged


@pytest.mark.parametrize(
    "model", [{"kind": "gru", "hidden": 8}, {"kind": "transformer", "window": math.inf, "layers": 1}]
)
def test_memory_without_an_end_is_taken_as_that_of_a_gru(model: dict[str, object]) -> None:
    assert checked(**model, guard=63)["SP101"].patch == {"data.split.guard": 256}
    assert "SP101" not in checked(**model, guard=64)


def test_long_receptive_field_gets_a_guard_of_its_length() -> None:
    finding = checked(kind="transformer", layers=4, window=128, conv=4, guard=256)["SP101"]
    assert finding.patch == {"data.split.guard": 4 * 127 + 3}


def test_numbers_are_those_of_the_data_and_of_the_burn_in() -> None:
    assert splitting.GUARD == GUARD_SAMPLES
    assert splitting.GRU_REACH == framing.GRU_BURN_IN
