"""A log in JSON: one object per line (JSONL), or a list of objects."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.logs import long_table
from dpdrun.diagnosis.logs.cells import shortened
from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, usual_loss
from dpdrun.diagnosis.logs.rows import Rows
from dpdrun.errors import DataError, visible

FORMAT = "JSONL"
LLAMA_FACTORY = "LLaMA-Factory trainer_log.jsonl"
MARKS = {  # names that show which program wrote it
    "llamafactory": {"current_steps", "total_steps"},
    "huggingface": {"loss", "learning_rate", "epoch", "step"},
    "mmengine": {"iter", "data_time", "lr", "loss"},
}
METRICS = "metrics.jsonl of dpdrun"  # without its run folder
NAMES = ("step", "loss", "grad_norm", "lr", "lr_planned", "clip_norm", "clipped", "val_nmse_db")  # in it
LINES_OF_NAMES = 2000  # lines in which a column must show itself
EMPTY = (None, "")


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a JSONL log. Objects within objects give names as `train.loss`; what is not a number is left out.

    Raises:
        DataError: names file and line.
    """
    names: Counter[str] = Counter()
    for _, record in islice(records(path), LINES_OF_NAMES):
        names.update({name: record[name] not in EMPTY for name in record})
    if not names:
        raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")
    llama = {"current_steps", "total_steps"} <= set(names)
    known = usual_loss(names) | ({"step": "current_steps"} if llama else {})
    log = of_records(path, LLAMA_FACTORY if llama else FORMAT, list(names), records(path), asked, known=known)
    log.program = next((program for program, marks in MARKS.items() if set(names) >= marks), "")
    if llama:
        _take_length(log)
    return log


def _take_length(log: TrainingLog) -> None:
    """Enter the length of a run of LLAMA_FACTORY, which every line repeats."""
    last: dict[str, object] = deque((record for _, record in records(log.path)), maxlen=1).pop()
    if isinstance(total := last.get("total_steps"), int) and total > 0:
        log.values["total_steps"] = total
        log.finished = True if last.get("current_steps") == total else None
    log.notes.append("loss is the mean since the previous line; the other columns are of one step")


def is_metrics(path: Path, first_line: str) -> bool:
    """Return whether a JSONL file was written by `dpdrun train`."""
    try:
        record = json.loads(first_line)
    except ValueError:
        return False
    return path.suffix == ".jsonl" and {"kind", "step", "lr_planned"} <= set(record)


def read_dpdrun_metrics(path: Path, asked: Asked) -> TrainingLog:
    """Read the steps and evaluations of a metrics.jsonl, without the means of epochs. Raises DataError as `read`."""
    found = ((line, record) for line, record in records(path) if record.get("kind") != "epoch")
    log = of_records(path, METRICS, list(NAMES), found, asked)
    log.values["loss_is_nmse"] = True
    log.program = "dpdrun"
    return log


def of_records(
    path: Path, format_: str, names: list[str], numbered: Iterable[tuple[int, dict[str, object]]], asked: Asked,
    *, known: dict[str, str] | None = None,
) -> TrainingLog:  # fmt: skip
    """Return the log of numbered records."""
    numbered = [*numbered] if (long := long_table.columns_of(names)) else numbered
    if long:
        names = [*(name for name in names if name not in long), *long_table.names_in(numbered, long[0])]
        numbered = long_table.widened(numbered, *long)
    rows = Rows(path, format_, names, asked, known=known, empty="end")
    for line, record in numbered:
        rows.add(line, record)
    return rows.done()


def records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the objects of a JSONL file with their lines. Raises DataError as `read`."""
    with opened(path) as file:
        torn: DataError | None = None
        for line, text in enumerate(file, start=1):
            if torn:
                raise torn
            if not text.strip():
                continue
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                torn = DataError(f"{path}:{line}: not valid JSON ({error}): {shortened(text.strip())!r}")
                continue  # an error, unless it is the last line: that one is being written
            if not isinstance(record, dict):
                raise DataError(f"{path}:{line}: expected one JSON object per line, got {shortened(text.strip())!r}")
            yield line, flat(record)


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """Return nested objects as `outer.inner`, and lists of one value as that value; other lists are left out."""
    found: dict[str, object] = {}
    for key, value in record.items():
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{visible(key)}.")
        elif not isinstance(value, list):
            found[f"{prefix}{visible(key)}"] = value
    return found
