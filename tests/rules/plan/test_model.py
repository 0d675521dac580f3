"""Sizes that cannot work together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules.advice import derive
from dpdrun.rules.catalogue import evaluate, find_rule
from dpdrun.rules.plan_facts import PlanFacts


@given(st.integers(1, 512), st.integers(1, 64))
def test_heads_are_flagged_exactly_when_they_do_not_divide(d_model: int, heads: int) -> None:
    facts = PlanFacts(kind="transformer", d_model=d_model, heads=heads)
    outcome, _ = evaluate([find_rule("MD101")], facts)
    assert bool(outcome.findings) is (d_model % heads != 0)
    for finding in outcome.findings:
        assert d_model % finding.patch["model.heads"] == 0
        assert 1 <= finding.patch["model.heads"] < heads


@pytest.mark.parametrize(("embedding", "flagged"), [("layernorm_mlp", True), ("linear", False)])
def test_layernorm_on_raw_iq(embedding: str, flagged: bool) -> None:
    found = derive(PlanFacts(kind="transformer", embedding=embedding), "measured").warnings
    assert [f.code for f in found] == (["MD102"] if flagged else [])
    assert all(f.severity == "warning" and f.patch == {"model.embedding": "linear"} for f in found)
