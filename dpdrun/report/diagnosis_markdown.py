"""A diagnosis as Markdown, for a pull request or a lab book."""

from __future__ import annotations

import re

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.report.diagnosis import as_text, source_lines, unit_of, verdict_line
from dpdrun.report.finding_text import by_reason, named, numbers_of, patch_of, why_of
from dpdrun.rules.engine import Finding

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def diagnosis_markdown(this: Diagnosis, title: str) -> str:
    """GitHub-flavoured Markdown; text that came from a run or a log is escaped."""
    line = verdict_line(this, title).plain.removeprefix(f"{title}: ")
    parts = [f"## dpdrun diagnose: {_text(title)}", "", f"**{this.verdict}**: {_text(line)}", ""]
    if this.findings:
        parts += [f"| severity | finding | from {unit_of(this)} | what was seen |", "|---|---|---|---|"]
        parts += [_row(finding) for finding in this.findings]
        parts.append("")
    for finding in this.findings:
        parts += _finding(finding)
    parts += ["<details><summary>chart</summary>", "", "```text", as_text(this), "```", "", "</details>", ""]
    if this.log:
        parts += [
            *(_text(row) if not row.startswith("- ") else f"- {_text(row[2:])}" for row in source_lines(this.log)),
            "",
        ]
    if this.healthy:
        parts += [f"Looked at and healthy: {', '.join(f'`{named(code)}`' for code in this.healthy)}", ""]
    if this.skipped:
        parts += ["<details><summary>not judged</summary>", ""]
        parts += [f"- `{' '.join(codes)}`: {_text(reason)}" for reason, codes in by_reason(this.skipped).items()]
        parts += ["", "</details>", ""]
    return "\n".join(parts)


def _row(finding: Finding) -> str:
    step = "" if finding.step is None else str(finding.step)
    return f"| {finding.severity} | `{finding.code}` {_text(finding.slug)} | {step} | {_text(finding.message)} |"


def _finding(finding: Finding) -> list[str]:
    entries = {"seen": numbers_of(finding), "why": why_of(finding.code), "advice": finding.advice}
    lines = [f"**{finding.code} {_text(finding.slug)}**", ""]
    lines += [f"- {name}: {_text(text)}" for name, text in entries.items() if text]
    if finding.patch:
        lines.append(f"- in the recipe: `{patch_of(finding)}`")
    return [*lines, ""]


def _text(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
