"""The engine: order, requirements, validity boxes, and what a user is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from dpdrun.errors import EXIT_BAD_INPUT
from dpdrun.recipe.fields import Percent
from dpdrun.rules.conditions import Found, Otherwise, Within, box_text
from dpdrun.rules.declare import set_to
from dpdrun.rules.engine import (
    CatalogueError,
    Choice,
    Finding,
    Rule,
    Skipped,
    Verdict,
    all_rules,
    enter,
    evaluate_rules,
    find_rule,
)
from dpdrun.rules.facts.plan import PlanFacts


def make(code: str, function: Callable[..., Verdict | Choice], **declared: Any) -> Rule:
    """A rule by itself; its digit is that of a check where it sets nothing."""
    return Rule(code, function.__name__, "", function, "a test", "assumed", {}, {}, "here:1", **declared)


def says(facts: PlanFacts) -> Verdict:
    return Finding("found")


def silent(facts: PlanFacts) -> Verdict:
    return None


def test_finding_is_stamped() -> None:
    def patches(facts: PlanFacts) -> Verdict:
        return Finding("found", {"optim.lr": 1.0})

    rules = [make("AA101", patches, fix="unsafe"), make("AA102", says, fix="unsafe")]
    outcome, _ = evaluate_rules(rules, PlanFacts())
    assert [(f.code, f.slug, f.fix) for f in outcome.findings] == [
        ("AA101", "patches", "unsafe"),
        ("AA102", "says", "none"),  # nothing to fix in this case
    ]


def test_rule_is_skipped_when_a_requirement_spoke() -> None:
    rules = [make("AA101", says, requires=("ZZ101",)), make("ZZ101", says)]
    outcome, _ = evaluate_rules(rules, PlanFacts())
    assert [f.code for f in outcome.findings] == ["ZZ101"]
    assert outcome.skipped == [Skipped("ZZ101 applies", "AA101")]


@pytest.mark.parametrize("required", [silent, lambda facts: Skipped("too few points")])
def test_rule_runs_when_its_requirement_did_not_speak(required: Callable[[PlanFacts], Verdict]) -> None:
    rules = [make("AA101", says, requires=("ZZ101",)), make("ZZ101", required)]
    outcome, _ = evaluate_rules(rules, PlanFacts())
    assert [f.code for f in outcome.findings] == ["AA101"]


def test_requirement_outside_the_set_is_passed_over() -> None:
    outcome, _ = evaluate_rules([make("AA101", says, requires=("ZZ101",))], PlanFacts())
    assert outcome.findings


def test_unknown_fact_skips_with_its_name() -> None:
    def takes(lr: float, batch: int) -> Verdict:
        return Finding("found")

    outcome, _ = evaluate_rules([make("AA101", takes)], PlanFacts())
    assert outcome.skipped == [Skipped("needs lr, train.batch_size", "AA101")]


@pytest.mark.parametrize(("d_model", "speaks"), [(7, False), (8, True), (64, True), (65, False)])
def test_validity_box_includes_its_ends(d_model: int, speaks: bool) -> None:
    def takes(d_model: Annotated[int, Within(8, 64)]) -> Verdict:
        return Finding("found")

    outcome, _ = evaluate_rules([make("AA101", takes)], PlanFacts(d_model=d_model))
    assert bool(outcome.findings) is speaks
    if not speaks:
        assert outcome.skipped[0].reason == f"outside the valid range: d_model is {d_model}, the rule covers 8 to 64"


def test_word_box() -> None:
    outcome, _ = evaluate_rules([make("AA101", says, kinds=("transformer", "gru"))], PlanFacts(kind="gmp"))
    assert "kind is gmp, the rule covers transformer or gru" in outcome.skipped[0].reason


def test_rules_that_set_a_needed_fact_run_first() -> None:
    """AA001 needs the number of steps, which depends on the batch, which ZZ001 sets."""
    seen: list[int | None] = []

    def steps(total_steps: int) -> Verdict:
        seen.append(total_steps)
        return None

    def batch() -> Choice:
        return Choice(4, "")

    rules = [make("AA001", steps), make("ZZ001", batch, sets="train.batch_size")]
    _, facts = evaluate_rules(
        rules, PlanFacts(frames=8, epochs=3), lambda facts, rule, finding: facts.with_patch(finding.patch)
    )
    assert seen == [6]
    assert facts.batch == 4


def test_order_does_not_depend_on_how_rules_are_given() -> None:
    rules = list(all_rules().values())
    facts = PlanFacts(kind="gru", hidden=8, samples=1000)
    derive_rules = [entry for entry in rules if entry.purpose == "derive" and entry.profile != "note"]
    forward, _ = evaluate_rules(derive_rules, facts)
    backward, _ = evaluate_rules(derive_rules[::-1], facts)
    assert forward.findings
    assert forward == backward


def test_a_code_is_not_given_twice() -> None:
    with pytest.raises(ValueError, match="never reused"):
        enter(make(next(iter(all_rules())), says))


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


def test_percent_is_written_as_one() -> None:
    assert Finding("m", {"optim.warmup": Percent("7.5%")}).to_json()["patch"] == {"optim.warmup": "7.5%"}


def test_box_text() -> None:
    assert box_text((1, float("inf"))) == "1 and above"
    assert box_text((8, 64)) == "8 to 64"
    assert box_text(("a", "b")) == "a or b"


@pytest.mark.parametrize(("lr", "outcome"), [(1e-3, "found"), (None, "silent")])
def test_a_fact_that_was_not_found_leaves_the_rule_silent(lr: float | None, outcome: str) -> None:
    def takes(lr: Found[float]) -> Verdict:
        return Finding("found")

    seen, _ = evaluate_rules([make("AA101", takes)], PlanFacts(lr=lr))
    assert (bool(seen.findings), bool(seen.silent), seen.skipped) == (outcome == "found", outcome == "silent", [])


def test_a_parameter_says_why_it_is_unknown() -> None:
    def takes(lr: Annotated[float, Otherwise("no lr in this log")]) -> Verdict:
        return Finding("found")

    outcome, _ = evaluate_rules([make("AA101", takes)], PlanFacts())
    assert outcome.skipped == [Skipped("no lr in this log", "AA101")]


def test_a_parameter_with_a_default_is_used_and_not_needed() -> None:
    def takes(lr: float = 0.5, batch: int | None = None) -> Verdict:
        return Finding(f"{lr} {batch}")

    rule = make("AA101", takes)
    assert (rule.needs, rule.uses) == ((), ("lr", "batch"))
    assert [
        evaluate_rules([rule], facts)[0].findings[0].message for facts in (PlanFacts(), PlanFacts(lr=1.0, batch=2))
    ] == [
        "0.5 None",
        "1.0 2",
    ]


def test_premise_goes_before_the_function() -> None:
    outcome, _ = evaluate_rules([make("AA101", says, premise=lambda facts: "not swept")], PlanFacts())
    assert outcome.skipped == [Skipped("not swept", "AA101")]


@pytest.mark.parametrize("fault", [AttributeError("no such fact"), AssertionError(), ZeroDivisionError()])
def test_a_rule_with_a_bug_is_contained(fault: Exception) -> None:
    def broken() -> Verdict:
        raise fault

    outcome, _ = evaluate_rules([make("AA101", broken), make("AA102", says, requires=("AA101",))], PlanFacts())
    assert [finding.code for finding in outcome.findings] == ["AA102"]
    (skip,) = outcome.skipped
    assert (skip.code, skip.failed) == ("AA101", True)
    assert skip.reason == f"rule AA101 failed: {fault!r}; please report it"


def test_an_interrupt_is_no_bug_of_a_rule() -> None:
    def interrupted() -> Verdict:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_rules([make("AA101", interrupted)], PlanFacts())


def test_advice_is_generated_from_the_patch() -> None:
    assert set_to({"optim.lr": 1e-3, "optim.warmup": Percent("5%")}) == "set optim.lr to 0.001 and optim.warmup to 5%"
    assert set_to({}) == ""
