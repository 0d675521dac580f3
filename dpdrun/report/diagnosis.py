"""A diagnosis on the terminal: verdict, findings with advice, chart, what was checked and what was not; also live."""

from __future__ import annotations

import math
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from dpdrun.diagnosis.diagnose import TOO_LITTLE, Diagnosis
from dpdrun.diagnosis.logs.facts import FOR_RUNS
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.units import WORDS
from dpdrun.report.chart import AXIS, DASH, DOT, OVERLAY, log_chart
from dpdrun.report.findings import STYLE, by_reason, finding_head, finding_line, finding_view, named, severity_counts
from dpdrun.report.numbers import duration
from dpdrun.report.signal import signal_lines
from dpdrun.rules.text import pluralize

if TYPE_CHECKING:
    from rich.live import Live

WIDEST, NARROWEST = 64, 16  # characters of the chart
CODES = 19  # characters for three codes
SCALES = 21  # characters next to the chart
CHART_STYLE = {DOT: "cyan", DASH: "yellow", OVERLAY: "magenta"}
OF_NORM = ("GN", "CL")  # families of rules on the gradient norm
QUIET_S = 30.0  # a log that has not grown for longer is pointed out
FILE_WIDTH = 120  # columns of a diagnosis in a file


def diagnosis_view(diagnosis: Diagnosis, title: str, *, verbose: bool = False) -> RenderableType:
    """Return everything `dpdrun diagnose` prints about one run; `verbose` lists the rules that found nothing."""
    parts: list[RenderableType] = [verdict_line(diagnosis, title)]
    if diagnosis.log:
        parts += [Text(line, "dim") for line in source_lines(diagnosis.log)]
    for finding in diagnosis.findings:
        parts += ["", finding_view(finding, unit_of(diagnosis))]
    for picture in pictures(diagnosis):
        parts += ["", picture]
    parts.append("")
    if not verbose:
        parts.append(Text(f"{checked_text(diagnosis)}{_left_text(diagnosis)} (-v lists them)", "dim"))
        return Group(*parts)
    if diagnosis.healthy:
        parts.append(Text.assemble((checked_text(diagnosis), "green"), f": {', '.join(map(named, diagnosis.healthy))}"))
    if diagnosis.skipped:
        parts += [Text("not checked:", "dim"), _skipped(diagnosis)]
    return Group(*parts)


def checked_text(diagnosis: Diagnosis) -> str:
    """Return `checked, no finding: 35 rules`."""
    return f"checked, no finding: {pluralize(len(diagnosis.healthy), 'rule')}"


def _left_text(diagnosis: Diagnosis) -> str:
    """Return `; not checked: 12` of the rules that such a run or log could be checked by."""
    left = sum(skip.reason != FOR_RUNS for skip in diagnosis.skipped)
    return f"; not checked: {left}" if left else ""


def verdict_line(diagnosis: Diagnosis, title: str) -> Text:
    """Return `runs/x: 1 warning, 2 info; 600 of 600 steps, best validation NMSE -38.60 dB`."""
    counts = severity_counts(diagnosis.findings)
    line = Text(f"{title}: ")
    if diagnosis.verdict == "unknown":
        why = "the log lacks the columns that the rules need" if diagnosis.log else "nothing could be checked yet"
        line.append("unknown", STYLE["unknown"]).append(f": {why}")
    elif diagnosis.verdict == TOO_LITTLE:
        line.append(TOO_LITTLE, STYLE["unknown"]).append(f": what would help most is {diagnosis.would_help}")
        line.append_text(Text("; ").append_text(counts) if counts else Text())
    elif diagnosis.verdict == "healthy":
        line.append("healthy", STYLE["healthy"]).append(": ").append_text(counts or Text("nothing to report"))
    else:
        line.append_text(counts)
    facts = diagnosis.facts
    line.append("; a least-squares fit" if facts.kind == "gmp" else f"; {progress_text(diagnosis)}")
    if facts.best_nmse_db is not None:
        best = "validation" if facts.kind == "gmp" else "best validation"
        line.append(f", {best} NMSE {facts.best_nmse_db:.2f} dB")
    return line


