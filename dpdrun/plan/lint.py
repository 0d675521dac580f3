"""Lint a recipe: the findings of the check rules, each at its line, and the recipe with their fixes applied.

A finding is fixable where its patch makes a recipe that loads, and where the user wrote the value: the rules already
choose those that were left to them. Fixes are applied one at a time and the rules evaluated again after each, so that
two fixes of one key cannot undo each other: the more severe goes first, then the lower code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

from dpdrun.data.splits import known_train_samples
from dpdrun.errors import DataError, RecipeError
from dpdrun.recipe.comments import annotate_changed_values
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.patch import apply_patch
from dpdrun.recipe.schema import DataSection
from dpdrun.rules.advice import derive, rules_for
from dpdrun.rules.engine import SEVERITIES, Finding, Fix, Severity, Skipped, all_rules, evaluate_rules
from dpdrun.rules.facts.plan import PlanFacts

SCHEMA_VERSION = 1
FindingT = TypeVar("FindingT", bound=Finding)
MOST_FIXES = 100  # far more than there are rules: ends a cycle of fixes


@dataclass(frozen=True)
class LintFinding(Finding):
    """A finding of a check rule, located in a recipe.

    Attributes:
        path: the recipe.
        line, column: from 1, of the first key in the file that the rule judges, or of its section.
        key: that key.
        source: of the rule.
        fix: none also where the patch does not fit this recipe, or changes only values that the rules set.
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
        skipped: check rules that did not apply, with the reason.
        after_fixes: findings that the fixes of the others would lead to, and that would be fixed as well.
    """

    path: str
    findings: list[LintFinding]
    skipped: list[Skipped]
    after_fixes: tuple[LintFinding, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form (`dpdrun lint --format json`)."""
        return {
            "path": self.path,
            "findings": [finding.to_json() for finding in self.findings],
            "skipped": [skip.to_json() for skip in self.skipped],
            "after_fixes": [finding.to_json() for finding in self.after_fixes],
        }


@dataclass(frozen=True)
class Fixed:
    """A recipe with its fixes applied.

    Attributes:
        loaded: with the new text.
        before: the findings in the old text.
        applied: the findings that were fixed, in this order.
        left: the findings in the new text.
    """

    loaded: Loaded
    before: Lint
    applied: list[LintFinding]
    left: Lint

    @property
    def followed(self) -> list[LintFinding]:
        """The findings that the other fixes led to, and that were fixed as well."""
        announced = {finding.code for finding in self.before.findings if finding.fix != "none"}
        return [finding for finding in self.applied if finding.code not in announced]


_DataFacts = tuple[int | None, int | None, float | None]  # samples of train and val split, noise floor [dB]


class RecipeFacts:
    """Facts of recipes and their data; a capture is read once for all recipes that split it in the same way.

    Args:
        frames: training frames in one pass; the capture is then not read.
        needed: raise DataError where the data cannot be read; else continue without them, and download none.
    """

    def __init__(self, frames: int | None = None, *, needed: bool) -> None:
        self._frames, self._needed = frames, needed
        self._read: dict[DataSection, _DataFacts] = {}

    def __call__(self, loaded: Loaded) -> PlanFacts:
        """Return the facts of one recipe. Raises DataError where its data are needed and cannot be read."""
        if self._frames is not None:
            return PlanFacts.of_recipe(loaded.recipe, frames=self._frames)
        train, val, floor = self._data_facts(loaded)
        return replace(PlanFacts.of_recipe(loaded.recipe, train), val_samples=val, noise_floor_db=floor)

    def _data_facts(self, loaded: Loaded) -> _DataFacts:
        section = loaded.recipe.data
        if section not in self._read:
            try:
                self._read[section] = _read(loaded, download=self._needed)
            except DataError:
                if self._needed:
                    raise
                self._read[section] = (None, None, None)
        return self._read[section]


def _read(loaded: Loaded, *, download: bool) -> _DataFacts:
    """Read the capture, unless its length is known without."""
    section = loaded.recipe.data
    known = known_train_samples(section)
    if known is not None:
        return known, None, None
    from dpdrun.data.sources import list_sources, load_capture  # loads numpy

    if not download and any(source.name == section.source and not source.ready for source in list_sources()):
        return None, None, None
    capture = load_capture(section, recipe=loaded.path)
    return len(capture.train), len(capture.val), capture.noise_floor_db


