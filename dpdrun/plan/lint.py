"""What the check rules say about a recipe, each finding at its line, and the recipe with their fixes in it.

A finding is fixable where its patch makes a recipe that loads, and where the user wrote the value: what was left to the
rules is theirs to change. Fixes are made one at a time and the rules asked again after each, so that two that meet
at one key cannot undo each other: the more severe goes first, then the lower code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from dpdrun.errors import RecipeError
from dpdrun.recipe.comments import annotate_changed_values
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.advice import derive, rules_for
from dpdrun.rules.engine import SEVERITIES, Finding, Fix, Severity, Skipped, all_rules, evaluate
from dpdrun.rules.facts.plan import PlanFacts

SCHEMA_VERSION = 1
MOST_FIXES = 100  # far more than there are rules; fixes that would follow each other for ever end here


@dataclass(frozen=True)
class LintFinding(Finding):
    """A finding of a check rule with its place in a recipe.

    Attributes:
        path: the recipe.
        line, column: from 1, of the first key that the rule judges and that the file holds, or of its section.
        key: that key.
        source: where the rule has its word from.
        fix: none also where the patch does not fit this recipe, or changes only what the rules set.
    """

    path: str = ""
    line: int = 1
    column: int = 1
    key: str = ""
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form: that of a Finding, with the place."""
        place = {"path": self.path, "line": self.line, "column": self.column, "key": self.key, "source": self.source}
        return super().to_json() | place


@dataclass(frozen=True)
class Lint:
    """All that the check rules say about one recipe.

    Attributes:
        findings: in the order of the file.
        skipped: check rules that could not look, with the reason.
    """

    path: str
    findings: list[LintFinding]
    skipped: list[Skipped]

    def reaches(self, severity: Severity) -> bool:
        """Whether some finding is at least this severe; what `--fail-on` asks."""
        return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (`dpdrun recipe check --lint --format json`)."""
        return {
            "path": self.path,
            "findings": [finding.to_json() for finding in self.findings],
            "skipped": [skip.to_json() for skip in self.skipped],
        }


@dataclass(frozen=True)
class Fixed:
    """A recipe after its fixes.

    Attributes:
        loaded: with the new text.
        before: what the rules said of it as it was.
        applied: the findings that were fixed, in this order.
        left: what the rules say now.
    """

    loaded: Loaded
    before: Lint
    applied: list[LintFinding]
    left: Lint

    @property
    def followed(self) -> list[LintFinding]:
        """The findings that were fixed although no rule had announced them: they came of the other fixes."""
        announced = {finding.code for finding in self.before.findings if finding.fix != "none"}
        return [finding for finding in self.applied if finding.code not in announced]


def lint(loaded: Loaded, facts: PlanFacts | None = None) -> Lint:
    """Ask the check rules of a recipe's profile about it, with every `auto` as the rules set it.

    Args:
        loaded: the recipe.
        facts: of the recipe and its data; default: those of the recipe alone, without the length of its record.
    """
    profile = loaded.recipe.rules
    advice = derive(PlanFacts.of_recipe(loaded.recipe) if facts is None else facts, profile)
    outcome, _ = evaluate(rules_for(profile, "check"), advice.facts)
    return Lint(str(loaded.path), locate(loaded, outcome.findings, advice.opinions), outcome.skipped)


def locate(loaded: Loaded, findings: Iterable[Finding], left_to_rules: Collection[str]) -> list[LintFinding]:
    """Findings about a recipe with their places, in the order of the file.

    Args:
        loaded: the recipe.
        findings: what check rules said about it.
        left_to_rules: dotted keys that the rules set.
    """
    found = [_located(loaded, finding, left_to_rules) for finding in findings]
    return sorted(found, key=lambda finding: (finding.line, finding.column, finding.code))


def _located(loaded: Loaded, finding: Finding, left_to_rules: Collection[str]) -> LintFinding:
    rule = all_rules()[finding.code]
    keys = [*rule.about, *finding.patch]
    key = next((name for name in keys if name in loaded.given), keys[0] if keys else "")
    line, column = loaded.line_of(key)
    fixable = not set(finding.patch) <= set(left_to_rules) and _patched(loaded, finding) is not None
    said = {each.name: getattr(finding, each.name) for each in fields(Finding)}
    said["fix"] = finding.fix if fixable else "none"
    return LintFinding(**said, path=str(loaded.path), line=line, column=column, key=key, source=rule.source)


def _patched(loaded: Loaded, finding: Finding) -> Loaded | None:
    """The recipe with the patch of a finding in its text; None where it does not make a recipe, or has no effect."""
    overridden = {override.partition("=")[0].strip() for override in loaded.overrides}
    if overridden & set(finding.patch):
        return None
    try:
        text = apply_patch(loaded.text, finding.patch)
        return load_text(text, loaded.path, loaded.overrides)
    except RecipeError:
        return None


def fix(loaded: Loaded, look: Callable[[Loaded], Lint], *, unsafe: bool = False) -> Fixed:
    """Make the fixes of a recipe; afterwards none is left that could be made. The file is not touched.

    Args:
        loaded: the recipe.
        look: lints a recipe; asked again after each fix, for one can settle another, or change the length of the run.
        unsafe: make those fixes too that change what is trained.
    """
    wanted: Sequence[Fix] = ("safe", "unsafe") if unsafe else ("safe",)
    applied: list[LintFinding] = []
    written = loaded.text
    seen = {written}
    before = left = look(loaded)
    while len(applied) < MOST_FIXES:
        fixable = [finding for finding in left.findings if finding.fix in wanted]
        if not fixable:
            break
        first = min(fixable, key=_turn)
        patched = _patched(loaded, first)
        if patched is None or patched.text in seen:
            break
        loaded, left = patched, look(patched)
        seen.add(loaded.text)
        applied.append(first)
    if applied:  # once, at the end: a value that was changed twice was what the user wrote, not what came between
        loaded = load_text(annotate_changed_values(written, loaded.text), loaded.path, loaded.overrides)
    return Fixed(loaded, before, applied, left)


def follow_ups(loaded: Loaded, look: Callable[[Loaded], Lint]) -> list[LintFinding]:
    """What else would be fixed once all fixes are made, safe and unsafe ones; arguments as of `fix`."""
    return fix(loaded, look, unsafe=True).followed


def _turn(finding: Finding) -> tuple[int, str]:
    """The most severe first, then by code."""
    return -SEVERITIES.index(finding.severity), finding.code


def count(findings: Iterable[Finding], what: Literal["error", "warning", "info", "safe", "unsafe"]) -> int:
    """How many findings have this severity, or this kind of fix."""
    return sum(what in (finding.severity, finding.fix) for finding in findings)
