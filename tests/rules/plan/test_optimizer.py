"""The numbers of AdamW."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import optimizer
from dpdrun.rules.plan.length import TARGET_STEPS


@pytest.mark.parametrize("kind", ["transformer", "gru"])
@pytest.mark.parametrize(("rules", "beta2"), [("note", 0.999), ("measured", 0.95)])
def test_betas_and_eps(kind: str, rules: str, beta2: float) -> None:
    facts = derive(PlanFacts(kind=kind, d_model=16, hidden=16), rules).facts
    assert (facts.beta1, facts.beta2, facts.eps) == (0.9, beta2, 1e-8)


@pytest.mark.parametrize(
    ("d_model", "steps", "rule", "beta2"),
    [
        (16, None, "OP010", 0.95),
        (16, 40, "OP010", 0.95),
        (16, 39, "OP010", 0.9),
        (512, None, "OP002", 0.999),
        (512, 2000, "OP011", 0.986),
        (512, 100_000, "OP011", 0.999),
        (512, 100, "OP011", 0.9),
    ],
)
def test_beta2_gives_way_to_the_warmup(d_model: int, steps: int | None, rule: str, beta2: float) -> None:
    opinion = derive(PlanFacts(kind="transformer", d_model=d_model, max_steps=steps), "measured").opinions[
        "optim.beta2"
    ]
    assert (opinion.rule, opinion.value) == (rule, beta2)


@pytest.mark.parametrize(("steps", "said"), [(780, "this combination was measured"), (800, "within a warmup of 5 %")])
def test_settling_is_compared_with_the_warmup(steps: int, said: str) -> None:
    advice = derive(PlanFacts(kind="transformer", d_model=16, max_steps=steps), "measured").opinions
    assert said in advice["optim.beta2"].why
    assert ("though beta2" in advice["optim.warmup"].why) is (steps < 800)


@pytest.mark.parametrize(
    ("facts", "beta2", "said"),
    [
        ({}, 0.986, "the warmup (147 steps)"),  # WU001 sets 7.5 %
        ({"warmup": 195}, 0.989, "the warmup (195 steps)"),
        ({"warmup": 1000}, 0.986, "a warmup of 7.5 % (147 steps)"),  # as WU101 would have it
        ({"warmup": 5}, 0.979, "5 % of the run (98 steps)"),
        ({"warmup": 0}, 0.979, "5 % of the run (98 steps)"),
        ({"kind": "gru", "hidden": 512}, 0.979, "5 % of the run (98 steps)"),  # WU002: off
        ({"max_steps": 100}, 0.9, "settles in 20 steps, the minimum; the warmup (8 steps) is shorter"),
    ],
)
def test_beta2_is_that_of_the_plans_warmup(facts: dict[str, Any], beta2: float, said: str) -> None:
    base: dict[str, Any] = {"kind": "transformer", "d_model": 512, "max_steps": 1954}
    opinion = derive(PlanFacts(**(base | facts)), "measured").opinions["optim.beta2"]
    assert (opinion.rule, opinion.value) == ("OP011", beta2)
    assert said in opinion.why


@given(steps=st.integers(20, 1999), width=st.sampled_from([16, 512]), warmup=st.none() | st.integers(0, 1999))
def test_a_fix_of_beta2_is_what_the_rules_would_set(steps: int, width: int, warmup: int | None) -> None:
    facts = PlanFacts(kind="transformer", d_model=width, max_steps=steps, warmup=warmup)
    ours = derive(facts, "measured").opinions["optim.beta2"].value
    found = {f.code: f for f in derive(replace(facts, beta2=0.999), "measured").warnings}
    assert found["OP101"].patch == {"optim.beta2": ours}


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_measured_variance_settles_within_the_warmup(kind: str) -> None:
    """2/(1 - beta2) steps (Ma & Yarats 2021) fit into the warmup of a run of recommended length."""
    facts = derive(PlanFacts(kind=kind, d_model=16, hidden=16, max_steps=TARGET_STEPS[kind]), "measured").facts
    assert facts.beta2 is not None
    assert facts.warmup_steps is not None
    assert 2 / (1 - facts.beta2) <= facts.warmup_steps


def checked(**facts: object) -> dict[str, Finding]:
    base: dict[str, object] = {"kind": "transformer", "d_model": 16, "layers": 2, "window": 32.0}
    advice = derive(PlanFacts(**(base | facts)), "measured")  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("OP")}


@given(steps=st.integers(20, 10**6))
def test_beta2_settles_within_the_steps_that_it_was_made_for(steps: int) -> None:
    settled = optimizer.settling_steps(optimizer.within(steps))
    assert settled <= steps
    longer = optimizer.settling_steps(min(0.999999, optimizer.within(steps) + 0.001))
    assert longer > steps or optimizer.within(steps) >= 0.999, "it is the largest of three decimals"


@pytest.mark.parametrize(("beta2", "settled"), [(0.999, 2000), (0.99, 200), (0.95, 40), (0.9, 20)])
def test_settling_time(beta2: float, settled: int) -> None:
    assert optimizer.settling_steps(beta2) == settled


@pytest.mark.parametrize(("steps", "flagged"), [(1999, True), (2000, False)])
def test_run_shorter_than_adams_memory(steps: int, flagged: bool) -> None:
    assert ("OP101" in checked(beta2=0.999, max_steps=steps)) is flagged


@given(steps=st.integers(20, 1999))
def test_advised_beta2_settles_within_the_run(steps: int) -> None:
    advised = checked(beta2=0.999, max_steps=steps)["OP101"].patch["optim.beta2"]
    assert 0.9 <= advised <= 0.95
    assert "OP101" not in checked(beta2=advised, max_steps=steps)


def test_note_keeps_its_own_beta2() -> None:
    assert not derive(PlanFacts(kind="transformer", d_model=256, max_steps=1954), "note").warnings


@pytest.mark.parametrize(
    ("eps", "severity"), [(1e-8, None), (1e-6, None), (2e-5, "info"), (2e-4, "warning"), (1e-3, "warning")]
)
def test_eps_against_a_gradient_of_a_ten_thousandth(eps: float, severity: str | None) -> None:
    """6144 weights and a norm of 0.01: rms 1.3e-4."""
    found = checked(eps=eps, max_steps=1000).get("OP102")
    assert (found.severity if found else None) == severity
    if found:
        assert found.patch == {"optim.eps": 1e-8}


def test_share_by_which_eps_shortens_a_step() -> None:
    rms = 0.01 / math.sqrt(6144)
    assert "50% shorter" in checked(eps=rms, max_steps=1000)["OP102"].message


def test_eps_advised_for_a_huge_network_is_small_enough() -> None:
    huge = {"d_model": 40_000, "layers": 60, "max_steps": 1000}
    advised = checked(eps=1e-8, **huge)["OP102"].patch["optim.eps"]
    assert "OP102" not in checked(eps=advised, **huge)
