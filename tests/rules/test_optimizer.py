"""The numbers of AdamW."""

from __future__ import annotations

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.facts import PlanFacts
from dpdrun.rules.length import TARGET_STEPS


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize(("rules", "beta2"), [("note", 0.999), ("measured", 0.95)])
def test_betas_and_eps(kind: str, rules: str, beta2: float) -> None:
    facts = derive(PlanFacts(kind=kind), rules).facts
    assert (facts.beta1, facts.beta2, facts.eps) == (0.9, beta2, 1e-8)


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_measured_variance_settles_within_the_warmup(kind: str) -> None:
    """2/(1 - beta2) steps (Ma & Yarats 2021) fit into the warmup of a run of recommended length."""
    facts = derive(PlanFacts(kind=kind, d_model=16, hidden=16, max_steps=TARGET_STEPS[kind]), "measured").facts
    assert facts.beta2 is not None
    assert facts.warmup_steps is not None
    assert 2 / (1 - facts.beta2) <= facts.warmup_steps
