"""Lint a recipe: the findings of the check rules, each at its line; and apply their fixes.

A finding is fixable where its patch makes a recipe that loads, and where the user wrote the value: what was left to the
rules is theirs to change. Fixes are applied one at a time and the rules evaluated again after each, so that two that
meet at one key cannot undo each other: the more severe goes first, then the lower code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from dpdrun.errors import RecipeError
from dpdrun.recipe.comments import annotate_changed_values
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.rules.advice import derive, rules_for
from dpdrun.rules.engine import SEVERITIES, Finding, Fix, Severity, Skipped, all_rules, evaluate
from dpdrun.rules.facts.plan import PlanFacts

SCHEMA_VERSION = 1
MOST_FIXES = 100  # far more than there are rules; fixes that would follow each other forever end here
FindingT = TypeVar("FindingT", bound=Finding)


@dataclass(frozen=True)
class LintFinding(Finding):
    """A finding of a check rule with its place in a recipe.

    Attributes:
        path: the recipe.
        line, column: from 1, of the first key that the rule judges and that the file holds, or of its section.
        key: that key.
        source: of the rule.
        fix: also none where the patch does not fit this recipe, or changes only what the rules set.
    """

    path: str = ""
    line: int = 1
    column: int = 1
    key: str = ""
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form: that of a Finding, with the place."""
        place = {"path": self.path, "line": self.line, "column": self.column, "key": self.key, "source": self.source}
        return super().to_json() | place


@dataclass(frozen=True)
class Lint:
    """The findings of the check rules about one recipe.

    Attributes:
        findings: in the order of the file.
        skipped: check rules that could not be evaluated, with the reason.
    """

    path: str
    findings: list[LintFinding]
    skipped: list[Skipped]

    def reaches(self, severity: Severity) -> bool:
        """Return whether some finding is at least this severe, as `--fail-on` requires."""
        return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the stable machine-readable form (`dpdrun recipe check --lint --format json`)."""
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
        before: its findings as it was.
        applied: the findings that were fixed, in this order.
        left: its findings now.
    """

    loaded: Loaded
    before: Lint
    applied: list[LintFinding]
    left: Lint

    @property
    def followed(self) -> list[LintFinding]:
        """Return the findings that were fixed and are not in `before`: other fixes caused them."""
        announced = {finding.code for finding in self.before.findings if finding.fix != "none"}
        return [finding for finding in self.applied if finding.code not in announced]


def lint(loaded: Loaded, facts: PlanFacts | None = None) -> Lint:
    """Evaluate the check rules of a recipe's profile on it, with every `auto` as the rules set it.

    Args:
        loaded: the recipe.
        facts: of the recipe and its data; default: those of the recipe alone, without the length of its record.
    """
    profile = loaded.recipe.rules
    advice = derive(PlanFacts.of_recipe(loaded.recipe) if facts is None else facts, profile)
    outcome, _ = evaluate(rules_for(profile, "check"), advice.facts)
    return Lint(str(loaded.path), locate(loaded, outcome.findings, advice.opinions), outcome.skipped)


def locate(loaded: Loaded, findings: Iterable[Finding], left_to_rules: Collection[str]) -> list[LintFinding]:
    """Return findings about a recipe with their places, in the order of the file.

    Args:
        loaded: the recipe.
        findings: of check rules.
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
    values = {each.name: getattr(finding, each.name) for each in fields(Finding)}
    values["fix"] = finding.fix if fixable else "none"
    return LintFinding(**values, path=str(loaded.path), line=line, column=column, key=key, source=rule.source)


def _patched(loaded: Loaded, finding: Finding) -> Loaded | None:
    """Return the recipe with the patch of a finding in its text; None where that does not load, or is overridden."""
    overridden = {override.partition("=")[0].strip() for override in loaded.overrides}
    if overridden & set(finding.patch):
        return None
    try:
        text = apply_patch(loaded.text, finding.patch)
        return load_text(text, loaded.path, loaded.overrides)
    except RecipeError:
        return None


def fix(loaded: Loaded, look: Callable[[Loaded], Lint], *, unsafe: bool = False) -> Fixed:
    """Apply the fixes of a recipe until none is left that could be applied. The file is not touched.

    Args:
        loaded: the recipe.
        look: lints a recipe; called again after each fix, which can settle another or change the length of the run.
        unsafe: apply those fixes too that change what is trained.
    """
    wanted: Sequence[Fix] = ("safe", "unsafe") if unsafe else ("safe",)
    seen: list[Lint] = []

    def fixable(recipe: Loaded, _: Sequence[Finding]) -> list[LintFinding]:
        seen.append(look(recipe))
        return by_urgency(finding for finding in seen[-1].findings if finding.fix in wanted)

    fixed, applied = apply_fixes(loaded, fixable)
    return Fixed(fixed, seen[0], applied, seen[-1])


def apply_fixes(
    loaded: Loaded, fixable: Callable[[Loaded, Sequence[FindingT]], Iterable[FindingT]]
) -> tuple[Loaded, list[FindingT]]:
    """Apply patches of findings to the text of a recipe, one at a time; the only loop that does so.

    Args:
        loaded: the recipe.
        fixable: findings whose patch may be applied, the most urgent first, for a recipe and the findings that were
            applied so far. It is asked again after each patch; the first patch that makes a new recipe is taken.

    Returns:
        the recipe with the patches, its comments saying what the values were before, and the findings applied.
    """
    before, seen = loaded, {loaded.text}
    applied: list[FindingT] = []
    while len(applied) < MOST_FIXES:
        for finding in fixable(loaded, applied):
            patched = _patched(loaded, finding)
            if patched is not None and patched.text not in seen and patched.recipe != loaded.recipe:
                break
        else:
            break
        loaded = patched
        seen.add(loaded.text)
        applied.append(finding)
    if applied:  # once, at the end: a value that was changed twice was what the user wrote, not what came between
        text = annotate_changed_values(before.text, loaded.text)
        loaded = load_text(text, before.path, before.overrides)
    return loaded, applied


def by_urgency(findings: Iterable[FindingT]) -> list[FindingT]:
    """Return the most severe findings first, then by code."""
    return sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code))


def follow_ups(loaded: Loaded, look: Callable[[Loaded], Lint]) -> list[LintFinding]:
    """Return what else would be fixed once all fixes are applied, safe and unsafe ones; arguments as of `fix`."""
    return fix(loaded, look, unsafe=True).followed


def count(findings: Iterable[Finding], what: Literal["error", "warning", "info", "safe", "unsafe"]) -> int:
    """Return how many findings have this severity, or this kind of fix."""
    return sum(what in (finding.severity, finding.fix) for finding in findings)
