"""Runs side by side: a table for the terminal, Markdown, CSV, or a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.dpd.objective import POWER_GATE_DB
from dpdrun.errors import printable
from dpdrun.recipe.patch import render
from dpdrun.report.layout import facts_grid, numbers_table
from dpdrun.report.numbers import duration
from dpdrun.report.scores import ACLR, DASH, EVM, FROM_SILENCE, IN_BAND, NMSE, band_text
from dpdrun.rf.aclr import SPACED
from dpdrun.run.scores import COLD, COLD_START, WITH_PAST, as_chosen

RunScores = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """A column of the comparison.

    Attributes:
        key: for `--sort` and CSV.
        title: over the column, in two lines.
        value: of a row, for sorting and CSV; None where it has none.
        cell: of a row, as it is shown.
        cost: whether it is a cost of the run, not a score.
    """

    key: str
    title: str
    value: Callable[[RunScores], Any]
    cell: Callable[[RunScores], str]
    cost: bool = False


def _score(key: str, title: str, figure: Any) -> Column:
    return Column(key, title, lambda r: r["linearity"].get(figure.key), lambda r: figure.cell(r["linearity"]))


def _cost(key: str, title: str, name: str, text: Callable[[Any], str] = "{:,}".format, missing: str = DASH) -> Column:
    return Column(key, title, lambda r: r[name], lambda r: missing if r[name] is None else text(r[name]), cost=True)


def _cold_nmse_db(row: RunScores) -> float | None:
    value = (row.get(COLD) or {}).get("linearity", {}).get(NMSE.key)
    return None if value is None else float(value)


COLD_NMSE = Column(
    "cold", f"NMSE,\n{COLD_START}", _cold_nmse_db, lambda r: NMSE.cell({NMSE.key: _cold_nmse_db(r)}), cost=False
)
SCORES = (
    _score("nmse", "NMSE\n[dB]", NMSE),
    _score("in_band", "in-band\n[dB]", IN_BAND),
    _score("aclr", "worse\nACLR [dBc]", ACLR[2]),
    _score("evm", "EVM\n[dB]", EVM),
)
COSTS = (
    _cost("parameters", "para-\nmeters", "parameters"),
    _cost("macs", "MAC/\nsample", "macs_per_sample"),
    _cost("lookahead", "look-\nahead", "lookahead", missing="record"),
    _cost("time", "training\ntime", "seconds", duration),
    _cost("steps", "steps", "steps"),
)
MODEL = Column("model", "model", lambda r: r["model"], lambda r: r["model"])
SORTS = tuple(column.key for column in (*SCORES, *COSTS))


def sorted_rows(rows: Sequence[RunScores], key: str | None) -> list[RunScores]:
    """Return rows by increasing value of a column of SORTS, those without a value last; unchanged for None."""
    if key is None:
        return list(rows)
    value = next(column.value for column in (*SCORES, *COSTS) if column.key == key)
    values = [value(as_chosen(row)) for row in rows]
    order = sorted(range(len(rows)), key=lambda at: (values[at] is None, 0 if values[at] is None else values[at]))
    return [rows[at] for at in order]


def name_of(group: Mapping[str, Any]) -> str:
    """Return task, capture and split of a group."""
    what = "PA models" if group["task"] == "pa" else "predistorters"
    return f"{what} on {group['capture']['name']}, {group['split']}"


def title_of(group: Mapping[str, Any]) -> str:
    """Return what the runs of a group have in common."""
    text = name_of(group)
    pa = group.get("pa")
    if pa is not None:
        worse = ", WORSE THAN A GMP" if pa.get("weak") else ""
        text += f", simulated through {pa['path']} (NMSE {pa['nmse_db']:.2f} dB{worse}), gain {group['gain']:.4g}"
    elif group["task"] == "dpd":
        text += ", relative to the input that inverts the measured amplifier (no PA model)"
    return text


def notes_of(group: Mapping[str, Any]) -> list[str]:
    """Return notes on the table of a group."""
    first = group["runs"][0]["linearity"]
    notes = []
    convention = first.get("aclr_convention")
    if convention is not None:
        aclr = first["aclr"][convention]
        sides = " and ".join(band_text(aclr[side]) for side in ("left_hz", "right_hz"))
        notes.append(f"ACLR: {convention}, {sides} MHz, {aclr['window']}")
    for name, keys in (("EVM", ("evm_db",)), ("ACLR", (SPACED, "general-v1")), ("scores", ("all",))):
        why = next((first["missing"][key] for key in keys if key in first["missing"]), None)
        if why is not None and not (name == "ACLR" and convention):
            notes.append(f"no {name}: {why}")
    notes += [text for scores in group["baselines"].values() if (text := scores.get("caveat"))]
    notes += _power_notes(group)
    if any(COLD in row for row in group["runs"]):
        notes.append(f"{COLD_START}: {FROM_SILENCE}")
    half = [0.5 * (low_high[1] - low_high[0]) for row in group["runs"]
            if (low_high := row["linearity"].get("intervals", {}).get("nmse_db"))]  # fmt: skip
    if half:
        notes.append(
            f"NMSE: 95 % intervals of +-{max(half):.2f} dB (block bootstrap); runs share samples, so smaller "
            "differences can be real, but another seed may reverse them: compare several seeds"
        )
    return notes


def _power_notes(group: Mapping[str, Any]) -> list[str]:
    """Return a note on predistorters whose output power is off the target, which their scores depend on."""
    powers = {row["run"]: row["linearity"].get("power_change_db") for row in group["runs"]}
    outside = {name: power for name, power in powers.items() if power is not None and abs(power) > POWER_GATE_DB}
    if group["task"] != "dpd" or not outside:
        return []
    powers_text = ", ".join(f"{name} {power:+.2f} dB" for name, power in outside.items())
    return [f"output power more than {POWER_GATE_DB} dB off the target, so scores are not comparable: {powers_text}"]


def columns_of(group: Mapping[str, Any]) -> list[Column]:
    """Return the columns that any row of a group from `as_chosen` has a value for, the scores first."""
    rows, columns = group["runs"], (*SCORES, COLD_NMSE, *COSTS)
    return [MODEL, *(c for c in columns if c.cost or any(c.value(row) is not None for row in rows))]


def cells_of(group: Mapping[str, Any], columns: Sequence[Column]) -> list[tuple[bool, list[str]]]:
    """Return the lines of a table: whether it is a baseline, and its cells, name first. A baseline has scores only."""
    lines = []
    for name, scores in group["baselines"].items():
        row = {"model": "", "linearity": scores, COLD: {"linearity": scores.get(COLD) or {}}}
        cells = [name, *("" if c.cost else c.cell(row) for c in columns)]
        lines.append((True, ["" if cell == DASH else cell for cell in cells]))
    lines += [(False, [row["run"], *(column.cell(row) for column in columns)]) for row in group["runs"]]
    return lines


def comparison_panel(groups: Sequence[Mapping[str, Any]], *, width: int) -> RenderableType:
    """Return tables for the terminal, one per group; where one is too wide, its costs are a second table.

    Args:
        groups: of `evaluation.comparison.RunGroup.to_json`.
        width: of the terminal [columns].
    """
    parts: list[RenderableType] = []
    for group in as_chosen(groups):
        columns = columns_of(group)
        whole = _table(group, columns)
        tables = [whole]
        if Console(width=1000).measure(whole).maximum > width:
            tables = [_table(group, [c for c in columns if not c.cost])]
            tables.append(_table(group, [c for c in columns if c.cost], baselines=False))
        parts.append(Text(title_of(group), "bold"))
        for table in tables:
            parts += [table, ""]
        if any(row["settings"] for row in group["runs"]):
            settings = facts_grid((row["run"], settings_text(row)) for row in group["runs"])
            parts += [Text("settings that differ", "dim"), settings, ""]
        parts += [Text(note, "dim") for note in notes_of(group)]
        parts.append("")
    return Group(*parts[:-1])


def _table(group: Mapping[str, Any], columns: Sequence[Column], *, baselines: bool = True) -> Table:
    table = numbers_table("run", *(column.title for column in columns), left=2 if MODEL in columns else 1)
    best = [_best(group, column) for column in columns]
    runs = iter(group["runs"])
    for is_baseline, cells in cells_of(group, columns):
        row = None if is_baseline else next(runs)
        if is_baseline and not baselines:
            continue
        name, *rest = cells
        styled = [
            Text(cell, "bold" if row and lowest is not None and column.value(row) == lowest else "")
            for cell, column, lowest in zip(rest, columns, best, strict=True)
        ]
        table.add_row(name, *styled, style="dim" if is_baseline else "")
    return table


def _best(group: Mapping[str, Any], column: Column) -> Any:
    """Return the lowest score of a column; None where lower is not better: a PA model should leak as measured."""
    if column not in SCORES or (column.key == "aclr" and group["task"] == "pa"):
        return None
    values = [column.value(row) for row in group["runs"]]
    return min((value for value in values if value is not None), default=None)


def settings_text(row: RunScores) -> str:
    """Return the settings of a run that differ, as `--set` takes them: `optim.lr=0.001 train.seed=1`."""
    return " ".join(f"{key}={render(value)}" for key, value in row["settings"].items())


def comparison_markdown(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table per group."""
    parts = []
    for group in as_chosen(groups):
        columns = columns_of(group)
        header = ["run", *(one_line(column.title) for column in columns)]
        align = ["---", "---", *("---:" for _ in columns[1:])]
        lines = [header, align, *(cells for _, cells in cells_of(group, columns))]
        table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
        settings = [f"- {row['run']}: `{settings_text(row)}`" for row in group["runs"] if row["settings"]]
        notes = ["settings that differ:\n\n" + "\n".join(settings)] if settings else []
        parts.append("\n\n".join([f"**{title_of(group)}**", table, *notes, *notes_of(group)]))
    return printable("\n\n".join(parts) + "\n")


