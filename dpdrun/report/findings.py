"""How a finding is shown, everywhere: on one line or with all that is known about it, and in which colours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from dpdrun.plan.lint import Lint, LintFinding, count
from dpdrun.recipe.patch import render
from dpdrun.rules.engine import SEVERITIES, Finding, Skipped, all_rules
from dpdrun.rules.pages import page_sections

STYLE = {  # of severities and verdicts on a terminal
    "unknown": "bold yellow", "healthy": "bold green", "info": "cyan", "warning": "bold yellow", "error": "bold red",
}  # fmt: skip
COLOUR = {"error": "#b91c1c", "warning": "#b45309", "info": "#59636e"}  # of severities on paper
EVIDENCE_STYLE = {"measured": "green", "measured here": "bold green", "cited": "cyan", "assumed": "yellow", None: "dim"}
SMALLEST_P = 1e-4  # a smaller one says nothing more
SENTENCE_END = re.compile(r"(?<=[a-z0-9)])\.\s+(?=[A-Z])")
SECTIONS = frozenset({"data", "model", "optim", "train", "dpd", "rules", "pa", "task"})  # of a recipe
WHY_SENTENCES = 2  # on a terminal; `dpdrun explain` has the rest


def finding_line(finding: Finding, where: str = "") -> Text:
    """Return `Finding.as_line` in colours."""
    line, start = Text(finding.as_line(where)), len(f"{where}: ") if where else 0
    line.stylize(STYLE[finding.severity], start, start + len(finding.severity))
    return line


def finding_head(finding: Finding, unit: str = "step") -> Text:
    """Return where a finding is, what it is and since when; `unit` is what a step of the run is called."""
    where = f"{finding.path}:{finding.line}:{finding.column}" if isinstance(finding, LintFinding) else ""
    head = finding_line(replace(finding, advice=""), where)
    return head if finding.step is None else head.append(f" (from {unit} {finding.step})", "dim")


def finding_entries(finding: Finding, *, sentences: int | None = None) -> dict[str, str]:
    """Return the rest by label: numbers, reason (so many `sentences`, None = all), advice, change of the recipe."""
    if isinstance(finding, LintFinding):
        fix = patch_text(finding) if finding.fix != "none" else ""
        entries = {"advice": finding.advice, "source": finding.source, f"{finding.fix} fix": fix}
    else:
        entries = {
            "evidence": numbers_of(finding),
            "why": why_of(finding.code, sentences=sentences),
            "advice": finding.advice,
            "recipe" if _of_recipe(finding) else "setting": patch_text(finding),
        }
    return {label: text for label, text in entries.items() if text}


def finding_text(finding: Finding, unit: str = "step") -> Text:
    """Return head and entries, a line each, whatever the width: what an editor or `grep` reads."""
    text = finding_head(finding, unit)
    for label, entry in finding_entries(finding, sentences=WHY_SENTENCES).items():
        text.append(f"\n  {label}: ", "bold").append(entry, "" if label in ("advice", "why") else "dim")
    return text


def finding_view(finding: Finding, unit: str = "step") -> RenderableType:
    """Return `finding_text` for a terminal: a line that is too long continues indented."""
    head, *entries = finding_text(finding, unit).split("\n")
    return Group(head, *(Padding(entry[2:], (0, 0, 0, 2)) for entry in entries))


def severity_counts(findings: Iterable[Finding]) -> Text:
    """Return `1 error, 2 warnings, 1 info`; empty where there is no finding."""
    severities = [finding.severity for finding in findings]
    counts = [(severities.count(each), each) for each in reversed(SEVERITIES)]
    return Text(", ").join(
        Text(f"{count} {each}{'s' if count > 1 and each != 'info' else ''}", STYLE[each])
        for count, each in counts
        if count
    )


def named(code: str) -> str:
    """Return `GN201 gradient_norm_climbs`."""
    return f"{code} {all_rules()[code].slug}"


def numbers_of(finding: Finding) -> str:
    """Return the evidence: `value 0.62, threshold 0.5, n 380`."""
    return ", ".join(f"{key.replace('_', ' ')} {_short(key, value)}" for key, value in finding.evidence.items())


def _short(key: str, value: object) -> str:
    if key == "p" and isinstance(value, int | float) and value < SMALLEST_P:
        return f"< {SMALLEST_P:g}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def why_of(code: str, *, sentences: int | None = None) -> str:
    """Return why it matters, from the page of the rule: all of it, or its first sentences."""
    rule = all_rules().get(code)
    text = " ".join(page_sections(rule).get("Why", "").split()) if rule else ""
    if sentences is None or not text:
        return text
    short = ". ".join(SENTENCE_END.split(text)[:sentences])
    return short if short.endswith(".") else f"{short}."


def _of_recipe(finding: Finding) -> bool:
    """Return whether a patch names recipe keys, not settings of another program."""
    return any(key.partition(".")[0] in SECTIONS for key in finding.patch)


def patch_text(finding: Finding) -> str:
    """Return the change of the recipe: `optim.lr: 3e-3`; empty where there is none."""
    return ", ".join(f"{key}: {render(value)}" for key, value in finding.patch.items())


def by_reason(skipped: Iterable[Skipped]) -> dict[str, list[str]]:
    """Return the codes of the rules that were skipped, by reason."""
    codes: dict[str, list[str]] = {}
    for skip in skipped:
        codes.setdefault(skip.reason, []).append(skip.code)
    return codes


def lint_view(lint: Lint) -> Text:
    """Return all findings of one recipe, or that there is none."""
    if not lint.findings:
        return Text.assemble(f"{lint.path}: ", ("no findings", "green"))
    return Text("\n").join(finding_text(finding) for finding in lint.findings)


def later_view(later: Sequence[LintFinding]) -> Text:
    """Return a line for each finding that appears only once the others are fixed, with the fix that it would get."""
    return Text("\n").join(
        finding_line(finding, "after these fixes").append(f"; {finding.fix} fix: {patch_text(finding)}", "dim")
        for finding in later
    )


def lint_summary(findings: Sequence[LintFinding]) -> Text:
    """Return `2 warnings, 1 info; dpdrun lint r.yaml --fix fixes 1, with --unsafe-fixes 3, ...`."""
    text = severity_counts(findings) or Text("no findings")
    safe, unsafe = count(findings, "safe"), count(findings, "unsafe")
    if safe or unsafe:
        paths = {finding.path for finding in findings}
        text.append(f"; dpdrun lint {paths.pop() if len(paths) == 1 else 'RECIPE'} --fix fixes {safe}")
        text.append(f", --fix --unsafe-fixes fixes {safe + unsafe}" if unsafe else "")
        text.append(", --diff shows the changes")
    return text
