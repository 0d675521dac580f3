"""A measurement loop on the terminal: its rounds, what to know about the last one, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from dpdrun.report.layout import NumberTables

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


def loop_view(state: Json) -> RenderableType:
    """Return the rounds of a loop, the best one in bold, with the messages of the last one that was measured.

    Args:
        state: of loop.json.
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
    lines.append(_rounds(rounds, best, shown, original))
    lines.append(Text(CAPTION if original is None else f"{CAPTION} ideal: the original itself.", "dim"))
    if measured:
        missing = measured[-1]["scores"]["missing"]
        lines += [Text(f"no {name.removesuffix('_db')}: {reason}", "dim") for name, reason in missing.items()]
        lines += [Text.assemble(("note: ", "yellow"), message) for message in measured[-1]["messages"]]
    return Group(*lines)


def _rounds(
    rounds: Sequence[Json], best: int | None, columns: Sequence[Column], original: float | None
) -> NumberTables:
    rows = list[tuple[list[str], str]]()
    for each in rounds:
        number = each["round"]
        cells = [_cell(each[part], key, digits) for _, part, key, digits in columns]
        rows.append(([f"{number}*", *cells], "bold") if number == best else ([str(number), *cells], ""))
    if original is not None and any(key == ACLR_KEY for _, _, key, _ in columns):
        cells = [f"{original:.2f}" if key == ACLR_KEY else "-" for _, _, key, _ in columns]
        rows.append((["ideal", *cells], "dim"))
    return NumberTables(["round", *(title for title, *_ in columns)], rows, gap=1)


def _cell(part: Json | None, key: str, digits: int) -> str:
    value = None if part is None else part.get(key)
    if value is None:
        return "-"
    text = f"{float(value):,.{digits}f}"
    return text.replace("-", "", 1) if float(text.replace(",", "")) == 0 else text