def lint(loaded: Loaded, facts: PlanFacts | None = None) -> Lint:
    """Evaluate the check rules of a recipe's profile, with every `auto` as the rules set it.

    Args:
        loaded: the recipe.
        facts: of the recipe and its data; default: those of the recipe alone, without the length of its capture.
    """
    profile = loaded.recipe.rules
    advice = derive(PlanFacts.of_recipe(loaded.recipe) if facts is None else facts, profile)
    outcome, _ = evaluate_rules(rules_for(profile, "check"), advice.facts)
    return Lint(str(loaded.path), locate_findings(loaded, outcome.findings, advice.opinions), outcome.skipped)


def lint_recipe(loaded: Loaded, facts_of: Callable[[Loaded], PlanFacts]) -> Lint:
    """Lint a recipe, and what its fixes would lead to; `facts_of` gives the facts of it and of its fixed versions."""
    done = fix(loaded, lambda recipe: lint(recipe, facts_of(recipe)), unsafe=True)
    return replace(done.before, after_fixes=tuple(done.followed))


def locate_findings(loaded: Loaded, findings: Iterable[Finding], left_to_rules: Collection[str]) -> list[LintFinding]:
    """Locate findings in a recipe; return them in the order of the file.

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
    content = {each.name: getattr(finding, each.name) for each in fields(Finding)}
    content["fix"] = finding.fix if fixable else "none"
    return LintFinding(**content, path=str(loaded.path), line=line, column=column, key=key, source=rule.source)


def _patched(loaded: Loaded, finding: Finding) -> Loaded | None:
    """Apply the patch of a finding to the text; None where that makes no recipe, or an override hides the change."""
    overridden = {override.partition("=")[0].strip() for override in loaded.overrides}
    if overridden & set(finding.patch):
        return None
    try:
        text = apply_patch(loaded.text, finding.patch)
        return load_text(text, loaded.path, loaded.overrides)
    except RecipeError:
        return None


def fix(loaded: Loaded, relint: Callable[[Loaded], Lint], *, unsafe: bool = False) -> Fixed:
    """Apply fixes until none is left. The file is not touched.

    Args:
        loaded: the recipe.
        relint: lints a recipe; called after each fix, which can settle another, or change the length of the run.
        unsafe: apply also fixes that change what is trained.
    """
    wanted: Sequence[Fix] = ("safe", "unsafe") if unsafe else ("safe",)
    seen: list[Lint] = []

    def fixable(recipe: Loaded, _: Sequence[Finding]) -> list[LintFinding]:
        seen.append(relint(recipe))
        return by_urgency(finding for finding in seen[-1].findings if finding.fix in wanted)

    fixed, applied = apply_fixes(loaded, fixable)
    return Fixed(fixed, seen[0], applied, seen[-1])


def apply_fixes(
    loaded: Loaded, fixable: Callable[[Loaded, Sequence[FindingT]], Iterable[FindingT]]
) -> tuple[Loaded, list[FindingT]]:
    """Apply patches of findings to the text of a recipe, one at a time; the only loop that does so.

    Args:
        loaded: the recipe.
        fixable: returns the findings whose patch may be applied, the most urgent first, for a recipe and the findings
            applied so far. It is called after each patch; the first patch that makes a new recipe is taken.

    Returns:
        The recipe with the patches, with comments that state the earlier values, and the findings applied.
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
    if applied:  # once, at the end: the remark on a value changed twice is to state what the user wrote
        text = annotate_changed_values(before.text, loaded.text)
        loaded = load_text(text, before.path, before.overrides)
    return loaded, applied


def by_urgency(findings: Iterable[FindingT]) -> list[FindingT]:
    """Return the most severe findings first, then by code."""
    return sorted(findings, key=lambda finding: (-SEVERITIES.index(finding.severity), finding.code))


def reaches(findings: Iterable[Finding], severity: Severity) -> bool:
    """Return whether some finding is at least this severe, as `--fail-on` asks."""
    return any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(severity) for finding in findings)


def count(findings: Iterable[Finding], what: Literal["error", "warning", "info", "safe", "unsafe"]) -> int:
    """Count the findings of a severity, or with a kind of fix."""
    return sum(what in (finding.severity, finding.fix) for finding in findings)
