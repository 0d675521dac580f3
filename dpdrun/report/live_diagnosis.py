"""A diagnosis of a run that is still going on: a view that is drawn again and again, and a line per finding."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.report import finding_line
from dpdrun.report.console import duration
from dpdrun.report.diagnosis import STYLE, Chart, unit_of, verdict_line
from dpdrun.rules.engine import Finding

QUIET_S = 30.0  # without a new line: worth telling


def live_view(this: Diagnosis, title: str, quiet_s: float) -> RenderableType:
    """Verdict, findings and chart in a panel.

    Args:
        this: the diagnosis as it is now.
        title: of the run.
        quiet_s: since the log last grew [s].
    """
    parts: list[RenderableType] = [Chart(this)]
    if this.findings:
        parts.append("")
    for finding in this.findings:
        begins = "" if finding.step is None else f" from {unit_of(this)} {finding.step}"
        parts.append(
            Text.assemble((finding.severity, STYLE[finding.severity]), f" {finding.code}{begins}: {finding.message}")
        )
    parts += ["", Text(_counts(this, quiet_s), "dim")]
    return Panel(
        Group(*parts), title=verdict_line(this, title), title_align="left", border_style="blue", padding=(0, 1)
    )


def _counts(this: Diagnosis, quiet_s: float) -> str:
    said = f"{len(this.healthy)} rules looked and found nothing, {len(this.skipped)} could not look"
    quiet = f"; nothing new for {duration(quiet_s)}" if quiet_s >= QUIET_S else ""
    return f"{said}{quiet}; Ctrl-C ends"


def event_line(finding: Finding, this: Diagnosis) -> Text:
    """What is said once, when a finding is first seen; see `finding_line`."""
    last = this.facts.step[-1] if this.facts.step else 0
    return finding_line.event_line(finding, f"{unit_of(this)} {last}")


def gone_line(code: str, this: Diagnosis) -> Text:
    """What is said when a finding is no longer made."""
    last = this.facts.step[-1] if this.facts.step else 0
    return Text(f"{unit_of(this)} {last}: {code} is no longer seen", "dim")
