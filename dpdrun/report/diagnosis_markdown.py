"""A diagnosis as Markdown, for a pull request or a lab book."""

from __future__ import annotations

import re

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.report.diagnosis import checked_text, pictures_text, source_lines, unit_of, verdict_line
from dpdrun.report.findings import by_reason, finding_entries, named
from dpdrun.rules.engine import Finding

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def diagnosis_markdown(diagnosis: Diagnosis, title: str) -> str:
    """Return GitHub-flavoured Markdown; text that came from a run or a log is escaped."""
    line = verdict_line(diagnosis, title).plain.removeprefix(f"{title}: ")
    parts = [f"## dpdrun diagnose: {_escaped(title)}", "", f"**{diagnosis.verdict}**: {_escaped(line)}", ""]
    if diagnosis.findings:
        parts += [f"| severity | finding | from {unit_of(diagnosis)} | what is wrong |", "|---|---|---|---|"]
        parts += [_row(finding) for finding in diagnosis.findings]
        parts.append("")
    for finding in diagnosis.findings:
        parts += [f"**{finding.code} {_escaped(finding.slug)}**", ""]
        parts += [f"- {label}: {_entry(label, text)}" for label, text in finding_entries(finding).items()]
        parts.append("")
    parts += _folded("chart", ["```text", pictures_text(diagnosis), "```"])
    if diagnosis.log:
        first, *notes = source_lines(diagnosis.log)
        parts += [_escaped(first), *(f"- {_escaped(note[2:])}" for note in notes), ""]
    if diagnosis.healthy:
        parts += _folded(checked_text(diagnosis), [", ".join(f"`{named(code)}`" for code in diagnosis.healthy)])
    if diagnosis.skipped:
        reasons = by_reason(diagnosis.skipped).items()
        parts += _folded("not checked", [f"- `{' '.join(codes)}`: {_escaped(reason)}" for reason, codes in reasons])
    return "\n".join(parts)


def _row(finding: Finding) -> str:
    step = "" if finding.step is None else str(finding.step)
    return f"| {finding.severity} | `{finding.code}` {_escaped(finding.slug)} | {step} | {_escaped(finding.message)} |"


def _entry(label: str, text: str) -> str:
    return f"`{text}`" if label == "recipe" else _escaped(text)


def _folded(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", ""]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
