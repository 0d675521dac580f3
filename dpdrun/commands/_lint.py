"""The linter behind `dpdrun recommend RECIPE` and `dpdrun recipe check --lint`: facts of the data, fixes, output."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.errors import DataError, RecipeError

if TYPE_CHECKING:
    from dpdrun.plan.lint import Fixed, Lint, LintFinding
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.loader import Loaded
    from dpdrun.recipe.schema import DataSection
    from dpdrun.rules.engine import Finding
    from dpdrun.rules.facts.plan import PlanFacts

Data = tuple[int | None, int | None, float | None]  # samples of training and validation part, noise floor [dB]


class Facts:
    """Facts of recipes and their data; a record is read once for all recipes that cut it in the same way.

    Args:
        frames: training frames in one pass, where the user says so; the record is then not read.
        needed: raise DataError where the data cannot be read; else go on without them, and never download any.
    """

    def __init__(self, frames: int | None = None, *, needed: bool) -> None:
        self.frames, self._needed = frames, needed
        self._seen: list[tuple[DataSection, Data]] = []

    def __call__(self, loaded: Loaded) -> PlanFacts:
        from dpdrun.rules.facts.plan import PlanFacts

        if self.frames is not None:
            return PlanFacts.of_recipe(loaded.recipe, frames=self.frames)
        train, val, floor = self._data(loaded)
        return replace(PlanFacts.of_recipe(loaded.recipe, train), val_samples=val, noise_floor_db=floor)

    def _data(self, loaded: Loaded) -> Data:
        section = loaded.recipe.data
        for known, data in self._seen:
            if known == section:
                return data
        try:
            data = _read(loaded, download=self._needed)
        except DataError:
            if self._needed:
                raise
            data = (None, None, None)
        self._seen.append((section, data))
        return data


def _read(loaded: Loaded, *, download: bool) -> Data:
    """Reads the record only where its length is not known without."""
    from dpdrun.data.splits import known_train_samples

    section = loaded.recipe.data
    known = known_train_samples(section)
    if known is not None:
        return known, None, None
    from dpdrun.data.sources import list_sources, load_capture  # loads numpy

    if not download and any(source.name == section.source and not source.ready for source in list_sources()):
        return None, None, None
    capture = load_capture(section, recipe=loaded.path)
    return len(capture.train), len(capture.val), capture.noise_floor_db


def with_places(this: Recommendation, loaded: Loaded) -> Recommendation:
    """The recommendation with each warning at its line of the recipe."""
    from dpdrun.plan.lint import locate

    set_by_rules = {key for key, value in this.values.items() if value.rule is not None}
    return replace(this, warnings=[*locate(loaded, this.warnings, set_by_rules)])


def fixed(loaded: Loaded, facts: Facts, *, fix: bool, unsafe: bool, diff: bool) -> Loaded:
    """What `--fix`, `--unsafe-fixes` and `--diff` ask for.

    Returns:
        the recipe to go on with: as it is in the file afterwards.

    Raises:
        RecipeError: flags that do not go together.
        typer.Exit: --diff has shown everything that was asked for.
    """
    if not (fix or unsafe or diff):
        return loaded
    if not (fix or diff):
        raise RecipeError("--unsafe-fixes says which fixes: use it with --fix, which writes them, or --diff")
    if loaded.overrides:
        flags = ", ".join(override.partition("=")[0] for override in loaded.overrides)
        raise RecipeError(f"--fix and --diff are for the recipe as it is in the file: leave out the flags for {flags}")
    from dpdrun.plan.lint import fix as make_fixes
    from dpdrun.plan.lint import lint

    done = make_fixes(loaded, lambda recipe: lint(recipe, facts(recipe)), unsafe=unsafe)
    if diff:
        from dpdrun.recipe.patch import diff as unified

        typer.echo(unified(loaded.text, done.loaded.text, str(loaded.path)), nl=False)
        if done.followed:
            typer.echo(_later(done), err=True)  # beside the diff, which can be applied as it is
        raise typer.Exit
    if done.applied:
        from dpdrun.run.files import write_text

        write_text(loaded.path.resolve(), done.loaded.text)  # the file that a link names, not the link
    typer.echo(_told(done), err=True)
    return done.loaded


def _told(done: Fixed) -> str:
    codes = ", ".join(finding.code for finding in done.applied)
    if not codes:
        return f"{done.loaded.path}: nothing to fix"
    told = f"{done.loaded.path}: written, {len(done.applied)} fixed ({codes})"
    return f"{told}\n{_later(done)}" if done.followed else told


def _later(done: Fixed) -> str:
    from dpdrun.report.lint import later_view

    return later_view(done.followed).plain


def later_than(findings: Sequence[Finding], loaded: Loaded, look: Callable[[Loaded], Lint]) -> list[LintFinding]:
    """What would be fixed after the fixes of these findings; nothing where there are none."""
    from dpdrun.plan.lint import follow_ups

    return follow_ups(loaded, look) if any(finding.fix != "none" for finding in findings) else []


def check_lint(files: list[Path], sets: list[str], *, as_json: bool, fail_on: str) -> tuple[bool, list[str]]:
    """Lint recipes and print what was found.

    Returns:
        whether a finding is at least as severe as `fail_on`, and what is wrong with files that are no recipe.
    """
    from dpdrun.plan.lint import SCHEMA_VERSION, lint
    from dpdrun.recipe.loader import load_recipe

    facts = Facts(needed=False)
    seen: list[tuple[Lint, list[LintFinding]]] = []
    problems: list[str] = []
    for file in files:
        try:
            loaded = load_recipe(file, sets)
        except RecipeError as error:
            problems.append(str(error))
        else:
            found = lint(loaded, facts(loaded))
            seen.append((found, later_than(found.findings, loaded, lambda recipe: lint(recipe, facts(recipe)))))
    if as_json:
        from dpdrun.run.files import encode_numbers

        content = {"schema_version": SCHEMA_VERSION, "files": [_lint_json(*each) for each in seen]}
        typer.echo(json.dumps(encode_numbers(content), indent=2, allow_nan=False))
    else:
        _show(seen)
    return any(each.reaches(fail_on) for each, _ in seen), problems  # type: ignore[arg-type]


def _lint_json(found: Lint, later: list[LintFinding]) -> dict[str, Any]:
    return found.to_json() | {"after_fixes": [finding.to_json() for finding in later]}


def _show(seen: list[tuple[Lint, list[LintFinding]]]) -> None:
    from rich.console import Console

    from dpdrun.report.lint import later_view, lint_summary, lint_view

    console = Console(highlight=False)
    for each, later in seen:
        console.print(lint_view(each), soft_wrap=True)
        if later:
            console.print(later_view(later), soft_wrap=True)
    found = [finding for each, _ in seen for finding in each.findings]
    if found:
        console.print(lint_summary(found), soft_wrap=True)
