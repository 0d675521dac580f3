"""Weight decay, and how long it takes to act."""

from __future__ import annotations

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.facts import PlanFacts


@pytest.mark.parametrize("rules", ["note", "measured"])
@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_weight_decay(kind: str, rules: str) -> None:
    assert derive(PlanFacts(kind=kind), rules).facts.weight_decay == 0.01


def test_time_scale_is_said_when_the_learning_rate_is_known() -> None:
    why = derive(PlanFacts(kind="gru", lr=3e-4), "note").opinions["optim.weight_decay"].why
    assert "333,333 steps" in why
    derived = derive(PlanFacts(kind="transformer", d_model=256), "note").opinions  # the lr rule is asked first
    assert "333,333 steps" in derived["optim.weight_decay"].why
    assert "steps" not in derive(PlanFacts(kind="gru"), "note").opinions["optim.weight_decay"].why
