"""PK: what is set for kinds of plug-ins, and that no rule has a learning rate for them."""

from __future__ import annotations

import pytest

from dpdrun.rules.advice import RuleSet, derive, unset
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.facts.words import PLUG_IN


@pytest.mark.parametrize("profile", ["note", "measured"])
def test_all_but_the_learning_rate_is_set(profile: RuleSet) -> None:
    advice = derive(PlanFacts(kind=PLUG_IN, plugin_kind="mine", samples=50_000, max_steps=900), profile)
    assert {key: opinion.value for key, opinion in advice.opinions.items() if opinion.rule.startswith("PK")} == {
        "train.batch_size": 32,
        "optim.schedule": "cosine",
        "optim.warmup": pytest.approx(0.05),
        "optim.clip_norm": 1.0,
    }
    assert "optim.lr" not in advice.opinions
    assert "kind is plug-in, the rule covers" in unset(advice, ["optim.lr"])["optim.lr"]


@pytest.mark.parametrize(("reach", "burn_in"), [(None, 64), (0, 0), (30, 30)])
def test_the_burn_in_is_the_declared_context(reach: int | None, burn_in: int) -> None:
    advice = derive(PlanFacts(kind=PLUG_IN, reach=reach, samples=50_000, max_steps=900), "measured")
    assert advice.opinions["train.burn_in"].value == burn_in
