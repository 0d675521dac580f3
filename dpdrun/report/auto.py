"""`dpdrun auto` on the terminal: the dry run, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.plan.cost import about_time
from dpdrun.report.pipeline import scores_panel

LEARNT = {"dpd_gmp": "pa", "dpd": "pa"}
Json = Mapping[str, Any]


def plan_view(parts: Sequence[tuple[str, str, int, float]], title: str, summary: str) -> RenderableType:
    """Return the plan of a dry run: name, description, trials and time of each [s] of every part."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("part", "what", "trials", "each about"):
        table.add_column(heading, justify="right" if heading in ("trials", "each about") else "left")
    for name, what, trials, seconds in parts:
        table.add_row(name, what, str(trials or ""), about_time(seconds))
    return Group(Text(title, "bold"), "", table, "", Text(summary))


def product_view(content: Json) -> RenderableType:
    """Return the scores of the product through both PA models."""
    return scores_panel(content["scores"]["own"], content["scores"]["judged"], LEARNT)
