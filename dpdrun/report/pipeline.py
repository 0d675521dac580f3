"""A chain of runs on the terminal: what each step will do, and the scores of its predistorters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.plan.cost import about_time
from dpdrun.recipe.problems import listed
from dpdrun.report.layout import NumberTables, facts_grid, framed
from dpdrun.run.scores import COLD_START, as_chosen, cold_nmse_db

FIGURES = (("nmse_db", "NMSE"), ("in_band_db", "in-band"), ("aclr_worse_db", "ACLR,\nworse"))
Json = Mapping[str, Any]
RIVALS = (("one_tap", "no predistortion"), ("gmp", "indirect gmp"))
_STYLE = {"skip": "green", "run": "cyan", "resume": "cyan", "restart": "yellow", "redo": "yellow", "wait": "green",
          "changed": "bold red"}  # fmt: skip


@dataclass(frozen=True)
class StepRow:
    """A step in the overview.

    Attributes:
        name: of the step.
        recipe: its file.
        action: as `pipeline.state.Action`, or "redo".
        why: the reason.
        seconds: estimated time that it will take [s]; None = not known.
    """

    name: str
    recipe: str
    action: str
    why: str
    seconds: float | None


def overview(rows: Sequence[StepRow], *, title: str, where: str) -> RenderableType:
    """Return what each step would do, and how long all of it takes."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right")
    table.add_column()
    for row in rows:
        time = "" if row.action == "skip" else "-" if row.seconds is None else about_time(row.seconds)
        why = Text(row.why)
        why.append(f"  {row.recipe}", "dim")
        table.add_row(f"  {row.name}", Text(row.action, _STYLE.get(row.action, "")), time, why)
    known = [row.seconds for row in rows if row.action != "skip" and row.seconds is not None]
    parts = [f"training takes about {about_time(sum(known))} in total"] if known else []
    unknown = [row.name for row in rows if row.action != "skip" and row.seconds is None]
    parts += [f"no estimate for {listed(unknown, 'and')}"] if unknown else []
    total = "; ".join(parts) or "nothing to do"
    return Group(Text(f"pipeline: {title} in {where}", "bold"), "", table, "", Text(total))


def scores_panel(
    own: Mapping[str, Json], judged: Mapping[str, Mapping[str, Json]], learnt: Mapping[str, str]
) -> RenderableType:
    """Return the scores of every predistorter through every PA model, against no predistortion and an indirect gmp.

    Args:
        own, judged, learnt: as `pipeline.scores.Scores`.

    Raises:
        KeyError: something is missing in a report.
    """
    own, judged = as_chosen(own), as_chosen(judged)
    first = next(iter(own.values()))
    seen: dict[str, dict[str, Json]] = {}  # by PA step, then by predistorter
    for name, report in own.items():
        seen.setdefault(learnt[name], {})[name] = report
    for name, verdicts in judged.items():
        for amplifier, report in verdicts.items():
            seen.setdefault(amplifier, {})[name] = report
    parts: list[RenderableType] = []
    for split in first["splits"]:
        parts += [_table(split, seen, learnt), ""]
    facts: list[tuple[str, RenderableType]] = []
    for name, report in own.items():
        cost = f"{report['parameters']:,} parameters, {report['macs_per_sample']:,} MAC/sample"
        facts.append((name, f"{report['model']}, {cost}, look-ahead {report['lookahead']} samples"))
    for name, reports in seen.items():
        nmse = next(iter(reports.values()))["pa"]["nmse_db"]
        scores = ", ".join(f"{split} {value:.2f} dB" for split, value in nmse.items())
        whose = [dpd for dpd, pa in learnt.items() if pa == name]
        who = f"{' and '.join(whose)} trained through it" if whose else "cross-model validation only"
        facts.append((name, f"PA model, NMSE {scores}; {who}"))
    title = f"predistorters on {first['capture']['name']}, simulated through PA models"
    return framed(title, Group(*parts, facts_grid(facts)))


def _table(split: str, seen: Mapping[str, Mapping[str, Json]], learnt: Mapping[str, str]) -> NumberTables:
    """Return the scores of one split: a row per predistorter and PA model."""
    scores = [report["splits"][split] for reports in seen.values() for report in reports.values()]
    cold = any(cold_nmse_db(each) is not None for each in scores)
    names = [*(name for _, name in FIGURES), *([f"NMSE,\n{COLD_START}"] if cold else [])]
    rows = list[tuple[list[str], str]]()
    for amplifier, reports in seen.items():
        fullest = max(reports.values(), key=lambda report: len(report["baselines"]))  # cross-model ones are fewer
        for key, name in RIVALS:
            if key in fullest["baselines"]:
                rows.append(([name, amplifier, *_cells(fullest["baselines"][key][split], cold)], "dim"))
        for predistorter, report in reports.items():
            style = "bold" if learnt[predistorter] == amplifier else ""
            rows.append(([predistorter, amplifier, *_cells(report["splits"][split], cold)], style))
    return NumberTables([f"{split} [dB]", "through", *names], rows, left=2)


def _cells(figures: Json, cold: bool) -> list[str]:
    values = [figures[key] for key, _ in FIGURES] + ([cold_nmse_db(figures)] if cold else [])
    return ["-" if value is None else f"{value:.2f}" for value in values]
