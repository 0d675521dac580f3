"""Text with lists of numbers by name, as scripts print at their end: `train_losses = [0.5, 0.4]`, a printed dict.

A list without a name, as numpy prints it, is the loss if it is all that the file has.
"""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

from dpdrun.diagnosis.logs.cells import number
from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.json_tables import rows_of_lists
from dpdrun.diagnosis.logs.jsonl_log import of_records
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import LOSSES, Asked, meaning_of

FORMAT = "text with lists by name"
MOST = 1 << 24  # characters
LEAST = 4  # numbers
LIST = re.compile(r"[:=]\s{0,3}(?:(?:np\.)?array\()?\[([^\[\]\"'a-df-hj-mo-z]{8,})\]", re.I)
NAME = re.compile(r"([A-Za-z_][\w ./-]{0,40})[\"']?\s{0,3}$")  # before it
LONGEST_NAME = 48  # characters
MOST_ROWS = 20  # of a table that lies on its side
ALONE = re.compile(r"\s{0,80}\[([^\[\]\"'a-df-hj-mo-z]{8,})\]\s{0,80}$", re.I)


def lists_of(path: Path) -> dict[str, list[float | None]]:
    """Return the lists of a text by name, if one of them is a loss; of one that is printed as it grows, the last.

    Lists of one name that do not grow are values of one step each, and not a history.
    """
    with opened(path) as file:
        text = file.read(MOST)
    if "[" not in text:
        return {}
    if alone := ALONE.match(text):
        values = _numbers(alone.group(1))
        return {"loss": values} if len(values) >= LEAST else {}
    found: dict[str, list[float | None]] = {}
    for match in LIST.finditer(text):
        named = NAME.search(text[max(0, match.start() - LONGEST_NAME) : match.start()])
        values = _numbers(match.group(1))
        if named is None or len(values) < LEAST:
            continue
        name = named.group(1).strip()
        if len(values) <= len(found.get(name, [])):
            return {}
        found[name] = values
    return found if any(meaning_of(name) in LOSSES for name in found) else {}


def rows_of(path: Path) -> dict[str, list[float | None]]:
    """Return the rows of a table that lies on its side, by the name before each: `train_loss,0.5,0.4,0.3,...`."""
    found: dict[str, list[float | None]] = {}
    with opened(path) as file:
        for text in filter(str.strip, islice(file, MOST_ROWS + 1)):
            name, *_ = re.split(r"[,;\t]", text.strip(" \t\r\n\"'"), maxsplit=1)
            is_name = not _numbers(name)
            values = _numbers(text.strip()[len(name) :].replace(";", ",") if is_name else text)
            name = name.strip() if is_name else ""
            if len(values) < LEAST or len(found) == MOST_ROWS or name in found or "" in found:
                return {}
            found[name] = values
    if len(found) == 1 and not meaning_of(next(iter(found))):
        return {"loss": next(iter(found.values()))}
    return found if any(meaning_of(name) in LOSSES for name in found) else {}


def _numbers(inner: str) -> list[float | None]:
    try:
        return [number(cell) for cell in re.split(r"[,\s]+", inner.strip(" \t\r\n,"))]
    except ValueError:
        return []


def read(path: Path, asked: Asked, lists: dict[str, list[float | None]]) -> TrainingLog:
    """Read the lists as a log of epochs. Raises DataError as `jsonl_log.of_records`."""
    records = rows_of_lists(lists)
    return of_records(path, FORMAT, list(records[0]), enumerate(records, start=1), asked)
