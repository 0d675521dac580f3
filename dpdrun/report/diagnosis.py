"""A diagnosis on the terminal: verdict, findings with advice, charts, what is healthy, what was skipped and why."""

from __future__ import annotations

import math

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.diagnosis.logs.log import LogSource
from dpdrun.report.chart import AXIS, DASH, DOT, OVERLAY, log_chart
from dpdrun.report.finding_text import by_reason, named, numbers_of, patch_of, why_of
from dpdrun.report.signal import signal_lines
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.text import pluralize

STYLE = {
    "unknown": "bold yellow",
    "healthy": "bold green",
    "info": "cyan",
    "warning": "bold yellow",
    "error": "bold red",
}
WORDS = {"error": "error", "warning": "warning", "info": "note"}
WIDEST, NARROWEST = 64, 16  # characters of the chart
CODES = 19  # characters for three codes
SCALES = 21  # characters beside it
CHART_STYLE = {DOT: "cyan", DASH: "yellow", OVERLAY: "magenta"}


def diagnosis_view(this: Diagnosis, title: str) -> RenderableType:
    """Everything `dpdrun diagnose` says about one run."""
    parts: list[RenderableType] = [verdict_line(this, title)]
    if this.log:
        parts += [Text(line, "dim") for line in source_lines(this.log)]
    for finding in this.findings:
        parts += ["", *_finding(finding, unit_of(this))]
    for shown in _pictures(this):
        parts += ["", shown]
    parts.append("")
    if this.healthy:
        parts.append(Text.assemble(("looked at and healthy: ", "green"), ", ".join(named(c) for c in this.healthy)))
    if this.skipped:
        parts += [Text("not judged:", "dim"), _skipped(this)]
    return Group(*parts)


def verdict_line(this: Diagnosis, title: str) -> Text:
    """`runs/x: 1 warning, 2 notes; 600 of 600 steps, best validation NMSE -38.60 dB`; `healthy` is said in a word."""
    counts = [(name, sum(f.severity == name for f in this.findings)) for name in WORDS]
    said = [(f"{n} {WORDS[name]}{'s' if n > 1 else ''}", STYLE[name]) for name, n in counts if n]
    if this.verdict == "unknown":
        why = "the log has too little of what the rules need" if this.log else "nothing could be judged yet"
        said = [("unknown", STYLE["unknown"]), (why, "")]
    elif this.verdict == "healthy":
        said = [("healthy", STYLE["healthy"]), *(said or [("nothing to report", "")])]
    line = Text(f"{title}: ")
    for number, (words, style) in enumerate(said):
        between = ": " if number == 1 and this.verdict in ("unknown", "healthy") else ", "
        line.append(between if number else "").append(words, style)
    facts = this.facts
    line.append("; a least-squares fit" if facts.kind == "gmp" else f"; {progress_of(this)}")
    if facts.best_nmse_db is not None:
        best = "validation" if facts.kind == "gmp" else "best validation"
        line.append(f", {best} NMSE {facts.best_nmse_db:.2f} dB")
    return line


def unit_of(this: Diagnosis) -> str:
    """What a step of this run is: `step`, or `epoch` in a log that has a line an epoch."""
    return this.log.unit if this.log else "step"


def progress_of(this: Diagnosis) -> str:
    """`400 of 600 steps`; without a planned length, `400 steps`."""
    facts = this.facts
    if this.is_of_files and facts.signal:
        return f"NMSE {facts.signal.nmse_db:.2f} dB over {facts.signal.samples:,} samples"
    last = max(facts.step[-1] if facts.step else 0, facts.eval_step[-1] if facts.eval_step else 0)
    if facts.total_steps is None:
        return pluralize(last, unit_of(this))
    return f"{last} of {pluralize(facts.total_steps, unit_of(this))}"


def source_lines(log: LogSource) -> list[str]:
    """How a log was read: its format, its columns, and what was assumed."""
    columns = ", ".join(f"{key} = {name}" for key, name in log.found.items())
    return [f"read as {log.format}: {columns}", *(f"- {note}" for note in log.notes)]


def marks_of(this: Diagnosis) -> dict[int, str]:
    """Codes of the warnings and errors by the step where they begin."""
    found: dict[int, list[str]] = {}
    for finding in this.findings:
        if finding.step is not None and finding.severity != "info":
            found.setdefault(finding.step, []).append(finding.code)
    return {step: ",".join(codes) for step, codes in found.items()}


