"""What a rule is, the catalogue of all rules, and the one engine that runs them.

A rule is a function from facts to a `Finding`, to `Skipped(reason)`, or to None: checked, nothing to report. Its
parameters are the facts that it takes, annotated with where it is valid; the engine calls it only where they are known.
Rules that derive a recipe value, check a plan or diagnose a run have the same shape: the patch of a finding is what
`recommend` writes into a plan and what `diagnose` advises to write into the recipe. `rules.declare` enters them.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, get_type_hints

from dpdrun.errors import DpdrunError
from dpdrun.rules.conditions import Box, Condition, OneOf, Parameter, Presence, Within, box_text, inside
from dpdrun.rules.sources import NOTE_TITLE

Purpose = Literal["derive", "check", "diagnose"]
Profile = Literal["note", "measured", "both"]
Evidence = Literal["measured", "cited", "assumed", "measured here"]  # the last: of a probe, never of a rule
Fix = Literal["safe", "unsafe", "none"]
Severity = Literal["info", "warning", "error"]
Patch = dict[str, Any]

PURPOSES: tuple[Purpose, ...] = ("derive", "check", "diagnose")
WRITTEN = ("Why", "Known limits")  # headings of a docstring
HEADINGS = (*WRITTEN, "Example")  # of a page: the example is generated from what the rule says of its own
WHOLE = ("facts", "run")  # parameters that take all facts, of a plan or of a run
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


class CatalogueError(DpdrunError):
    """No rule has this code (or name). The message lists near ones."""


class Facts(Protocol):
    """What the engine needs of facts."""

    def get(self, name: str) -> Any:
        """Return the value of a fact, None when it is unknown."""

    def words(self, name: str) -> str:
        """Return what a fact is called where a user reads of it."""

    def prerequisites(self, name: str) -> frozenset[str]:
        """Return the dotted recipe keys that a fact depends on; rules that set them run first."""


@dataclass(frozen=True)
class Finding:
    """What a rule reports. A rule fills message, patch and what it knows; the engine stamps code, slug and fix.

    Attributes:
        message: what was seen or chosen, with its numbers; one line.
        patch: `{dotted recipe key: value}`, the change that the rule makes or advises.
        severity: info never changes a verdict.
        step: optimizer step where it began, None when it concerns the whole run or a plan.
        evidence: the numbers behind it, such as value, threshold, n, p; derive rules give low and high of a range.
        advice: what to do, with numbers.
    """

    message: str
    patch: Patch = field(default_factory=dict)
    severity: Severity = "info"
    step: int | None = None
    evidence: dict[str, Any] = field(default_factory=dict)
    advice: str = ""
    code: str = ""
    slug: str = ""
    fix: Fix = "none"

    def as_line(self, where: str = "") -> str:
        """Return the finding as plain text: `step 1200: warning GN201 gradient_norm_climbs: ...; advice: ...`."""
        start = f"{where}: " if where else ""
        advice = f"; advice: {self.advice}" if self.advice else ""
        return f"{start}{self.severity} {self.code} {self.slug}: {self.message}{advice}"

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form."""
        return {
            "code": self.code,
            "slug": self.slug,
            "severity": self.severity,
            "step": self.step,
            "message": self.message,
            "evidence": dict(self.evidence),
            "advice": self.advice,
            "patch": {key: plain(value) for key, value in self.patch.items()},
            "fix": self.fix,
        }


def plain(value: Any) -> Any:
    """Return a recipe value as it stands in YAML or JSON: a Percent becomes the text `7.5%`."""
    return str(value) if isinstance(value, float) and type(value) is not float else value


@dataclass(frozen=True)
class Skipped:
    """A rule could not judge: too few points, an unknown fact, a premise that failed."""

    reason: str
    code: str = ""
    failed: bool = False  # the rule itself has a bug

    def to_json(self) -> dict[str, str]:
        """Return the stable machine-readable form."""
        return {"code": self.code, "reason": self.reason}


Verdict = Finding | Skipped | None


class Choice(NamedTuple):
    """The verdict of a rule that sets a recipe value: the value, the reason for it, and the numbers behind it.

    Attributes:
        label: the evidence of this value where it is not that of its rule: `assumed` outside of what was measured.
    """

    value: Any
    why: str
    evidence: Mapping[str, Any] = {}
    label: Evidence | None = None


