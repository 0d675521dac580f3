"""Recommend hyper-parameters: every value with its rule, its reason, and the value of the founding Transformer note."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from dpdrun.recipe.fields import Percent
from dpdrun.recipe.patch import render
from dpdrun.rules.advice import Advice, Opinion, RuleSet, advised_sizes, derivable, derive, opinion_on, unset
from dpdrun.rules.engine import Evidence, Finding, Skipped, all_rules, plain
from dpdrun.rules.facts.plan import NAME_OF, PlanFacts, as_recipe_value, steps_of_share
from dpdrun.rules.regret import Regret, Worth, regret_of, worth_of

SCHEMA_VERSION = 1
FEW_STEPS = 10  # in an epoch; from there on a length is stated in steps
NEAR = 0.03  # of a count: what "about" covers


@dataclass(frozen=True)
class Value:
    """One recommended value.

    Attributes:
        value: as a recipe writes it.
        low, high: the range it was chosen from, None when there is none.
        note_value: the value of the founding Transformer note, None where it has none.
        note_low, note_high: the range around that value, None where the note gives none.
        rule: code of the rule that set it, None when the user did.
        advised: when the user set it: what the rules would have set.
        regret, note_regret: expected loss of this value, and of the note's, against the best [dB].
        worth: the loss without the rule that set it [dB].
    """

    key: str
    value: Any
    low: Any
    high: Any
    note_value: Any
    rule: str | None
    evidence: Evidence | None
    why: str
    advised: Any = None
    regret: Regret | None = None
    note_regret: Regret | None = None
    worth: Worth | None = None
    note_low: Any = None
    note_high: Any = None

    @property
    def differs_from_note(self) -> bool:
        """Return whether the note has another value, or a range that this one is not in."""
        if self.note_value is None or self.note_value == self.value:
            return False
        low, high = (_number(bound) for bound in (self.note_low, self.note_high))
        value = _number(self.value)
        if value is None or low is None or isinstance(self.value, Percent) != isinstance(self.note_value, Percent):
            return True
        return not low <= value <= (inf if high is None else high)

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form; a regret or worth that was not measured is null."""
        names = ("value", "low", "high", "note_value", "note_low", "note_high", "rule", "evidence", "why")
        return {name: plain(getattr(self, name)) for name in names} | {
            "regret_db": self.regret.median_db if self.regret else None,
            "regret_p95_db": self.regret.p95_db if self.regret else None,
            "note_regret_db": self.note_regret.median_db if self.note_regret else None,
            "worth_db": self.worth.median_db if self.worth else None,
            "advised": plain(self.advised),
        }


@dataclass(frozen=True)
class Recommendation:
    """All values, and what follows from them.

    Attributes:
        warmup_range: the note's 5 to 10 % of all steps [optimizer steps].
        left_open: fields that no rule could set, each with the reason.
        skipped: rules with precedence for a field that is set, but that do not cover this job.
    """

    rules: RuleSet
    values: dict[str, Value]
    total_steps: int | None
    warmup_steps: int | None
    warmup_range: tuple[int, int] | None
    warnings: list[Finding]
    left_open: dict[str, str]
    facts: PlanFacts
    skipped: list[Skipped]

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (`dpdrun recommend --format json`)."""
        return {
            "schema_version": SCHEMA_VERSION,
            "rules": self.rules,
            "values": {key: value.to_json() for key, value in self.values.items()},
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "warmup_steps_range": list(self.warmup_range) if self.warmup_range else None,
            "rounded": self._rounded(),
            "warnings": [finding.to_json() for finding in self.warnings],
            "left_open": self.left_open,
            "skipped": [{"code": skip.code, "field": field_of(skip), "reason": skip.reason} for skip in self.skipped],
        }

    def _rounded(self) -> dict[str, Any]:
        """The counts in round numbers, as in the note's example: about 2000 steps, 100 to 200 of warmup."""
        return {
            "total_steps": None if self.total_steps is None else about(self.total_steps),
            "warmup_steps": None if self.warmup_steps is None else about(self.warmup_steps),
            "warmup_steps_range": [about(steps) for steps in self.warmup_range] if self.warmup_range else None,
        }


def recommend(facts: PlanFacts, rules: RuleSet) -> Recommendation:
    """Derive every value that the facts leave open.

    Args:
        facts: what is known of the job; what is None is derived where a rule covers it.
        rules: which rules to evaluate; the note's values come with them in any case.
    """
    advice = derive(facts, rules)
    in_steps = _in_steps(advice)
    if in_steps is not None:
        advice = derive(replace(facts, max_steps=in_steps.value), rules)
    complete = advice.facts
    wanted = [] if complete.kind == "gmp" else derivable()
    if complete.max_steps is not None and wanted:
        wanted.remove("train.epochs")
    measured_memory = complete.memory is not None and rules == "measured"  # what the rules for sizes need
    sizes = advised_sizes(complete.kind) if measured_memory else []
    values = {key: _value(key, advice, rules) for key in [*sizes, *wanted] if complete.get(NAME_OF[key]) is not None}
    values = {key: _measured(value, complete) for key, value in values.items()}
    if in_steps is not None:
        values[in_steps.key] = in_steps
        values = {key: values[key] for key in NAME_OF if key in values}
    total = complete.total_steps
    return Recommendation(
        rules=rules,
        values=values,
        total_steps=total,
        warmup_steps=complete.warmup_steps,
        warmup_range=None if not total else (steps_of_share(0.05, total), steps_of_share(0.10, total)),
        warnings=advice.warnings,
        left_open=unset(advice, wanted),
        facts=complete,
        skipped=[skip for skip in advice.skipped if _would_have_answered(skip, values, complete)],
    )


