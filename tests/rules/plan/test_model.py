"""Sizes that cannot work together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import evaluate_rules, find_rule
from dpdrun.rules.facts.plan import PlanFacts


@given(st.integers(1, 512), st.integers(1, 64))
def test_heads_are_flagged_exactly_when_they_do_not_divide(d_model: int, heads: int) -> None:
    facts = PlanFacts(kind="transformer", d_model=d_model, heads=heads)
    outcome, _ = evaluate_rules([find_rule("MD101")], facts)
    assert bool(outcome.findings) is (d_model % heads != 0)
    for finding in outcome.findings:
        assert d_model % finding.patch["model.heads"] == 0
        assert 1 <= finding.patch["model.heads"] < heads


@pytest.mark.parametrize(("embedding", "flagged"), [("layernorm_mlp", True), ("linear", False)])
def test_layernorm_on_raw_iq(embedding: str, flagged: bool) -> None:
    found = derive(PlanFacts(kind="transformer", embedding=embedding), "measured").warnings
    assert [f.code for f in found] == (["MD102"] if flagged else [])
    assert all(f.severity == "warning" and f.patch == {"model.embedding": "linear"} for f in found)


@pytest.mark.parametrize(
    ("code", "faulty", "sound"),
    [
        ("MD103", {"features": "iq"}, {"features": "envelope"}),
        ("MD104", {"conv": 0}, {"conv": 4}),
        ("MD105", {"skip": "off", "residual_init": "zero"}, {"skip": "on", "residual_init": "zero"}),
        ("MD105", {"skip": "on", "residual_init": "xavier"}, {"skip": "on", "residual_init": "zero"}),
    ],
)
def test_parts_that_amplifier_models_need(code: str, faulty: dict[str, Any], sound: dict[str, Any]) -> None:
    found = derive(PlanFacts(kind="transformer", **faulty), "measured").warnings
    (finding,) = (each for each in found if each.code == code)
    changed = {key for key in faulty if faulty[key] != sound[key]}
    assert finding.patch == {f"model.{key}": sound[key] for key in changed}
    assert finding.severity == "warning"
    for facts, profile in ((sound, "measured"), (faulty, "note")):
        codes = {each.code for each in derive(PlanFacts(kind="transformer", **facts), profile).warnings}  # type: ignore[arg-type]
        assert code not in codes


@pytest.mark.parametrize(("features", "flagged"), [("iq", True), ("envelope", False)])
def test_a_gru_needs_the_envelope_too(features: str, *, flagged: bool) -> None:
    found = derive(PlanFacts(kind="gru", features=features), "measured").warnings
    assert ("MD103" in {each.code for each in found}) is flagged
    assert "MD103" not in {each.code for each in derive(PlanFacts(kind="gru", features=features), "note").warnings}
