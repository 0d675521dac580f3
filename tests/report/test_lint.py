"""Findings as text: a golden page of the case study's first recipe, at any width, and the summary."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dpdrun.plan.lint import Lint, lint
from dpdrun.recipe.loader import load_text
from dpdrun.report.findings import later_view, lint_summary, lint_view
from dpdrun.rules.facts.plan import PlanFacts

RECIPE = "recipes/case_study/00_as_it_was.yaml"
GOLDEN = Path(__file__).with_name("lint.txt")


def case_study() -> Lint:
    loaded = load_text((Path(__file__).parents[2] / RECIPE).read_text(encoding="utf-8"), RECIPE)
    return lint(loaded, replace(PlanFacts.of_recipe(loaded.recipe, 58_980), val_samples=19_662))


def printed(*parts: object, width: int = 80, color: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False, force_terminal=color)
    for part in parts:
        console.print(part, soft_wrap=True)
    return out.getvalue()


def test_golden_page() -> None:
    """To renew it: write what `printed` returns here to tests/report/lint.txt, and read the diff."""
    found = case_study()
    assert printed(lint_view(found), lint_summary(found.findings)) == GOLDEN.read_text(encoding="utf-8")


def test_width_and_colour_change_no_word() -> None:
    found = case_study()
    assert printed(lint_view(found), width=30) == printed(lint_view(found), width=300)
    assert "\x1b[" in printed(lint_view(found), color=True)
    assert "\x1b[" not in printed(lint_view(found))


def test_what_follows_from_the_fixes_is_on_a_line_each() -> None:
    one, other = (replace(f, fix="unsafe") for f in case_study().findings[:2])
    lines = later_view([one, other]).plain.split("\n")
    assert lines[0].startswith(f"after these fixes: {one.severity} {one.code} {one.slug}: {one.message}; advice: ")
    assert "; unsafe fix: " in lines[0]
    assert len(lines) == 2


def test_no_findings() -> None:
    assert printed(lint_view(Lint("a.yaml", [], []))) == "a.yaml: no findings\n"
    assert printed(lint_summary([])) == "no findings\n"


def test_summary_counts_severities_and_fixes() -> None:
    findings = case_study().findings
    one = next(finding for finding in findings if finding.fix == "unsafe")
    how = f"dpdrun lint {RECIPE} --fix fixes 0, --fix --unsafe-fixes fixes 1, --diff shows the changes"
    assert lint_summary([one]).plain == f"1 {one.severity}; {how}"
    elsewhere = replace(one, path="b.yaml")
    assert "; dpdrun lint RECIPE --fix fixes 0" in lint_summary([one, elsewhere]).plain
    none = [replace(finding, fix="none", severity="info") for finding in findings[:2]]
    assert lint_summary(none).plain == "2 info"
