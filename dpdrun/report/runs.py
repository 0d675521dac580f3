"""Runs on the terminal: a table of many, and one with its plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.plan.plan import Plan
from dpdrun.report.layout import facts_grid, numbers_table
from dpdrun.report.numbers import decibels, duration
from dpdrun.report.plan import plan_table
from dpdrun.run.folder import RunFolder
from dpdrun.run.listing import RunSummary

STATE_STYLE = {"finished": "", "running": "green", "unfinished": "yellow", "damaged": "red"}
SIZE = {"transformer": "model.d_model", "gru": "model.hidden", "gmp": "model.order"}

Column = tuple[str, Callable[[RunSummary], str]]
NAMES: tuple[Column, ...] = (("state", lambda run: run.state), ("model", lambda run: _model(run)))
SCORES: tuple[Column, ...] = (
    ("val\n[dB]", lambda run: _nmse(run, "val")),
    ("test\n[dB]", lambda run: _nmse(run, "test")),
)
COSTS: tuple[Column, ...] = (
    ("lr", lambda run: _lr(run)),
    ("steps", lambda run: _steps(run)),
    ("para-\nmeters", lambda run: "-" if run.parameters is None else f"{run.parameters:,}"),
    ("time", lambda run: "-" if run.seconds is None else duration(run.seconds)),
)
REST: tuple[Column, ...] = (
    ("MAC/\nsample", lambda run: "-" if run.macs_per_sample is None else f"{run.macs_per_sample:,}"),
    ("started", lambda run: _started(run)),
)


def runs_table(runs: Sequence[RunSummary], folder: Path, *, width: int) -> RenderableType:
    """Return a line for each run; where the terminal is narrow, with fewer columns.

    Args:
        runs: in the order to show them.
        folder: that the names of the runs are relative to.
        width: of the terminal [columns].
    """
    choices = [
        (*NAMES, *SCORES, *COSTS, *REST),
        (*NAMES, *SCORES, *COSTS),
        (*NAMES, *SCORES, *COSTS[:2]),
        (*NAMES, *SCORES),
    ]
    tables = [_table(runs, folder, columns) for columns in choices]
    measured = Console(width=1000)
    table = next((each for each in tables if measured.measure(each).maximum <= width), tables[-1])
    notes = [Text(run.note, "red") for run in runs if run.note]
    return Group(table, *notes, Text("NMSE of the validation and test splits; `dpdrun runs show RUN` has more", "dim"))


def _table(runs: Sequence[RunSummary], folder: Path, columns: Sequence[Column]) -> Table:
    table = numbers_table("run", *(title for title, _ in columns), left=3)
    for run in runs:
        name = run.path.relative_to(folder) if run.path.is_relative_to(folder) else run.path
        table.add_row(Text(str(name)), *(Text(cell(run)) for _, cell in columns), style=STATE_STYLE[run.state])
    return table


def run_view(run: RunSummary, plan: Plan, folder: RunFolder) -> RenderableType:
    """Return the state of a run and its plan.

    Args:
        run: the same run.
        plan: of it.
        folder: of it.
    """
    steps = f", step {run.step:,} of {run.total_steps:,}" if run.step and run.total_steps else ""
    facts = [("run", str(run.path)), ("state", f"{run.state}{steps}"), ("started", _started(run))]
    if run.state == "unfinished":
        facts.append(("best so far", f"NMSE {decibels((run.nmse_db or {}).get('val'))} on the validation split"))
        facts.append(("continue", folder.resume_command))
    return Group(facts_grid(facts), "", plan_table(plan, capture=str(plan.recipe.data.source)), "")


def _setting(run: RunSummary, key: str) -> Any:
    return (run.settings or {}).get(key)


def _model(run: RunSummary) -> str:
    kind = _setting(run, "model.kind")
    size = _setting(run, SIZE.get(str(kind), ""))
    return "-" if kind is None else str(kind) if size is None else f"{kind} {size}"


def _lr(run: RunSummary) -> str:
    lr = _setting(run, "optim.lr")
    return f"{lr:.3g}" if isinstance(lr, float) and run.total_steps else "-"


def _steps(run: RunSummary) -> str:
    if not run.total_steps:
        return "-"
    return (
        f"{run.total_steps:,}"
        if run.state == "finished"
        else f"{'?' if run.step is None else format(run.step, ',')}/{run.total_steps:,}"
    )


def _nmse(run: RunSummary, split: str) -> str:
    value = (run.nmse_db or {}).get(split)
    return "-" if value is None else f"{value:.2f}"


def _started(run: RunSummary) -> str:
    return "-" if run.started is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
