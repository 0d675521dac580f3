"""Findings about a recipe on the terminal: `path:line:column: CODE severity message`, what to do, and the source."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from dpdrun.plan.lint import Lint, LintFinding, count
from dpdrun.recipe.patch import render

SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "error": "bold red"}
_WORDS = {"error": "error", "warning": "warning", "info": "note"}


def lint_finding(finding: LintFinding) -> Text:
    """A finding on three lines: where and what, what to do, where the rule has it from and what a fix would write."""
    text = Text.assemble(
        (f"{finding.path}:{finding.line}:{finding.column}:", "bold"),
        f" {finding.code} ",
        (finding.severity, SEVERITY_STYLE[finding.severity]),
        f" {finding.message}",
    )
    if finding.advice:
        text.append(f"\n  help: {finding.advice}")
    text.append(f"\n  source: {finding.source}", "dim")
    if finding.fix != "none":
        text.append(f"\n  {finding.fix} fix: {_change(finding)}", "dim")
    return text


def lint_view(this: Lint) -> Text:
    """All findings of one recipe, or that there is none."""
    if not this.findings:
        return Text.assemble(f"{this.path}: ", ("no findings", "green"))
    return Text("\n").join(lint_finding(finding) for finding in this.findings)


def later_view(later: Sequence[LintFinding]) -> Text:
    """`after these fixes: WU104 info the warmup has ...; unsafe fix: optim.warmup: 5%`, a line for each."""
    return Text("\n").join(
        Text.assemble(
            f"after these fixes: {finding.code} ",
            (finding.severity, SEVERITY_STYLE[finding.severity]),
            f" {finding.message}",
            (f"; {finding.fix} fix: {_change(finding)}", "dim"),
        )
        for finding in later
    )


def _change(finding: LintFinding) -> str:
    return ", ".join(f"{key}: {render(value)}" for key, value in finding.patch.items())


def lint_summary(findings: Sequence[LintFinding]) -> Text:
    """`2 warnings, 1 note; dpdrun lint r.yaml --fix fixes 1, with --unsafe-fixes 3, ...`."""
    counts = [(count(findings, severity), word) for severity, word in _WORDS.items()]  # type: ignore[arg-type]
    said = [f"{number} {word}{'s' if number > 1 else ''}" for number, word in counts if number]
    text = Text(", ".join(said) if said else "no findings")
    safe, unsafe = count(findings, "safe"), count(findings, "unsafe")
    if safe or unsafe:
        paths = {finding.path for finding in findings}
        text.append(f"; dpdrun lint {paths.pop() if len(paths) == 1 else 'RECIPE'} --fix fixes {safe}")
        text.append(f", with --unsafe-fixes {safe + unsafe}" if unsafe else "")
        text.append(", --diff shows what would change")
    return text
