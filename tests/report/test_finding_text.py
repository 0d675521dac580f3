"""The pieces of text of a finding."""

from __future__ import annotations

from dpdrun.report.finding_text import by_reason, named, numbers_of, patch_of, why_of
from dpdrun.rules.engine import Finding, Skipped, all_rules


def test_numbers_are_short() -> None:
    finding = Finding("x", evidence={"value": 0.123456, "p": 1e-20, "n": 400, "worst_step": 7, "pattern": "stuck"})
    assert numbers_of(finding) == "value 0.1235, p < 0.0001, n 400, worst step 7, pattern stuck"


def test_why_is_of_the_page() -> None:
    rules = [rule for rule in all_rules().values() if rule.purpose == "diagnose"]
    assert len(rules) > 5
    for rule in rules:
        long, short = why_of(rule.code), why_of(rule.code, sentences=1)
        assert long
        assert "\n" not in long
        assert short.endswith(".")
        assert long.startswith(short.removesuffix("."))


def test_patch_and_name() -> None:
    assert patch_of(Finding("x", {"optim.lr": 3e-3, "optim.clip_norm": 1.0})) == "optim.lr: 3e-3, optim.clip_norm: 1"
    assert patch_of(Finding("x")) == ""
    assert named("GN201") == "GN201 gradient_norm_climbs"


def test_skipped_rules_of_one_reason_stand_together() -> None:
    skipped = [Skipped("a", "X1"), Skipped("b", "X2"), Skipped("a", "X3")]
    assert by_reason(skipped) == {"a": ["X1", "X3"], "b": ["X2"]}
