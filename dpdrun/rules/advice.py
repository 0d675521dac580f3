"""Deriving: which value every field of a rule gets, and which each profile would give it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from dpdrun.rules.engine import Evidence, Finding, Rule, Skipped, all_rules, evaluate_rules
from dpdrun.rules.facts.plan import KEY_OF, NAME_OF, SIZE_KEY_OF, PlanFacts

RuleSet = Literal["note", "measured"]


@dataclass(frozen=True)
class Opinion:
    """What one rule sets one field to; `value` as it stands in a recipe (a number, a Percent, a word)."""

    value: Any
    rule: str
    why: str
    evidence: Evidence
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Advice:
    """The outcome of deriving.

    Attributes:
        facts: the facts with every derived value in them.
        opinions: by dotted key, for the fields that a rule set.
        skipped: derive rules that were skipped, with the reason.
        warnings: findings of the check rules on the completed facts.
    """

    facts: PlanFacts
    opinions: dict[str, Opinion]
    skipped: list[Skipped]
    warnings: list[Finding]


def rules_for(profile: RuleSet, purpose: str) -> list[Rule]:
    """Return the rules of one purpose in a profile."""
    return [rule for rule in all_rules().values() if rule.purpose == purpose and rule.profile in (profile, "both")]


def derivable() -> list[str]:
    """Return the dotted keys that some rule sets, in the order of the recipe."""
    set_by_rules = {rule.sets for rule in all_rules().values() if rule.sets}
    return [key for key in KEY_OF.values() if key in set_by_rules]


def advised_sizes(kind: str | None) -> list[str]:
    """Return the dotted keys of the sizes that some rule advises on for a kind of model, in the order of the recipe."""
    known = {rule.sets for rule in all_rules().values() if kind in rule.box.get("kind", ())}
    return [key for key in SIZE_KEY_OF.values() if key in known]


def derive(facts: PlanFacts, profile: RuleSet) -> Advice:
    """Run the derive rules for every field that the facts leave open, then the check rules on the result."""
    facts = replace(facts, rules=profile)
    fields = [*advised_sizes(facts.kind), *derivable()]
    open_keys = {key for key in fields if facts.get(NAME_OF[key]) is None}
    rules = [rule for rule in rules_for(profile, "derive") if rule.sets in open_keys]
    opinions: dict[str, Opinion] = {}

    def absorb(seen: PlanFacts, rule: Rule, finding: Finding) -> PlanFacts:
        for key, value in finding.patch.items():
            if key in opinions:
                raise AssertionError(f"{opinions[key].rule} and {rule.code} both set {key}; give one a validity box")
            opinions[key] = _opinion(rule, finding, value)
        return seen.with_patch(finding.patch)

    outcome, complete = evaluate_rules(rules, facts, absorb)
    checks, _ = evaluate_rules(rules_for(profile, "check"), complete)
    return Advice(complete, opinions, outcome.skipped, checks.findings)


def opinion_on(key: str, facts: PlanFacts, profile: RuleSet) -> Opinion | None:
    """Return what a profile would set one field to, all others as in the facts; None when its rules are silent."""
    name = NAME_OF[key]
    rules = [rule for rule in rules_for(profile, "derive") if rule.sets == key]
    outcome, _ = evaluate_rules(rules, replace(facts, **{name: None}))
    if not outcome.findings:
        return None
    finding = outcome.findings[0]
    return _opinion(all_rules()[finding.code], finding, finding.patch[key])


def recommended_value(key: str, facts: PlanFacts) -> Any:
    """Return what the rules would set one field to, for a fix that writes the same; None when they are silent.

    Where the facts do not say which profile applies, it is that of `rules: measured`, as in a recipe.
    """
    opinion = opinion_on(key, facts, "note" if facts.rules == "note" else "measured")
    return None if opinion is None else opinion.value


def unset(advice: Advice, wanted: Collection[str]) -> dict[str, str]:
    """Return the wanted fields that stayed open, each with why its rules were silent."""
    reasons: dict[str, str] = {}
    rules = all_rules()
    for key in wanted:
        if advice.facts.get(NAME_OF[key]) is None:
            why = [skip.reason for skip in advice.skipped if rules[skip.code].sets == key]
            needs = [reason for reason in why if reason.startswith("needs ")]  # what would help, if anything
            reasons[key] = "; ".join(dict.fromkeys(needs or why)) or "no rule sets it"
    return reasons


def _opinion(rule: Rule, finding: Finding, value: Any) -> Opinion:
    detail = dict(finding.evidence)
    return Opinion(value, rule.code, finding.message, detail.pop("label", rule.evidence), detail)