def unit_of(diagnosis: Diagnosis) -> str:
    """Return what a step of this run is called: `step`, or `epoch` in a log with one line per epoch."""
    return diagnosis.log.unit if diagnosis.log else "step"


def progress_text(diagnosis: Diagnosis) -> str:
    """Return `400 of 600 steps`; without a planned length, `400 steps`."""
    facts = diagnosis.facts
    if diagnosis.is_of_files and facts.signal:
        return f"NMSE {facts.signal.nmse_db:.2f} dB over {facts.signal.samples:,} samples"
    unit = unit_of(diagnosis)
    last = max(facts.step[-1] if facts.step else 0, facts.eval_step[-1] if facts.eval_step else 0)
    total = facts.total_steps
    if unit == "epoch" and facts.step[:1] == [0]:  # counted from 0
        last, total = last + 1, total + 1 if total else total
    if facts.finished:
        return f"finished after {pluralize((diagnosis.log and diagnosis.log.done) or last, unit)}"
    if total is None:
        return pluralize(last, unit)
    return f"{last} of {pluralize(total, unit)}"


def source_lines(log: TrainingLog) -> list[str]:
    """Return how a log was read: its format, its columns, and what was assumed."""
    unit = WORDS.get(log.loss_unit or "")
    said = {key: f"{name} ({unit})" if unit and key == "loss" else name for key, name in log.found.items()}
    columns = ", ".join(key if key == name else f"{key} = {name}" for key, name in said.items())
    return [f"read as {log.format}: {columns}", *(f"- {note}" for note in log.notes)]


def marks_of(diagnosis: Diagnosis) -> dict[int, str]:
    """Return the codes of warnings and errors by the step where they begin."""
    codes: dict[int, list[str]] = {}
    for finding in diagnosis.findings:
        if finding.step is not None and finding.severity != "info":
            codes.setdefault(finding.step, []).append(finding.code)
    return {step: ",".join(each) for step, each in codes.items()}


def _skipped(diagnosis: Diagnosis) -> Table:
    """Return a row per reason: what could not be checked, and why."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", width=CODES)
    table.add_column(style="dim")
    for reason, codes in by_reason(diagnosis.skipped).items():
        table.add_row(Padding(Text(" ".join(codes)), (0, 0, 0, 2)), Text(reason))
    return table


def pictures(diagnosis: Diagnosis) -> list[RenderableType]:
    """Return the chart of a run, the comparison of a prediction with its target, or both."""
    shown: list[RenderableType] = [] if diagnosis.is_of_files else [NormChart(diagnosis)]
    if diagnosis.facts.signal:
        shown.append(Group(*signal_lines(diagnosis.facts.signal)))
    return shown


def plain_text(*parts: RenderableType) -> str:
    """Return what a terminal would show as plain characters, for formats that are text."""
    console = Console(width=FILE_WIDTH, no_color=True, force_terminal=False, color_system=None)
    with console.capture() as capture:
        for part in parts:
            console.print(part, highlight=False)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


class NormChart:
    """`chart_lines`, as wide as there is room."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(WIDEST, options.max_width - SCALES)
        yield from chart_lines(self._diagnosis, width) if width >= NARROWEST else []