def _in_steps(advice: Advice) -> Value | None:
    """Convert the length that a rule gave in epochs to optimizer steps, where an epoch is only a few of them.

    With large batches of frames that do not overlap, thousands of epochs take an hour.
    """
    opinion, facts = advice.opinions.get("train.epochs"), advice.facts
    if opinion is None or not facts.total_steps or facts.total_steps >= opinion.value * FEW_STEPS:
        return None
    steps = int(float(f"{facts.total_steps:.2g}"))
    why = f"{opinion.value:g} epochs of {facts.total_steps / opinion.value:.2g} steps; {opinion.why}"
    return Value("train.max_steps", steps, None, None, None, opinion.rule, opinion.evidence, why)


def field_of(skip: Skipped) -> str:
    """Return the dotted key that a skipped rule would have set."""
    return all_rules()[skip.code].sets or ""


def _would_have_answered(skip: Skipped, values: Mapping[str, Value], facts: PlanFacts) -> bool:
    """Return whether only the size of this job kept a rule from its field, not a missing fact or another rule."""
    rule = all_rules()[skip.code]
    elsewhere = facts.kind not in rule.box.get("kind", (facts.kind,))
    unasked = skip.reason.startswith("needs ") or skip.reason.endswith(" applies")
    value = values.get(rule.sets or "")
    return not elsewhere and not unasked and value is not None and value.rule is not None


def _value(key: str, advice: Advice, rules: RuleSet) -> Value:
    note = _of_the_note(opinion_on(key, advice.facts, "note"))
    range_ = {f"note_{end}": note.detail.get(end) if note else None for end in ("low", "high")}
    note_value = note.value if note else None
    if (by_rule := advice.opinions.get(key)) is not None:
        low, high = by_rule.detail.get("low"), by_rule.detail.get("high")
        return Value(key, by_rule.value, low, high, note_value, by_rule.rule, by_rule.evidence, by_rule.why, **range_)
    given = as_recipe_value(NAME_OF[key], advice.facts.get(NAME_OF[key]))
    ours = opinion_on(key, advice.facts, rules)
    advised = ours.value if ours else None
    return Value(key, given, None, None, note_value, None, None, _beside(given, ours), advised, **range_)


def _measured(value: Value, facts: PlanFacts) -> Value:
    """Add the regret of a value and the worth of its rule, where jobs like this one were swept."""
    encoder = facts.kind == "transformer" and facts.window == inf  # the note's own, whose rules were dropped as well
    lr = opinion_on("optim.lr", facts, "measured")
    swept = lr is not None and all_rules()[lr.rule].evidence == "measured"
    if value.rule and (encoder or swept):
        ours = opinion_on(value.key, facts, "measured")
        if ours is not None and ours.rule == value.rule:
            value = replace(value, worth=worth_of("note" if encoder else facts.kind, value.key, facts.total_steps))
    if value.key != "optim.lr" or lr is None or not swept:
        return value
    of_note = value.note_value if value.differs_from_note else None
    return replace(
        value,
        regret=regret_of(facts.kind, value.value, lr.value, facts.total_steps),
        note_regret=None if of_note is None else regret_of(facts.kind, of_note, lr.value, facts.total_steps),
    )


def _number(value: Any) -> float | None:
    """Return a value as a number, a percentage as its share; None for a word."""
    if isinstance(value, str):
        return Percent(value) if value.endswith("%") else None
    return None if value is None else float(value)


def _of_the_note(opinion: Opinion | None) -> Opinion | None:
    """Return an opinion under `rules: note`, unless it comes from a rule that is not of the note."""
    return opinion if opinion is not None and all_rules()[opinion.rule].is_of_note else None


def _beside(given: Any, ours: Opinion | None) -> str:
    if ours is None:
        return "given"
    if given == ours.value and isinstance(given, Percent) == isinstance(ours.value, Percent):
        return f"given; {ours.rule} would set the same"
    return f"given; {ours.rule} would set {render(ours.value)}"


def about(number: int) -> int:
    """Round a count to half a digit: 1954 is about 2000, 98 about 100; 125 stays, no round number is near."""
    if number < 10:
        return number
    unit = 5 * 10 ** (len(str(number)) - 2)
    rounded = round(number / unit) * unit
    return rounded if abs(rounded - number) <= NEAR * number else number


def silent_lines(recommendation: Recommendation) -> list[str]:
    """List the rules with precedence that do not cover this job, a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for skip in recommendation.skipped:
        by_reason.setdefault(skip.reason, []).append(f"{skip.code} for {field_of(skip)}")
    lines = []
    for reason, rules in by_reason.items():
        why = reason.removeprefix("outside the valid range: ")
        why = why.replace("the rule covers", "it covers" if len(rules) == 1 else "they cover")
        lines.append(f"not applicable: {', '.join(sorted(rules))}: {why}")
    return lines
