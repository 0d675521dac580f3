"""A log in JSON: an object a line (JSONL), or a list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.logs.cells import shortened
from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.log import NothingLoggedError, RawLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.rows import Rows
from dpdrun.errors import DataError

FORMAT = "JSONL"
LINES_OF_NAMES = 2000  # lines in which a column must show itself


def read(path: Path, asked: Asked) -> RawLog:
    """Read it. Objects within objects give names as `train.loss`; what is no number is passed over.

    Raises:
        DataError: names file and line.
    """
    names: dict[str, None] = {}
    for _, record in islice(records(path), LINES_OF_NAMES):
        names.update(dict.fromkeys(record))
    if not names:
        raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")
    return of_records(path, FORMAT, list(names), records(path), asked)


def of_records(
    path: Path, format_: str, names: list[str], numbered: Iterator[tuple[int, dict[str, object]]], asked: Asked
) -> RawLog:
    """A log from numbered records."""
    rows = Rows(path, format_, names, asked)
    for line, record in numbered:
        rows.add(line, record)
    return rows.done()


def records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """The objects of a JSONL file with their lines. Raises DataError as `read`."""
    with opened(path) as file:
        torn: DataError | None = None
        for line, text in enumerate(file, start=1):
            if torn:
                raise torn
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except ValueError as error:
                torn = DataError(f"{path}:{line}: not valid JSON ({error}): {shortened(text.strip())!r}")
                continue  # an error, unless it is the last line: that one is being written
            if not isinstance(record, dict):
                raise DataError(f"{path}:{line}: expected one JSON object per line, got {shortened(text.strip())!r}")
            yield line, flat(record)


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Nested objects as `outer.inner`; lists are left out."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            found[f"{prefix}{key}"] = value
    return found
