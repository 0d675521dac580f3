"""A measurement loop on the terminal: its rounds, what to know about the last one, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from dpdrun.report.layout import numbers_table

Json = Mapping[str, Any]

# Title, part of a round, key, digits.
COLUMNS = (
    ("NMSE\n[dB]", "scores", "nmse_db", 2),
    ("EVM\n[dB]", "scores", "evm_db", 2),
    ("ACLR\n[dBc]", "scores", "aclr_worse_dbc", 2),
    ("gain\n[dB]", "scores", "gain_db", 2),
    ("drift\n[dB]", "measurement", "gain_change_db", 2),
    ("peak\n[dB]", "waveform", "peak_db", 2),
    ("mean\n[dB]", "waveform", "average_db", 2),
    ("PAPR\n[dB]", "waveform", "papr_db", 2),
    ("at\nlimit", "waveform", "limited_samples", 0),
    ("step", "waveform", "step", 3),
)
ACLR_KEY = "aclr_worse_dbc"
Column = tuple[str, str, str, int]
CAPTION = (
    "NMSE, EVM, ACLR (worse side) and gain of the measured output; drift of the gain since round 0, at equal drive; "
    "peak and mean power of the waveform over the original's; samples at the peak limit; share of the change applied."
)
PADDING = 2  # that a table is cut for where its columns just fit


def loop_view(state: Json, *, width: int) -> RenderableType:
    """Return the rounds of a loop, the best one in bold, with the messages of the last one that was measured.

    Args:
        state: of loop.json.
        width: of the terminal [columns]; where it is narrow, the columns are in several tables.
    """
    rounds, best = state["rounds"], state["best_round"]
    measured = [each for each in rounds if each["scores"] is not None]
    done = f"{len(measured)} {'round' if len(measured) == 1 else 'rounds'} measured"
    head = f"loop on {state['source']}, {state['sample_rate_hz'] / 1e6:.6g} MS/s: {done}"
    lines: list[RenderableType] = [Text(head if best is None else f"{head}, the best is round {best}", "bold")]
    shown = [
        column for column in COLUMNS
        if column[1] == "waveform" or any((each[column[1]] or {}).get(column[2]) is not None for each in rounds)
    ]  # fmt: skip
    original = state.get("original_aclr_dbc")
    lines += _tables(rounds, best, shown, original, width)
    lines.append(Text(CAPTION if original is None else f"{CAPTION} ideal: the original itself.", "dim"))
    if measured:
        missing = measured[-1]["scores"]["missing"]
        lines += [Text(f"no {name.removesuffix('_db')}: {reason}", "dim") for name, reason in missing.items()]
        lines += [Text.assemble(("note: ", "yellow"), message) for message in measured[-1]["messages"]]
    return Group(*lines)


def _tables(
    rounds: Sequence[Json], best: int | None, columns: Sequence[Column], original: float | None, width: int
) -> list[RenderableType]:
    """Return the columns in as few tables as fit into the width."""
    free, found, rest = Console(width=1000), list[RenderableType](), list(columns)
    while rest:
        tables = [(end, _table(rounds, best, rest[:end], original)) for end in range(len(rest), 0, -1)]
        fitting = ((end, each) for end, each in tables if free.measure(each).maximum + PADDING <= width)
        end, table = next(fitting, tables[-1])
        found += ["", table] if found else [table]
        rest = rest[end:]
    return found


def _table(rounds: Sequence[Json], best: int | None, columns: Sequence[Column], original: float | None) -> Table:
    table = numbers_table("round", *(title for title, *_ in columns), gap=1)
    for each in rounds:
        number = each["round"]
        cells = [_cell(each[part], key, digits) for _, part, key, digits in columns]
        mark = "*" if number == best else ""
        table.add_row(f"{number}{mark}", *cells, style="bold" if number == best else "")
    if original is not None and any(key == ACLR_KEY for _, _, key, _ in columns):
        table.add_row(
            "ideal", *(f"{original:.2f}" if key == ACLR_KEY else "-" for _, _, key, _ in columns), style="dim"
        )
    return table


def _cell(part: Json | None, key: str, digits: int) -> str:
    value = None if part is None else part.get(key)
    if value is None:
        return "-"
    text = f"{float(value):,.{digits}f}"
    return text.replace("-", "", 1) if float(text.replace(",", "")) == 0 else text
