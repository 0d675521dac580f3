"""`dpdrun auto` on the terminal: the dry run, and the result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.plan.cost import about_time
from dpdrun.report.pipeline import scores_panel
from dpdrun.report.scores import ACLR, IN_BAND, NMSE
from dpdrun.run.scores import as_chosen

BEHIND_DB = 0.1  # what it is compared with
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
    panel = scores_panel(content["scores"]["own"], content["scores"]["judged"], LEARNT)
    return Group(panel, *(Text.assemble(("note: ", "yellow"), each) for each in shortfalls(content)))


def shortfalls(content: Json) -> list[str]:
    """Return what to do where the predistorter is worse than none, or than the gmp, on the validation split."""
    reports, steps = as_chosen(content["scores"]["own"]), content["steps"]
    this, gmp = (reports[name]["splits"]["val"]["linearity"] for name in ("dpd", "dpd_gmp"))
    found = []
    if worse := _worse(this, reports["dpd"]["baselines"]["one_tap"]["val"]["linearity"]):
        found.append(
            f"Do not use this predistorter: the amplifier is worse with it than without on the validation split: "
            f"{worse}. `dpdrun diagnose` of dpd/ and pa/ says more; more --minutes may help."
        )
    if worse := _worse(this, gmp):
        sizes = [f"{step['parameters']:,} parameters, {step['macs_per_sample']:,} MACs"
                 for step in (steps["dpd_gmp"], steps["dpd"])]  # fmt: skip
        found.append(
            f"The gmp in dpd_gmp/ is better than this predistorter on the validation split: {worse} ({sizes[0]}; this "
            f"one {sizes[1]}). More --minutes help first, then a larger --budget; if the target can hold the gmp, hand "
            "that over: its export is among the commands of the page."
        )
    return found


def _worse(this: Json, rival: Json) -> str:
    """Return by how much scores are worse than those of a rival, in words; "" = by nothing that counts."""
    pairs = [(figure.title.partition(" [")[0], this.get(figure.key), rival.get(figure.key))
             for figure in (NMSE, IN_BAND, ACLR[2])]  # fmt: skip
    behind = [(name, ours - theirs) for name, ours, theirs in pairs if ours is not None and theirs is not None]
    return ", ".join(f"{name} by {db:.1f} dB" for name, db in behind if db > BEHIND_DB)
