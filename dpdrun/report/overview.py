"""The rules at a glance: learning rates by width, then the other settings, ours next to the founding note's."""

from __future__ import annotations

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from dpdrun.plan.overview import TYPICAL, Overview
from dpdrun.plan.recommendation import Value
from dpdrun.report.advice import ranged
from dpdrun.report.findings import EVIDENCE_STYLE
from dpdrun.report.layout import numbers_table

WIDE = 96  # columns; below, the evidence for a rule is shown by its colour alone
NAMES = {"transformer": ("Transformer", "d_model"), "gru": ("GRU", "hidden")}
NEXT = """\
For a plan of your own, with the reason for every value:
  dpdrun recommend --ask                                             asks you
  dpdrun recommend --data synthetic/mild --model transformer         a capture
  dpdrun recommend --model transformer --d-model 32 --samples 10000  given sizes
  dpdrun recommend quickstart                                        a recipe
`dpdrun explain CODE` prints a rule with its reason, source and limits."""


def overview_view(this: Overview) -> RenderableType:
    """Return the tables, what they hold for, and how to get a plan for one's own job."""
    about = (
        f"For runs of {this.steps:,} steps, and widths of {TYPICAL['transformer']} where none is stated; ranges are in "
        "parentheses. The founding note (docs/note.md) has the rules that dpdrun began with; where it is silent, its "
        "column has the values of the code that it was written for."
    )
    return Group(_Tables(this), "", Text(about, "dim"), "", Text(NEXT, no_wrap=True, overflow="ignore"))


class _Tables:
    """One table for all, so that the columns line up."""

    def __init__(self, this: Overview) -> None:
        self._this = this

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = options.max_width >= WIDE
        table = numbers_table("", "measured rules", "", "founding note", "", left=5, gap=2 if wide else 1)
        for kind, rates in self._this.rates.items():
            family, size = NAMES[kind]
            table.add_row(Text(family, "bold"))
            for width, values in rates.items():
                table.add_row(f"  lr, {size} {width}", *_cells(values["measured"], wide), *_cells(values["note"], wide))
            for key, values in self._this.settings[kind].items():
                table.add_row(f"  {key}", *_cells(values["measured"], wide), *_cells(values["note"], wide))
        yield table


def _cells(value: Value, wide: bool) -> tuple[Text, Text]:
    style = EVIDENCE_STYLE[value.evidence]
    rule = Text.assemble(f"{value.rule} ", (value.evidence or "", style)) if wide else Text(value.rule or "", style)
    return Text(ranged(value.value, value.low, value.high)), rule
