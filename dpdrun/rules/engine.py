"""What a rule is, the catalogue of all rules, and the one engine that runs them.

A rule is a function from plain facts to a `Finding`, to `Skipped(reason)`, or to None (looked, nothing to say). Rules
that derive a recipe value, rules that check a plan and rules that diagnose a run have the same shape: the patch of a
finding is what `recommend` writes into a plan and what `diagnose` advises to write into the recipe.

    @rule("LR001", "note", sets="optim.lr", source="...", evidence="cited", box={"d_model": (1, 511)}, ...)
    def lr_by_width_band(facts: PlanFacts) -> Verdict:
        '''One line that says what the rule is about.  (then the headings of HEADINGS)'''
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter
from typing import Any, Literal, Protocol, TypeVar

from dpdrun.errors import DpdrunError
from dpdrun.rules.sources import NOTE_TITLE

Purpose = Literal["derive", "check", "diagnose"]
Profile = Literal["note", "measured", "both"]
Evidence = Literal["measured", "cited", "assumed", "measured here"]  # the last: of a probe, never of a rule
Fix = Literal["safe", "unsafe", "none"]
Severity = Literal["info", "warning", "error"]
Patch = dict[str, Any]

HEADINGS = ("What it does", "Why", "Known limits", "Example")
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error")


class CatalogueError(DpdrunError):
    """No rule has this code (or name). The message lists near ones."""


class Facts(Protocol):
    """What the engine asks of facts; the rules themselves read plain attributes."""

    def get(self, name: str) -> Any:
        """The value of a fact, None when it is unknown."""

    def prerequisites(self, name: str) -> frozenset[str]:
        """The dotted recipe keys that a fact depends on; rules that set them run first."""


@dataclass(frozen=True)
class Finding:
    """What a rule has to say. A rule fills message, patch and what it knows; the engine stamps code, slug and fix.

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
        """The stable machine-readable form."""
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

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Finding:
        """Read back what `to_json` wrote; keys of a later version are passed over."""
        return cls(**{key: content[key] for key in cls.__dataclass_fields__ if key in content})


def plain(value: Any) -> Any:
    """A recipe value as it stands in YAML or JSON: a Percent becomes the text `7.5%`."""
    return str(value) if isinstance(value, float) and type(value) is not float else value


@dataclass(frozen=True)
class Skipped:
    """A rule could not look: too few points, an unknown fact, a premise that failed."""

    reason: str
    code: str = ""

    def to_json(self) -> dict[str, str]:
        """The stable machine-readable form."""
        return {"code": self.code, "reason": self.reason}


Verdict = Finding | Skipped | None
Function = TypeVar("Function", bound=Callable[[Any], Verdict])
Box = Mapping[str, tuple[float, float] | tuple[str, ...]]


@dataclass(frozen=True)
class Rule:
    """One entry of the catalogue; `page` and the rest of its text come from the function's docstring.

    Attributes:
        code: family and three digits, never reused.
        profile: which `rules:` of a recipe asks it; both = either.
        sets: dotted recipe key that a derive rule sets, else None.
        box: validity box, `{fact: (low, high)}` (both included) or `{fact: (allowed, words)}`; silent outside.
        needs: facts that must be known (those of the box too); derive rules that set them run first.
        uses: facts that are better known but need not be; derive rules that set them run first.
        requires: codes of rules that must have been silent or skipped; if one of them spoke, this one is skipped.
        about: dotted recipe keys that a check rule judges; a finding is shown at the first of them that is written.
        fires, silent: examples; the catalogue test runs both.
    """

    code: str
    profile: Profile
    purpose: Purpose
    function: Callable[[Any], Verdict]
    source: str
    evidence: Evidence
    fix: Fix
    sets: str | None
    box: Box
    needs: tuple[str, ...]
    uses: tuple[str, ...]
    requires: tuple[str, ...]
    results: str | None
    fires: Callable[[], Facts]
    silent: Callable[[], Facts]
    about: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Name of the function: the decision or the problem, never the cure."""
        return self.function.__name__.strip("_")

    @property
    def doc(self) -> str:
        """The docstring, dedented."""
        return inspect.getdoc(self.function) or ""

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.doc.partition("\n")[0]

    @property
    def is_of_note(self) -> bool:
        """Whether the founding note itself says this; what `rules: note` fills in from elsewhere is not the note's."""
        return self.source.startswith(NOTE_TITLE)

    @property
    def location(self) -> str:
        """`module:line` of the function."""
        return f"{self.function.__module__}:{self.function.__code__.co_firstlineno}"


_RULES: dict[str, Rule] = {}


def rule(
    code: str,
    profile: Profile = "both",
    *,
    purpose: Purpose = "derive",
    source: str,
    evidence: Evidence,
    fires: Callable[[], Facts],
    silent: Callable[[], Facts],
    fix: Fix = "none",
    sets: str | None = None,
    box: Box | None = None,
    needs: tuple[str, ...] = (),
    uses: tuple[str, ...] = (),
    requires: tuple[str, ...] = (),
    about: tuple[str, ...] = (),
    results: str | None = None,
) -> Callable[[Function], Function]:
    """Enter a function into the catalogue; see `Rule` for the arguments.

    `results` is the anchor in docs/results.md that evidence="measured" points to.
    """

    def enter(function: Function) -> Function:
        if code in _RULES:
            raise ValueError(f"rule code {code} is taken by {_RULES[code].location}; codes are never reused")
        known = dict(box or {})
        _RULES[code] = Rule(
            code=code,
            profile=profile,
            purpose=purpose,
            function=function,
            source=source,
            evidence=evidence,
            fix=fix,
            sets=sets,
            box=known,
            needs=(*known, *(name for name in needs if name not in known)),
            uses=uses,
            requires=requires,
            about=about,
            results=results,
            fires=fires,
            silent=silent,
        )
        return function

    return enter


