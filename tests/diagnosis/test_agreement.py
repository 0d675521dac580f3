"""Findings that advise the same setting agree on its value."""

from __future__ import annotations

from dpdrun.diagnosis.agreement import agreed
from dpdrun.rules.engine import Finding


def lower(code: str, rate: float, words: str = "optim.lr") -> Finding:
    advice = f"lower {words} from 0.1 to {rate:g}; keep the best checkpoint"
    return Finding("x", {"optim.lr": rate}, "warning", advice=advice, code=code, fix="unsafe")


def test_the_first_number_is_that_of_all() -> None:
    findings = [lower("AA201", 0.03), lower("BB201", 0.05), lower("CC201", 0.01, "the learning rate")]
    first, second, third = agreed(findings, rate=0.1)
    assert first == lower("AA201", 0.03)
    assert second == lower("BB201", 0.03)
    assert third == lower("CC201", 0.03, "the learning rate")


def test_a_number_of_the_recipe_rules_has_precedence_where_it_points_there() -> None:
    assert [each.patch["optim.lr"] for each in agreed([lower("A", 0.03), lower("B", 0.05)], rate=0.1, given=0.02)] == [
        0.02
    ] * 2
    assert agreed([lower("A", 0.03)], rate=0.1, given=0.5) == [lower("A", 0.03)]


def test_advice_in_the_other_direction_waits() -> None:
    up = Finding(
        "slow", {"optim.lr": 0.3}, "warning", advice="raise optim.lr from 0.1 to 0.3", code="UP201", fix="unsafe"
    )
    _, later = agreed([lower("AA201", 0.03), up], rate=0.1)
    assert (later.patch, later.fix) == ({}, "none")
    assert later.advice == "AA201 comes first; diagnose again after its change of optim.lr"


def test_another_setting_is_the_first_one_s() -> None:
    one, other = ({"optim.clip_norm": value, "optim.warmup": 5} for value in (1.0, 2.0))
    seen = agreed([Finding("x", one, code="A"), Finding("x", other, code="B")], rate=0.0)
    assert [each.patch for each in seen] == [one, {"optim.warmup": 5}]