def chart_lines(diagnosis: Diagnosis, width: int = WIDEST) -> list[Text]:
    """Return the gradient norm with clip and learning rate; the loss where no norm was logged.

    Args:
        diagnosis: of a run or a log.
        width: of the plot in characters, without its scales.
    """
    facts = diagnosis.facts
    if facts.kind == "gmp":
        return [Text("a least-squares fit has no steps and no gradient norms", "dim")]
    if not facts.step:
        return [Text("no optimizer step was logged", "dim")]
    clip = facts.clip_norm[-1] if facts.clip_norm else math.inf
    of_norm = _draws_norm(diagnosis)
    values, title = (facts.grad_norm, "gradient norm before clipping") if of_norm else (facts.loss, "loss")
    if not values:
        return [Text("neither gradient norm nor loss was logged", "dim")]
    title += ", logarithmic"
    if of_norm and math.isfinite(clip) and facts.clipped:
        title += f"; clipped at {clip:g} in {sum(facts.clipped) / len(facts.clipped):.1%} of the {unit_of(diagnosis)}s"
    line = clip if of_norm else None
    drawn = log_chart(
        values, facts.step, line=line, overlay=facts.lr, marks=marks_of(diagnosis), unit=unit_of(diagnosis), width=width
    )
    head = Text(title, "bold")
    if facts.lr and any(lr > 0.0 for lr in facts.lr):
        head = Text.assemble(head, (f"; lr {OVERLAY} on the right", "magenta"))
    return [head, *map(_coloured, drawn)]


def _draws_norm(diagnosis: Diagnosis) -> bool:
    """Return whether the norm is what to look at: in our own runs, and where a finding about a log is about it."""
    if not diagnosis.facts.grad_norm or not diagnosis.log or not diagnosis.facts.loss:
        return bool(diagnosis.facts.grad_norm)
    return any(finding.code.startswith(OF_NORM) and finding.severity != "info" for finding in diagnosis.findings)


def _coloured(line: str) -> Text:
    text = Text(line)
    left, right = line.find(AXIS), line.rfind(AXIS)
    for at in range(left, max(right, left) + 1 if right > left else len(line)):
        if left >= 0 and line[at] in CHART_STYLE:
            text.stylize(CHART_STYLE[line[at]], at, at + 1)
    return text


class FollowView:
    """Shows a run that is being followed: a panel redrawn in place on a terminal, and one line per event everywhere.

    A context manager. Outside of a terminal only the lines are printed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._severities: dict[str, str] | None = None  # of the findings so far, by code; None before the first look

    def __enter__(self) -> FollowView:
        if self._console.is_terminal:
            from rich.live import Live  # with its thread and screen; a single diagnosis needs neither

            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop"
            ).__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, at)

    def changed(self, diagnosis: Diagnosis, title: str) -> None:
        """Print a line for each finding that appeared, changed its severity or went away since the last call."""
        if self._severities is None and self._live is None:
            self._line(verdict_line(diagnosis, title))
        last = self._severities or {}
        step = f"{unit_of(diagnosis)} {diagnosis.facts.step[-1] if diagnosis.facts.step else 0}"
        for finding in diagnosis.findings:
            if last.get(finding.code) != finding.severity:
                self._line(finding_line(finding, step))
        self._severities = {finding.code: finding.severity for finding in diagnosis.findings}
        for code in last:
            if code not in self._severities:
                self._line(Text(f"{step}: {code} is no longer found", "dim"))

    def draw(self, diagnosis: Diagnosis, title: str, quiet_s: float) -> None:
        """Redraw the panel; `quiet_s` is since the log last grew [s]."""
        if self._live is not None:
            self._live.update(live_view(diagnosis, title, quiet_s), refresh=True)

    def waiting(self, reason: str) -> None:
        """Print why there is no diagnosis yet."""
        self._line(Text(f"waiting: {reason}", "dim"))

    def _line(self, text: Text) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def live_view(diagnosis: Diagnosis, title: str, quiet_s: float) -> RenderableType:
    """Return verdict, chart and findings in a panel; `quiet_s` is since the log last grew [s]."""
    parts: list[RenderableType] = [NormChart(diagnosis)]
    if diagnosis.findings:
        parts += ["", *(finding_head(finding, unit_of(diagnosis)) for finding in diagnosis.findings)]
    counts = f"{checked_text(diagnosis)}; not checked: {len(diagnosis.skipped)}"
    quiet = f"; nothing new for {duration(quiet_s)}" if quiet_s >= QUIET_S else ""
    parts += ["", Text(f"{counts}{quiet}; Ctrl-C ends", "dim")]
    return Panel(
        Group(*parts), title=verdict_line(diagnosis, title), title_align="left", border_style="blue", padding=(0, 1)
    )
