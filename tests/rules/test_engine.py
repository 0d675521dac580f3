"""The engine: order, requirements, validity boxes, and what a user is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.errors import EXIT_BAD_INPUT
from dpdrun.recipe.fields import Percent
from dpdrun.rules.engine import (
    CatalogueError,
    Finding,
    Rule,
    Skipped,
    Verdict,
    all_rules,
    box_text,
    evaluate,
    find_rule,
    rule,
)
from dpdrun.rules.facts.plan import PlanFacts


def make(code: str, function: Callable[[PlanFacts], Verdict], **declared: Any) -> Rule:
    defaults: dict[str, Any] = {
        "profile": "both", "purpose": "derive", "source": "a test", "evidence": "assumed", "fix": "none", "sets": None,
        "box": {}, "needs": (), "uses": (), "requires": (), "results": None, "fires": PlanFacts, "silent": PlanFacts,
    }  # fmt: skip
    declared["needs"] = (*declared.get("box", {}), *declared.get("needs", ()))
    return Rule(code=code, function=function, **(defaults | declared))


def says(facts: PlanFacts) -> Verdict:
    return Finding("found")


def silent(facts: PlanFacts) -> Verdict:
    return None


def test_finding_is_stamped() -> None:
    def patches(facts: PlanFacts) -> Verdict:
        return Finding("found", {"optim.lr": 1.0})

    rules = [make("AA001", patches, fix="unsafe"), make("AA002", says, fix="unsafe")]
    outcome, _ = evaluate(rules, PlanFacts())
    assert [(f.code, f.slug, f.fix) for f in outcome.findings] == [
        ("AA001", "patches", "unsafe"),
        ("AA002", "says", "none"),  # nothing to fix in this case
    ]


def test_rule_is_skipped_when_a_requirement_spoke() -> None:
    rules = [make("AA001", says, requires=("ZZ001",)), make("ZZ001", says)]
    outcome, _ = evaluate(rules, PlanFacts())
    assert [f.code for f in outcome.findings] == ["ZZ001"]
    assert outcome.skipped == [Skipped("ZZ001 applies", "AA001")]


@pytest.mark.parametrize("required", [silent, lambda facts: Skipped("too few points")])
def test_rule_runs_when_its_requirement_did_not_speak(required: Callable[[PlanFacts], Verdict]) -> None:
    rules = [make("AA001", says, requires=("ZZ001",)), make("ZZ001", required)]
    outcome, _ = evaluate(rules, PlanFacts())
    assert [f.code for f in outcome.findings] == ["AA001"]


def test_requirement_outside_the_set_is_passed_over() -> None:
    outcome, _ = evaluate([make("AA001", says, requires=("ZZ001",))], PlanFacts())
    assert outcome.findings


def test_unknown_fact_skips_with_its_name() -> None:
    outcome, _ = evaluate([make("AA001", says, needs=("lr", "batch"))], PlanFacts())
    assert outcome.skipped == [Skipped("needs lr, train.batch_size", "AA001")]


@pytest.mark.parametrize(("d_model", "speaks"), [(7, False), (8, True), (64, True), (65, False)])
def test_validity_box_includes_its_ends(d_model: int, speaks: bool) -> None:
    outcome, _ = evaluate([make("AA001", says, box={"d_model": (8, 64)})], PlanFacts(d_model=d_model))
    assert bool(outcome.findings) is speaks
    if not speaks:
        assert outcome.skipped[0].reason == f"outside its validity box: d_model is {d_model}, the rule covers 8 to 64"


def test_word_box() -> None:
    outcome, _ = evaluate([make("AA001", says, box={"kind": ("transformer", "gru")})], PlanFacts(kind="gmp"))
    assert "kind is gmp, the rule covers transformer or gru" in outcome.skipped[0].reason


def test_rules_that_set_a_needed_fact_run_first() -> None:
    """AA001 needs the number of steps, which depends on the batch, which ZZ001 sets."""
    seen: list[int | None] = []

    def steps(facts: PlanFacts) -> Verdict:
        seen.append(facts.total_steps)
        return None

    def batch(facts: PlanFacts) -> Verdict:
        return Finding("", {"train.batch_size": 4})

    rules = [make("AA001", steps, needs=("total_steps",)), make("ZZ001", batch, sets="train.batch_size")]
    _, facts = evaluate(
        rules, PlanFacts(frames=8, epochs=3), lambda facts, rule, finding: facts.with_patch(finding.patch)
    )
    assert seen == [6]
    assert facts.batch == 4


def test_order_does_not_depend_on_how_rules_are_given() -> None:
    rules = list(all_rules().values())
    facts = PlanFacts(kind="gru", hidden=8, samples=1000)
    derive_rules = [entry for entry in rules if entry.purpose == "derive" and entry.profile != "note"]
    forward, _ = evaluate(derive_rules, facts)
    backward, _ = evaluate(derive_rules[::-1], facts)
    assert forward.findings
    assert forward == backward


def test_a_code_is_not_given_twice() -> None:
    taken = next(iter(all_rules()))
    declare = rule(taken, source="", evidence="assumed", fires=PlanFacts, silent=PlanFacts)
    with pytest.raises(ValueError, match="never reused"):
        declare(says)


@pytest.mark.parametrize("name", ["LR001", "lr001", "lr_by_width_band"])
def test_find_rule(name: str) -> None:
    assert find_rule(name).code == "LR001"


def test_unknown_rule_names_near_ones() -> None:
    with pytest.raises(CatalogueError, match="did you mean WU101") as error:
        find_rule("WU111")
    assert error.value.exit_code == EXIT_BAD_INPUT


def test_unknown_slug_names_the_near_code() -> None:
    with pytest.raises(CatalogueError, match="did you mean LR001"):
        find_rule("lr_by_width_bands")


def test_finding_survives_json() -> None:
    finding = Finding(
        "m", {"optim.lr": 1e-3}, "warning", step=3, evidence={"n": 2}, advice="a", code="AA001", slug="s", fix="safe"
    )
    assert Finding.from_json(finding.to_json()) == finding
    assert Finding.from_json(finding.to_json() | {"of_a_later_version": 1}) == finding


def test_percent_is_written_as_one() -> None:
    assert Finding("m", {"optim.warmup": Percent("7.5%")}).to_json()["patch"] == {"optim.warmup": "7.5%"}


def test_box_text() -> None:
    assert box_text((1, float("inf"))) == "1 and above"
    assert box_text((8, 64)) == "8 to 64"
    assert box_text(("a", "b")) == "a or b"