def all_rules() -> dict[str, Rule]:
    """Every rule by code, in the order of codes."""
    import dpdrun.rules  # noqa: F401 - importing the package enters its families

    return dict(sorted(_RULES.items()))


def find_rule(name: str) -> Rule:
    """The rule with this code or slug, in any case. Raises CatalogueError with near ones when there is none."""
    rules = all_rules()
    for entry in rules.values():
        if name.lower() in (entry.code.lower(), entry.slug.lower()):
            return entry
    slugs = {entry.slug: entry.code for entry in rules.values()}
    near = difflib.get_close_matches(name.upper(), rules, n=3, cutoff=0.6)
    near += [slugs[slug] for slug in difflib.get_close_matches(name.lower(), slugs, n=2, cutoff=0.6)]
    hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
    raise CatalogueError(f"no rule has the code {name!r}{hint} (docs/rules/README.md lists all)")


@dataclass
class Outcome:
    """What the engine saw: findings in running order, codes that looked and were silent, and what was skipped."""

    findings: list[Finding] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


FactsT = TypeVar("FactsT", bound=Facts)


def evaluate(
    rules: Iterable[Rule], facts: FactsT, absorb: Callable[[FactsT, Rule, Finding], FactsT] | None = None
) -> tuple[Outcome, FactsT]:
    """Run rules in the order that their needs and requirements ask for.

    Args:
        rules: the rules to run; requirements on rules outside this set are passed over.
        facts: what the rules see.
        absorb: called after each finding; returns the facts that later rules see (derive rules: with the value set).
    """
    chosen = {entry.code: entry for entry in rules}
    outcome, spoke = Outcome(), set[str]()
    for code in _order(chosen, facts):
        verdict = _ask(chosen[code], facts, spoke)
        if isinstance(verdict, Finding):
            spoke.add(code)
            outcome.findings.append(verdict)
            facts = absorb(facts, chosen[code], verdict) if absorb else facts
        elif isinstance(verdict, Skipped):
            outcome.skipped.append(replace(verdict, code=code))
        else:
            outcome.silent.append(code)
    return outcome, facts


def _order(rules: Mapping[str, Rule], facts: Facts) -> list[str]:
    """Codes so that every rule comes after those it requires and after those that set the facts it needs."""
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


# Computed facts by what a user can say about them.
_WORDS = {
    "memory": "a look at the data (--data)",
    "ahead": "a look at the data (--data)",
    "context": "the layers and the window of the model",
    "matrix_weights": "the layers and the width of the model",
    "burn_in": "train.burn_in",
    "batch": "train.batch_size",
    "frames_per_epoch": "the amount of training data",
    "total_steps": "the length of the run",
    "progress": "the progress of the run",
    "warmup_steps": "the warmup",
    "settled_steps": "the number of steps after the warmup",
    "logged_steps": "the number of logged steps",
    "rank_step": "a run of several processes",
    "rank_steps": "a run of several processes",
    "checksum_step": "a run of several processes",
    "one_tap_db": "the one-tap baseline (report.json)",
    "gmp_db": "the gmp baseline (report.json)",
    "floor_db": "the noise floor (report.json)",
    "best_nmse_db": "a validation score",
    "eval_nmse_db": "validation scores",
    "scores_db": "validation scores",
    "steps_per_epoch": "the number of optimizer steps in an epoch",
    "parameters": "the number of parameters (metrics.jsonl, from this version on)",
    "group_update": "updates of the parts of the network (metrics.jsonl, from this version on)",
    "group_grad": "gradients of the parts of the network (metrics.jsonl)",
    "eps": "the eps of AdamW",
    "beta2": "the beta2 of AdamW",
    "loss_is_nmse": "a loss that is known to be a normalised error",
    "signal": "a prediction beside its target (report.json, or --prediction and --target)",
}


def _ask(entry: Rule, facts: Facts, spoke: set[str]) -> Verdict:
    blocking = [code for code in entry.requires if code in spoke]
    if blocking:
        return Skipped(f"{blocking[0]} applies")
    for name, allowed in entry.box.items():
        value = facts.get(name)
        if value is not None and not _inside(value, allowed):
            said = _WORDS.get(name, name)
            return Skipped(f"outside its validity box: {said} is {value}, the rule covers {box_text(allowed)}")
    unknown = [name for name in entry.needs if facts.get(name) is None]
    if unknown:
        return Skipped(f"needs {', '.join(_WORDS.get(name, name) for name in unknown)}")
    verdict = entry.function(facts)
    if isinstance(verdict, Finding):
        fix = entry.fix if verdict.patch else "none"  # a rule may find no patch for a case
        return replace(verdict, code=entry.code, slug=entry.slug, fix=fix)
    return verdict


def _inside(value: Any, allowed: tuple[Any, ...]) -> bool:
    if isinstance(allowed[0], str):
        return value in allowed
    return bool(allowed[0] <= value <= allowed[1])


def box_text(allowed: tuple[Any, ...]) -> str:
    """One side of a validity box in words: `64 to 511`, `512 and above`, `transformer`."""
    if isinstance(allowed[0], str):
        return " or ".join(allowed)
    low, high = allowed
    if low == high:
        return f"{low:g}"
    return f"{low:g} and above" if high == float("inf") else f"{low:g} to {high:g}"
