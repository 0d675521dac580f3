"""A recommendation as a table, with what follows from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dpdrun.plan.cost import Estimate
from dpdrun.plan.lint import LintFinding
from dpdrun.plan.recommendation import Recommendation, Value, about, silent_lines
from dpdrun.recipe.patch import render
from dpdrun.report.findings import EVIDENCE_STYLE, finding_line, finding_view, later_view, lint_summary
from dpdrun.rules.text import pluralize

if TYPE_CHECKING:  # load numpy
    from dpdrun.data.sizing import DataReading
    from dpdrun.plan.advise import JobAdvice
    from dpdrun.plan.probe_result import ProbeReading

NOTE = "note: value of the founding Transformer note (docs/note.md), if different"
WIDE = 118  # columns; below, the reason goes on a line of its own
ENOUGH_FOR_A_TAIL = 10  # workloads, of which a 95th percentile says something
NARROW = 80  # columns; below, a cell that does not fit is wrapped


class _Values:
    """The values, a line each where the terminal is wide enough for the reasons, else two."""

    def __init__(self, this: Recommendation) -> None:
        self._this = this

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD, collapse_padding=True)
        for name, style in (("field", ""), ("value", "bold"), ("note", "dim"), ("set by", "")):
            table.add_column(name, no_wrap=name == "field" or options.max_width >= NARROW, overflow="fold", style=style)
        if wide:
            table.add_column("why")
        reasons: list[RenderableType] = []
        for key, value in self._this.values.items():
            by = Text("you", "green")
            if value.rule:
                by = Text.assemble(f"{value.rule} ", (value.evidence or "", EVIDENCE_STYLE[value.evidence]))
            note = ranged(value.note_value, value.note_low, value.note_high) if value.differs_from_note else ""
            row: list[RenderableType] = [key, Text(ranged(value.value, value.low, value.high)), Text(note), by]
            why = "; ".join([value.why, *_worth(value), *_expected(value)])
            table.add_row(*row, *([Text(why)] if wide else []))
            reasons.append(Padding(Text.assemble(f"{key}: ", (why, "dim")), (0, 0, 0, 2)))
        yield table
        if any(value.differs_from_note for value in self._this.values.values()):
            yield Text(NOTE, "dim")
        if not wide:
            yield Text("why:")
            yield from reasons


def advice_view(advice: JobAdvice) -> RenderableType:
    """Return what was measured, the recommendation, and what is found once its fixes are applied."""
    parts = [*(reading_lines(advice.data) if advice.data else []), *(probe_lines(advice.probe) if advice.probe else [])]
    parts.append(recommendation_view(advice.recommendation, advice.estimate, advice.no_estimate))
    return Group(*parts, *([later_view(advice.after_fixes)] if advice.after_fixes else []))


def reading_lines(reading: DataReading) -> list[RenderableType]:
    """Describe a capture: its splits, its memory, what least squares and noise leave to a network, and its faults."""
    near = reading.near_memory or reading.memory
    longer = f"at least {reading.memory}" if reading.memory_at_least else str(reading.memory)
    slow = reading.memory > near
    count, memory = (near, str(near)) if slow else (reading.memory, longer)
    first = (
        f"data: {reading.name}: {reading.train_samples:,} training and {reading.val_samples:,} validation samples; "
        f"memory {memory} {'sample' if count == 1 else 'samples'} (least-squares ladder)"
    )
    if slow:
        first += (
            f"; slow effects over {longer} samples (traps, bias, heat) gain {reading.slow_gain_db:.1f} dB more, which "
            "no window holds"
        )
    if reading.floor_db is None:
        left = f"noise floor unknown: {reading.floor_caveat}"
    else:
        left_db = round(max(0.0, reading.polynomial_db - reading.floor_db), 1)
        left = f"noise floor {reading.floor_db:.1f} dB: {f'{left_db:.1f} dB' if left_db else 'nothing'} left"
    within = f" over {longer} samples, {dict(reading.rungs)[near]:.1f} dB over {near}," if slow else ""
    second = f"      best polynomial {reading.polynomial_db:.1f} dB{within} on validation; {left}"
    warnings = [Text.assemble(("warning: ", "bold yellow"), warning) for warning in reading.warnings]
    return [Text(first), Text(second, "dim"), *warnings]


def probe_lines(probe: ProbeReading) -> list[RenderableType]:
    """Describe a probe: speed, the curve of the range test, the gradient norms, and what was left out."""
    step = f"{probe.step_s * 1e3:.1f} ms per step" if probe.step_s < 1 else f"{probe.step_s:.2f} s per step"
    first = (
        f"probe: {probe.seconds:.0f} s on {probe.device}: {step}, {probe.samples_per_s:,.0f} samples/s, "
        f"{probe.peak_mib:,.0f} MiB for training; an evaluation takes {probe.score_s:.2g} s"
    )
    every = max(1, len(probe.curve) // 10)
    curve = ", ".join(f"{rate:.0e} {db:.1f}" for rate, db in probe.curve[::every])
    norms = ", ".join(f"{share} % {value:.2g}" for share, value in probe.norms.items())
    lines = [Text(first), Text(f"       loss [dB] while the lr rose: {curve}", "dim")]
    if probe.norms:
        below = f"{norms} of {probe.norm_steps} are below"
        lines.append(Text(f"       gradient norms at lr {render(probe.lr)}: {below}", "dim"))
    if probe.cut:
        lines.append(Text(f"       skipped to finish in time: {'; '.join(probe.cut)}", "yellow"))
    return [*lines]


def recommendation_view(
    this: Recommendation, estimate: Estimate | None = None, no_estimate: str | None = None
) -> RenderableType:
    """Lay out the table, the totals with the estimated time and memory (or why there is none), and the warnings."""
    parts: list[RenderableType] = [Text(f"rules: {this.rules}", "bold"), _Values(this)] if this.values else []
    parts += [Text(_totals(this))]
    parts += [] if estimate is None else [Text(f"training takes {estimate}")]
    parts += [] if no_estimate is None else [Text(f"no estimate of time and memory: {no_estimate}", "dim")]
    parts += [Text(f"not set: {key}: {why}", "dim") for key, why in this.left_open.items()]
    parts += [Text(line, "dim") for line in silent_lines(this)]
    parts += [finding_view(each) if isinstance(each, LintFinding) else finding_line(each) for each in this.warnings]
    if in_recipe := [finding for finding in this.warnings if isinstance(finding, LintFinding)]:
        parts.append(lint_summary(in_recipe))
    return Group(*parts)


def ranged(value: Any, low: Any, high: Any) -> str:
    """Return a value with its range, as `0.044 (0.0039 to 0.062)`; without an upper bound `256 (or more)`."""
    text = render(value)
    if low is not None and low == high:
        return text
    if low is not None and high is not None:
        return f"{text} ({_show(low)} to {_show(high)})"
    return f"{text} (or more)" if low is not None else text


def _expected(value: Value) -> list[str]:
    """Return the regret in words."""
    if value.regret is None:
        return []
    note = f"; note {value.note_regret.median_db:.1f} dB" if value.note_regret else ""
    jobs = pluralize(value.regret.workloads, "job")
    jobs += f" of {value.regret.steps:,} steps" if value.regret.steps else ""
    tail = f"; 95 % below {value.regret.p95_db:.1f}" if value.regret.workloads >= ENOUGH_FOR_A_TAIL else ""
    return [f"expected regret {value.regret.median_db:.1f} dB ({jobs}{tail}){note}"]


def _worth(value: Value) -> list[str]:
    """Return what the rule is worth, in words."""
    worth = value.worth
    if worth is None:
        return []
    seeds = "" if 2 * worth.beyond_seeds >= worth.workloads else ", within the spread over seeds"
    return [f"{worth.instead}: {worth.median_db:+.1f} dB in {worth.steps:,} steps{seeds}"]


def _show(bound: Any) -> str:
    return bound if isinstance(bound, str) else render(bound)


def _totals(this: Recommendation) -> str:
    if this.facts.kind == "gmp":
        return "a GMP is fitted by least squares: there are no optimizer settings"
    if this.total_steps is None:
        return "optimizer steps: unknown without the amount of data and the number of epochs"
    text = f"optimizer steps: {_counts(this.total_steps)}"
    if this.warmup_steps and this.warmup_range:
        text += f"; warmup {this.warmup_steps} (5 to 10 % is {_counts(*this.warmup_range)})"
    return text


def _counts(*counts: int) -> str:
    """Return a count or a range, with round numbers where those differ: `98 to 195, about 100 to 200`."""
    exact, rounded = (" to ".join(map(str, dict.fromkeys(each))) for each in (counts, map(about, counts)))
    return exact if exact == rounded else f"{exact}, about {rounded}"
