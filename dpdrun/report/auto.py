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


def plan_view(rows: Sequence[tuple[str, int, float, str]], capture: str, minutes: float) -> RenderableType:
    """Return the plan of a dry run: name, trials, time [s] and description of each part."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("part", "what", "trials", "about"):
        table.add_column(title, justify="right" if title in ("trials", "about") else "left")
    for name, trials, seconds, what in rows:
        table.add_row(name, what, str(trials or ""), about_time(seconds))
    total = about_time(sum(row[2] for row in rows))
    return Group(Text(f"{capture}: {minutes:g} minutes", "bold"), "", table, "", Text(f"about {total} in total"))


def product_view(content: Json) -> RenderableType:
    """Return the scores of the product through both PA models."""
    return scores_panel(content["scores"]["own"], content["scores"]["judged"], LEARNT)
