"""Cells of a log as numbers: every spelling of nan, infinity and missing values that loggers write."""

from __future__ import annotations

import math
import re

NOTHING = frozenset({"", "na", "n/a", "null", "none", "-", "--", "<na>", "no log"})
NAN = frozenset({"nan", "nan(ind)"})
OF_WINDOWS = re.compile(r"1\.#(qnan|ind|inf)\d{0,4}")
BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def number(cell: object, *, decimal_comma: bool = False) -> float | None:
    """Return a cell as a number: None where nothing was logged, nan and inf where they were.

    `3.5%` is 0.035. Words such as `true` are 1 and 0.

    Raises:
        ValueError: it is something else; the message says what.
    """
    if cell is None:
        return None
    if isinstance(cell, int | float):
        try:
            return float(cell)
        except OverflowError:
            return math.inf if cell > 0 else -math.inf
    if not isinstance(cell, str):
        raise ValueError(f"{shortened(str(cell))} is not a number")
    text = cell.strip().strip('"').lower()
    if text in NOTHING:
        return None
    try:  # the usual case first: a log has a million of these
        if "_" not in text:  # Python reads 1_000, nothing else does
            return float(text)
    except ValueError:
        pass
    if text.lstrip("+-") in NAN:
        return math.nan
    if of_windows := OF_WINDOWS.fullmatch(text.lstrip("+-")):
        return math.copysign(math.inf, -(text[0] == "-") or 1.0) if of_windows.group(1) == "inf" else math.nan
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text.startswith("tensor(") and not text.startswith("tensor(tensor("):
        # str() of a tensor: tensor(0.0312, device='cuda:0')
        return number(text.removeprefix("tensor(").rstrip(")").split(",")[0])
    if text.endswith("%") and not text.endswith("%%"):
        share = number(text[:-1], decimal_comma=decimal_comma)
        return None if share is None else share / 100.0
    if decimal_comma and text.count(",") == 1:
        return number(text.replace(",", "."))
    raise ValueError(f"{shortened(cell)!r} is not a number{_hint(text)}")


def _hint(text: str) -> str:
    if text.replace(",", "").replace(".", "").lstrip("+-").isdigit() and "," in text:
        return "; write it with a decimal point and no thousands separators"
    if text.endswith(("db", "dbm", "dbc")):
        return "; omit the unit"
    return ""


def shortened(text: str) -> str:
    """Return a text that fits a message."""
    return text if len(text) <= 40 else text[:37] + "..."
