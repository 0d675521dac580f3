"""An evaluation on the terminal: its score tables, the noise floors, and notes on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.report import predistorter
from dpdrun.report.layout import facts_grid, framed, numbers_table
from dpdrun.report.run_report import cost_line, training_line
from dpdrun.report.scores import INTERVAL, ScoreTable, facts_of_scores, score_tables
from dpdrun.run.scores import as_chosen

WIDEST = 110  # columns of the panel; longer lines are harder to read
FRAME = 4  # columns of its border
SPARED = (INTERVAL, "change", "wanted")  # columns of a score table that a narrow terminal can do without, in this order


def evaluation_panel(report: Mapping[str, Any], *, width: int) -> RenderableType:
    """Return everything that `dpdrun evaluate` prints about a run.

    Args:
        report: of `evaluation.assessment`, with `steps` and `seconds` where they are known, and `through`.
        width: of the terminal [columns].

    Raises:
        KeyError: something is missing in it.
    """
    report = as_chosen(report)
    parts: list[RenderableType] = []
    for table in score_tables(report):
        parts += [_scores(table, min(width, WIDEST) - FRAME), ""]
    if report.get("floors"):
        parts += [_floors(report["floors"], list(report["splits"])[-1]), ""]
    what = f"{report['model']} predistorter" if report["task"] == "dpd" else f"{report['model']} PA model"
    content = Group(*parts, facts_grid(evaluation_facts(report)))
    return framed(f"{what} on {report['capture']['name']}", content, min(width, WIDEST))


def evaluation_facts(report: Mapping[str, Any]) -> list[tuple[str, Text]]:
    """Return the notes on an evaluation, as (title, text)."""
    report = as_chosen(report)
    facts = predistorter.facts(report) if report.get("simulated") else []
    facts += [(name, Text(text)) for name, text in (*facts_of_scores(report), ("model", cost_line(report)))]
    return facts + ([("training", Text(training_line(report)))] if report.get("seconds") is not None else [])


def _scores(table: ScoreTable, width: int) -> RenderableType:
    """Return the table; where it would be too wide, without columns of `SPARED`, as few as possible."""
    columns = list(range(len(table.header)))
    shown = _columns(table, columns)
    for spared in SPARED:
        if Console(width=1000).measure(shown).maximum <= width:
            break
        columns = [index for index in columns if table.header[index] != spared]
        shown = _columns(table, columns)
    return Group(Text(table.caption, "bold"), shown)


def _columns(table: ScoreTable, columns: Sequence[int]) -> Table:
    shown = numbers_table(*(table.header[index] for index in columns))
    for row in table.rows:
        shown.add_row(*(Text(row[index], "bold" if index == table.main else "") for index in columns))
    return shown


def _floors(floors: Sequence[Mapping[str, Any]], split: str) -> RenderableType:
    shown = numbers_table("noise floor", "NMSE [dB]", f"left, {split}")
    shown.add_column("caveat")
    for floor in floors:
        shown.add_row(floor["method"], *floor_cells(floor), Text(floor["caveat"], "dim"))
    return shown


def floor_cells(floor: Mapping[str, Any]) -> tuple[str, str]:
    """Return the level of an entry of `floors` and the distance to it: a number, a bound, or that it is unknown."""
    if floor["nmse_db"] is not None:
        return f"{floor['nmse_db']:.2f}", f"{floor['left_db']:.2f}"
    if floor["at_most_db"] is not None:
        return f"<= {floor['at_most_db']:.2f}", f">= {floor['left_at_least_db']:.2f}"
    return "unknown", ""