def _finding(finding: Finding, unit: str) -> list[RenderableType]:
    head = Text.assemble((finding.severity, STYLE[finding.severity]), f" {finding.code} {finding.slug}")
    if finding.step is not None:
        head.append(f" (from {unit} {finding.step})", "dim")
    lines: list[RenderableType] = [head, _indented(Text(finding.message))]
    if finding.evidence:
        lines.append(_indented(Text(f"seen: {numbers_of(finding)}", "dim")))
    if why := why_of(finding.code, sentences=2):
        lines.append(_indented(Text.assemble(("why: ", "bold"), why)))
    if finding.advice:
        lines.append(_indented(Text.assemble(("advice: ", "bold"), finding.advice)))
    if finding.patch:
        lines.append(_indented(Text(f"in the recipe: {patch_of(finding)}", "dim")))
    return lines


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _skipped(this: Diagnosis) -> Table:
    """A row a reason: what could not be judged, and why."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=CODES)
    table.add_column(style="dim")
    for reason, codes in by_reason(this.skipped).items():
        table.add_row(Padding(Text(" ".join(codes)), (0, 0, 0, 2)), Text(reason))
    return table


def _pictures(this: Diagnosis) -> list[RenderableType]:
    """The chart of a run, and what a prediction looks like beside its target; either, or both."""
    found: list[RenderableType] = [] if this.is_of_files else [Chart(this)]
    if this.facts.signal:
        found.append(Group(*signal_lines(this.facts.signal)))
    return found


def as_text(this: Diagnosis) -> str:
    """The pictures of a diagnosis as plain characters, for formats that are text."""
    return _plain(_pictures(this))


def signal_text(signal: SignalFacts) -> str:
    """What a prediction looks like beside its target, as plain characters."""
    return _plain(signal_lines(signal)[1:])


def _plain(shown: list[RenderableType], width: int = 120) -> str:
    console = Console(width=width, no_color=True, force_terminal=False, color_system=None)
    with console.capture() as capture:
        for each in shown:
            console.print(each, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


class Chart:
    """`chart_lines`, as wide as there is room."""

    def __init__(self, this: Diagnosis) -> None:
        self._this = this

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(WIDEST, options.max_width - SCALES)
        yield from chart_lines(self._this, width) if width >= NARROWEST else []


def chart_lines(this: Diagnosis, width: int = WIDEST) -> list[Text]:
    """The gradient norm with clip and learning rate; the loss where no norm was logged.

    Args:
        this: the diagnosis.
        width: of the plot in characters, without its scales.
    """
    facts = this.facts
    if facts.kind == "gmp":
        return [Text("a least-squares fit has no steps and no gradient norms", "dim")]
    if not facts.step:
        return [Text("no optimizer step was logged", "dim")]
    clip = facts.clip_norm[-1] if facts.clip_norm else math.inf
    values, title = (facts.grad_norm, "gradient norm before clipping") if facts.grad_norm else (facts.loss, "loss")
    if not values:
        return [Text("neither gradient norm nor loss was logged", "dim")]
    title += ", logarithmic"
    if facts.grad_norm and math.isfinite(clip) and facts.clipped:
        title += f"; clipped at {clip:g} in {sum(facts.clipped) / len(facts.clipped):.1%} of the {unit_of(this)}s"
    line = clip if facts.grad_norm else None
    drawn = log_chart(
        values, facts.step, line=line, overlay=facts.lr, marks=marks_of(this), unit=unit_of(this), width=width
    )
    head = Text(title, "bold")
    if facts.lr and any(lr > 0.0 for lr in facts.lr):
        head = Text.assemble(head, (f"; lr {OVERLAY} on the right", "magenta"))
    return [head, *map(_coloured, drawn)]


def _coloured(line: str) -> Text:
    text = Text(line)
    left, right = line.find(AXIS), line.rfind(AXIS)
    for at in range(left, max(right, left) + 1 if right > left else len(line)):
        if left >= 0 and line[at] in CHART_STYLE:
            text.stylize(CHART_STYLE[line[at]], at, at + 1)
    return text