def comparison_csv(groups: Sequence[Mapping[str, Any]]) -> str:
    """Return one line per run, all groups in one table, numbers unrounded.

    The scores are those from a cold start, but for the three columns with the past of the record; then come the
    settings in which runs of a group differ.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    columns = [MODEL, *SCORES, *COSTS]
    common = ["task", "capture", "split", "pa"]
    limits = ["nmse_low", "nmse_high", "nmse_with_past", "nmse_with_past_low", "nmse_with_past_high"]
    keys = list(dict.fromkeys(key for group in groups for row in group["runs"] for key in row["settings"]))
    writer.writerow(["run", "path", *common, *(column.key for column in columns), *limits, *keys])
    for group in groups:
        pa = (group.get("pa") or {}).get("path", "")
        shared = [group["task"], group["capture"]["name"], group["split"], pa]
        for row in group["runs"]:
            past = (row.get(WITH_PAST) or {}).get("linearity", {})
            interval = [*_nmse_interval(row["linearity"]), past.get("nmse_db", ""), *_nmse_interval(past)]
            values = ["" if (value := column.value(row)) is None else value for column in columns]
            settings = [render(row["settings"][key]) if key in row["settings"] else "" for key in keys]
            writer.writerow([row["run"], row["path"], *shared, *values, *interval, *settings])
    return out.getvalue()


def _nmse_interval(scores: RunScores) -> Sequence[Any]:
    found: Sequence[Any] = scores.get("intervals", {}).get("nmse_db", ("", ""))
    return found


def one_line(title: str) -> str:
    """Return a title without its line break; a hyphenated word is joined."""
    return title.replace("-\n", "").replace("/\n", "/").replace("\n", " ")
