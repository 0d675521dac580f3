"""A recommendation as a table, with what follows from it."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dpdrun.plan.cost import Estimate
from dpdrun.plan.lint import LintFinding
from dpdrun.plan.recommendation import Recommendation, Value, about, silent_lines
from dpdrun.recipe.patch import render
from dpdrun.report.findings import EVIDENCE_STYLE, finding_line, finding_view
from dpdrun.report.lint import lint_summary
from dpdrun.rules.text import pluralize

NOTE = "note: value of the founding Transformer note (docs/note.md), if different"
WIDE = 118  # columns; below, the reason goes on a line of its own
ENOUGH_FOR_A_TAIL = 10  # workloads, of which a 95th percentile says something
NARROW = 80  # columns; below, a cell that does not fit goes on over several lines


class _Values:
    """The values, a line each where the terminal is wide enough for the reasons, else two."""

    def __init__(self, this: Recommendation) -> None:
        self._this = this

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD, collapse_padding=True)
        for name, style in (("field", ""), ("value", "bold"), ("note", "dim"), ("set by", "")):
            table.add_column(name, no_wrap=name == "field" or options.max_width >= NARROW, overflow="fold", style=style)
        judged = any(value.regret for value in self._this.values.values())
        if wide and judged:
            table.add_column(escape("regret [dB]"), justify="right")
        if wide:
            table.add_column("why")
        reasons: list[RenderableType] = []
        for key, value in self._this.values.items():
            by = Text("you", "green")
            if value.rule:
                by = Text.assemble(f"{value.rule} ", (value.evidence or "", EVIDENCE_STYLE[value.evidence]))
            row: list[RenderableType] = [key, escape(_with_range(value)), escape(_note(value)), by]
            why = "; ".join([value.why, *_worth(value)])
            row += [Text(_regret(value))] if wide and judged else []
            row += [Text(why)] if wide else []
            table.add_row(*row)
            reason = Text.assemble(f"{key}: ", ("; ".join([why, *_expected(value)]), "dim"))
            reasons.append(_hanging(reason))
        yield table
        if any(value.differs_from_note for value in self._this.values.values()):
            yield Text(NOTE, "dim")
        if not wide:
            yield Text("why:")
            yield from reasons


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


def _hanging(text: Text) -> Table:
    """Lay out a text whose further lines are indented."""
    table = Table.grid()
    table.add_column(width=2)
    table.add_column()
    table.add_row("", text)
    return table


def _note(value: Value) -> str:
    if not value.differs_from_note:
        return ""
    return _ranged(value.note_value, value.note_low, value.note_high)


def _with_range(value: Value) -> str:
    return _ranged(value.value, value.low, value.high)


def _ranged(value: Any, low: Any, high: Any) -> str:
    text = render(value)
    if low is not None and low == high:
        return text
    if low is not None and high is not None:
        return f"{text} ({_show(low)} to {_show(high)})"
    return f"{text} (or more)" if low is not None else text


def _regret(value: Value) -> str:
    """Return the regret of the value, and of the note's in its place: `0.1 (9 jobs; note 8.2)`."""
    if value.regret is None:
        return ""
    note = f"; note {value.note_regret.median_db:.1f}" if value.note_regret else ""
    return f"{value.regret.median_db:.1f} ({pluralize(value.regret.workloads, 'job')}{note})"


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
    if not this.values:
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
