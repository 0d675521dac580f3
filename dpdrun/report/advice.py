"""A recommendation as a table, with what follows from it."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dpdrun.recipe.patch import render
from dpdrun.rules.catalogue import Finding
from dpdrun.rules.recommendation import Recommendation, Value, about

_EVIDENCE = {"measured": "green", "cited": "cyan", "assumed": "yellow", None: "dim"}
_SEVERITY = {"info": "cyan", "warning": "yellow", "error": "bold red"}


WIDE = 118  # columns; below, the reason goes on a line of its own


class _Values:
    """The values, a line each where the terminal is wide enough for the reasons, else two."""

    def __init__(self, this: Recommendation) -> None:
        self._this = this

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = Table(show_edge=False, pad_edge=False, box=SIMPLE_HEAD, collapse_padding=True)
        for name, style in (("field", ""), ("value", "bold"), ("the note's", "dim"), ("set by", "")):
            table.add_column(name, no_wrap=True, style=style)
        if wide:
            table.add_column("why")
        reasons: list[Text] = []
        for key, value in self._this.values.items():
            by = Text("you", "green")
            if value.rule:
                by = Text.assemble(f"{value.rule} ", (value.evidence or "", _EVIDENCE[value.evidence]))
            row: list[RenderableType] = [key, escape(_with_range(value)), escape(_note(value)), by]
            table.add_row(*row, *([Text(value.why)] if wide else []))
            reasons.append(Text.assemble(f"  {key}: ", (value.why, "dim")))
        yield table
        if not wide:
            yield Text("why:")
            yield from reasons


def recommendation_view(this: Recommendation) -> RenderableType:
    """The table, the totals, and the warnings."""
    parts: list[RenderableType] = [Text(f"rules: {this.rules}", "bold"), _Values(this)] if this.values else []
    parts += [Text(_totals(this))]
    parts += [Text(f"not set: {key}: {why}", "dim") for key, why in this.left_open.items()]
    parts += [finding_line(finding) for finding in this.warnings]
    return Group(*parts)


def _note(value: Value) -> str:
    return "" if value.note_value is None or value.note_value == value.value else render(value.note_value)


def _with_range(value: Value) -> str:
    text = render(value.value)
    if value.low is not None and value.high is not None:
        return f"{text} ({_show(value.low)} to {_show(value.high)})"
    return f"{text} (or more)" if value.low is not None else text


def _show(bound: Any) -> str:
    return bound if isinstance(bound, str) else render(bound)


def _totals(this: Recommendation) -> str:
    if not this.values:
        return "a gmp is fitted by least squares: there is no optimizer to set"
    if this.total_steps is None:
        return "optimizer steps: not known without the amount of data and the number of epochs"
    text = f"optimizer steps: {_said(this.total_steps)}"
    if this.warmup_steps and this.warmup_range:
        text += f"; warmup {this.warmup_steps} (5 to 10 % is {_said(*this.warmup_range)})"
    return text


def _said(*counts: int) -> str:
    """A count or a range, with round numbers where they are others: `98 to 195, about 100 to 200`."""
    exact, rounded = (" to ".join(map(str, dict.fromkeys(each))) for each in (counts, map(about, counts)))
    return exact if exact == rounded else f"{exact}, about {rounded}"


def finding_line(finding: Finding) -> Text:
    """A finding with its advice, on a line or two."""
    text = Text.assemble((finding.severity, _SEVERITY[finding.severity]), f" {finding.code}: {finding.message}")
    if finding.advice:
        text.append(f"\n  {finding.advice}", "dim")
    return text
