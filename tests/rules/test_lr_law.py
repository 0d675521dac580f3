"""The law of the sweeps: arithmetic on the fitted numbers, and its limits."""

from __future__ import annotations

import math

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import find_rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import LRLaw, law_of, outside_sweep, swept_lr
from dpdrun.rules.pages import page_sections
from dpdrun.rules.text import two_digits

LAW = LRLaw(
    kind="transformer",
    level=-4.0,
    effects={"width": -0.5, "steps": -0.25, "batch": 0.5, "layers": -1.0},
    reference={"width": 16, "steps": 400, "batch": 8, "layers": 1},
    widths=(16, 64),
    swept={"steps": (400, 1600), "batch": (8, 32), "layers": (1, 4)},
)


def job(**facts: object) -> PlanFacts:
    return PlanFacts(**{"kind": "transformer", "d_model": 16, "max_steps": 400, "batch": 8, "layers": 1} | facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "exponent"),
    [
        ({}, -4.0),
        ({"d_model": 64}, -5.0),
        ({"d_model": 31}, -4.0),
        ({"d_model": 33}, -5.0),
        ({"max_steps": 1600}, -4.5),
        ({"max_steps": 10_000}, -4.5),
        ({"max_steps": 10}, -4.0),
        ({"batch": 32}, -3.0),
        ({"layers": 4}, -6.0),
        ({"max_steps": None, "batch": None, "layers": None}, -6.5),
    ],
)
def test_octaves_add_up(facts: dict[str, object], exponent: float) -> None:
    assert math.log2(LAW.lr(job(**facts))) == pytest.approx(exponent)


def test_what_is_beyond_is_named() -> None:
    assert LAW.beyond(job()) == []
    assert LAW.beyond(job(max_steps=8000, batch=256)) == ["8000 steps", "batch 256"]
    assert LAW.beyond(job(layers=8, max_steps=None)) == ["8 layers"]


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_the_study_has_both_kinds(kind: str) -> None:
    law = law_of(kind)
    assert law.effects
    assert set(law.effects) <= set(law.reference)
    assert law.widths


def test_what_was_not_swept_says_why() -> None:
    assert outside_sweep(PlanFacts(kind="transformer", d_model=32, window=32)) is None
    assert "windowed" in (outside_sweep(PlanFacts(kind="transformer", d_model=32, window=math.inf)) or "")
    wide = outside_sweep(PlanFacts(kind="transformer", d_model=512))
    assert wide == "our sweeps of Transformers cover widths of 8 to 256; this one has 512"
    units = outside_sweep(PlanFacts(kind="gru", hidden=512))
    assert units == "our sweeps of GRUs cover 8 to 64 units; this one has 512"
    assert "width" in (outside_sweep(PlanFacts(kind="gru")) or "")
    assert "gmp" in (outside_sweep(PlanFacts(kind="gmp")) or "")


def test_rules_outside_of_the_sweeps_name_the_bounds_of_the_kind() -> None:
    advice = derive(PlanFacts(kind="gru", hidden=512, max_steps=1000), "measured")
    reasons = {skip.code: skip.reason for skip in advice.skipped}
    assert {reasons[code] for code in ("OP010", "SC010", "WU010")} == {outside_sweep(advice.facts)}
    for code in ("OP010", "SC010", "WU010"):
        covered = " ".join(page_sections(find_rule(code))["Known limits"].split())
        for kind, words in (("transformer", "width {} to {}"), ("gru", "{} to {} units")):
            widths = law_of(kind).widths
            assert words.format(widths[0], widths[-1]) in covered, "its page says what it covers"


def test_two_digits() -> None:
    assert two_digits(0.012345) == 0.012


def test_swept_rate_is_silent_where_the_sweeps_are() -> None:
    facts = PlanFacts(kind="transformer", d_model=16, layers=2, window=32, batch=8, max_steps=400)
    assert swept_lr(facts) == two_digits(law_of("transformer").lr(facts))
    assert swept_lr(PlanFacts(kind="transformer", d_model=16, window=math.inf)) is None
    assert swept_lr(PlanFacts(kind="gmp")) is None
