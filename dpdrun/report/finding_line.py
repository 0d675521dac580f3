"""A finding on one line, when it is first seen."""

from __future__ import annotations

from rich.text import Text

from dpdrun.report.diagnosis import STYLE
from dpdrun.rules.engine import Finding


def event_line(finding: Finding, when: str) -> Text:
    """`step 1200: warning GN201 gradient_norm_climbs: ...; advice: ...`; `when` is how the line begins."""
    line = Text(f"{when}: ").append(finding.severity, STYLE[finding.severity])
    line.append(f" {finding.code} {finding.slug}: {finding.message}")
    return line.append(f"; advice: {finding.advice}") if finding.advice else line