@dataclass(frozen=True)
class Rule:
    """One entry of the catalogue. `rules.declare` makes them; the parameters of `function` are the facts that it takes.

    Attributes:
        code: family and three digits, never reused.
        slug: name of the function: the decision or the problem, never the cure.
        doc: one line of summary, and the headings of WRITTEN.
        profile: which `rules:` of a recipe it belongs to; both = either.
        source, evidence, results: where it is from; `results` is the anchor in docs/results.md of "measured".
        fix: whether its patch changes what is trained.
        kinds: of model that it is valid for, all where empty.
        where: conditions on facts that the function does not take itself.
        requires: codes of rules that must have been silent or skipped; where one of them fired, this one is skipped.
        premise: why the rule is skipped for these facts, or None.
        example, counterexample: facts on which it fires, and on which it is silent; the catalogue test runs both.
        sets: dotted recipe key that a derive rule sets, else None.
        about: dotted recipe keys that a check rule judges; a finding is shown at the first of them that is written.
        location: `module:line` of the declaration.
    """

    code: str
    slug: str
    doc: str
    function: Callable[..., Choice | Verdict]
    source: str
    evidence: Evidence
    example: Mapping[str, Any]
    counterexample: Mapping[str, Any]
    location: str
    profile: Profile = "both"
    fix: Fix = "none"
    kinds: tuple[str, ...] = ()
    where: Mapping[str, Condition] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    premise: Callable[[Any], str | None] | None = None
    results: str | None = None
    sets: str | None = None
    about: tuple[str, ...] = ()

    @property
    def purpose(self) -> Purpose:
        """What the code says: 0xx derives a recipe value, 1xx checks a plan, 2xx diagnoses a run."""
        return PURPOSES[int(self.code[2])]

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.partition("\n")[0]

    @property
    def is_of_note(self) -> bool:
        """Whether the founding note itself says this; what `rules: note` fills in from elsewhere is not the note's."""
        return self.source.startswith(NOTE_TITLE)

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The facts that the function takes, in its order; `facts` or `run`, which hold all of them, left out."""
        hints, taken = get_type_hints(self.function, include_extras=True), inspect.signature(self.function).parameters
        return tuple(
            Parameter.of(name, hints[name], optional=each.default is not each.empty)
            for name, each in taken.items()
            if name not in WHOLE
        )

    @cached_property
    def box(self) -> Box:
        """The validity box: `{fact: (low, high)}` (both included) or `{fact: (allowed, words)}`; silent outside."""
        conditions: dict[str, Condition | None] = {"kind": OneOf(*self.kinds)} if self.kinds else {}
        conditions |= {**self.where, **{each.name: each.box for each in self.parameters if each.box}}
        return {
            name: each.words if isinstance(each, OneOf) else (each.low, each.high)
            for name, each in conditions.items()
            if isinstance(each, OneOf | Within)
        }

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """Facts that must be known, those of the box first; derive rules that set them run before this one."""
        known = (name for name, each in self.where.items() if each is Presence.KNOWN)
        return tuple(dict.fromkeys((*self.box, *known, *(each.name for each in self.parameters if each.needed))))

    @cached_property
    def uses(self) -> tuple[str, ...]:
        """Facts that are better known but need not be; derive rules that set them run before this one."""
        used = [name for name, each in self.where.items() if each is Presence.USED]
        return (*used, *(each.name for each in self.parameters if not each.needed))

    @cached_property
    def _whole(self) -> tuple[str, ...]:
        return tuple(name for name in WHOLE if name in inspect.signature(self.function).parameters)

    def fires(self) -> Facts:
        """Return the facts of the example."""
        return self._facts(self.example)

    def silent(self) -> Facts:
        """Return the facts of the example on which the rule is silent."""
        return self._facts(self.counterexample)

    def _facts(self, given: Mapping[str, Any]) -> Facts:
        from dpdrun.rules.examples import example_facts  # not needed to run rules

        return example_facts(self.purpose, given)

    def verdict(self, facts: Facts) -> Verdict:
        """Return the verdict on facts that lie in its box and are known as far as it needs them."""
        if self.premise is not None and (reason := self.premise(facts)):
            return Skipped(reason)
        given: dict[str, Any] = dict.fromkeys(self._whole, facts)
        for each in self.parameters:
            value = facts.get(each.name)
            if value is not None:
                given[each.name] = value
            elif each.otherwise is not None:
                return None if each.otherwise.reason is None else Skipped(each.otherwise.reason)
        verdict = self.function(**given)
        if isinstance(verdict, Choice):
            label = {"label": verdict.label} if verdict.label else {}
            return Finding(verdict.why, {str(self.sets): verdict.value}, evidence={**verdict.evidence, **label})
        return verdict


_RULES: dict[str, Rule] = {}


def enter(rule: Rule) -> Rule:
    """Put a rule into the catalogue. Raises ValueError where its code is taken."""
    if rule.code in _RULES:
        raise ValueError(f"rule code {rule.code} is taken by {_RULES[rule.code].location}; codes are never reused")
    _RULES[rule.code] = rule
    return rule


def all_rules() -> dict[str, Rule]:
    """Return every rule by code, in the order of codes; those of installed plug-ins as well."""
    import dpdrun.rules  # noqa: F401 - importing the package enters its families
    from dpdrun.recipe import plugins

    plugins.entries("rules")

    return dict(sorted(_RULES.items()))


def find_rule(name: str) -> Rule:
    """Return the rule with this code or slug, in any case. Raises CatalogueError with near ones when there is none."""
    rules = all_rules()
    for entry in rules.values():
        if name.lower() in (entry.code.lower(), entry.slug.lower()):
            return entry
    slugs = {entry.slug: entry.code for entry in rules.values()}
    near = difflib.get_close_matches(name.upper(), rules, n=3, cutoff=0.6)
    near += [slugs[slug] for slug in difflib.get_close_matches(name.lower(), slugs, n=2, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise CatalogueError(f"no rule has the code {name!r}{hint} (`dpdrun explain` lists all)")


@dataclass
class Outcome:
    """The result of an evaluation: findings in running order, codes that found nothing, and what was skipped."""

    findings: list[Finding] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


FactsT = TypeVar("FactsT", bound=Facts)


def evaluate_rules(
    rules: Iterable[Rule], facts: FactsT, absorb: Callable[[FactsT, Rule, Finding], FactsT] | None = None
) -> tuple[Outcome, FactsT]:
    """Run rules in the order that their needs and requirements ask for.

    Args:
        rules: the rules to run; requirements on rules outside this set are passed over.
        facts: what the rules see.
        absorb: called after each finding; returns the facts that later rules see (derive rules: with the value set).
    """
    chosen = {entry.code: entry for entry in rules}
    outcome, fired = Outcome(), set[str]()
    for code in _order(chosen, facts):
        verdict = _ask(chosen[code], facts, fired)
        if isinstance(verdict, Finding):
            fired.add(code)
            outcome.findings.append(verdict)
            facts = absorb(facts, chosen[code], verdict) if absorb else facts
        elif isinstance(verdict, Skipped):
            outcome.skipped.append(replace(verdict, code=code))
        else:
            outcome.silent.append(code)
    return outcome, facts


def _order(rules: Mapping[str, Rule], facts: Facts) -> list[str]:
    """Return the codes so that every rule comes after those it requires and after those that set the facts it needs."""
    setters: dict[str, set[str]] = {}
    for entry in rules.values():
        if entry.sets:
            setters.setdefault(entry.sets, set()).add(entry.code)
    graph: dict[str, set[str]] = {}
    for code, entry in sorted(rules.items()):
        before = {other for other in entry.requires if other in rules}
        for name in (*entry.needs, *entry.uses):
            for key in facts.prerequisites(name):
                before |= setters.get(key, set()) - {code}
        graph[code] = before
    ordered = {code: sorted(before) for code, before in graph.items()}  # sets iterate differently in each process
    return list(TopologicalSorter(ordered).static_order())


def _ask(entry: Rule, facts: Facts, fired: set[str]) -> Verdict:
    blocking = [code for code in entry.requires if code in fired]
    if blocking:
        return Skipped(f"{blocking[0]} applies")
    try:
        return _judged(entry, facts)
    except Exception as error:  # a rule with a bug must never end a training: it counts as skipped
        return Skipped(f"rule {entry.code} failed: {error!r}; please report it", failed=True)


def _judged(entry: Rule, facts: Facts) -> Verdict:
    for name, allowed in entry.box.items():
        value = facts.get(name)
        if value is not None and not inside(value, allowed):
            words = facts.words(name)
            return Skipped(f"outside the valid range: {words} is {value}, the rule covers {box_text(allowed)}")
    unknown = [name for name in entry.needs if facts.get(name) is None]
    if unknown:
        return Skipped(f"needs {', '.join(map(facts.words, unknown))}")
    verdict = entry.verdict(facts)
    if isinstance(verdict, Finding):
        fix = entry.fix if verdict.patch else "none"  # a rule may find no patch for a case
        return replace(verdict, code=entry.code, slug=entry.slug, fix=fix)
    return verdict
