"""Findings about recipes on the terminal, each at its line, and what fixes would do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from dpdrun.plan.lint import Lint, LintFinding, count
from dpdrun.report.findings import finding_line, finding_text, patch_of, severity_counts


def lint_view(lint: Lint) -> Text:
    """Return all findings of one recipe, or that there is none."""
    if not lint.findings:
        return Text.assemble(f"{lint.path}: ", ("no findings", "green"))
    return Text("\n").join(finding_text(finding) for finding in lint.findings)


def later_view(later: Sequence[LintFinding]) -> Text:
    """Return a line for each finding that appears only once the others are fixed, with the fix that it would get."""
    return Text("\n").join(
        finding_line(finding, "after these fixes").append(f"; {finding.fix} fix: {patch_of(finding)}", "dim")
        for finding in later
    )


def lint_summary(findings: Sequence[LintFinding]) -> Text:
    """Return `2 warnings, 1 info; dpdrun lint r.yaml --fix fixes 1, --fix --unsafe-fixes fixes 3, ...`."""
    text = severity_counts(findings) or Text("no findings")
    safe, unsafe = count(findings, "safe"), count(findings, "unsafe")
    if safe or unsafe:
        paths = {finding.path for finding in findings}
        text.append(f"; dpdrun lint {paths.pop() if len(paths) == 1 else 'RECIPE'} --fix fixes {safe}")
        text.append(f", --fix --unsafe-fixes fixes {safe + unsafe}" if unsafe else "")
        text.append(", --diff shows the changes")
    return text
