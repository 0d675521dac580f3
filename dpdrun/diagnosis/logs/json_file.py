"""A JSON file, of any shape (`json_tables`); Hugging Face's trainer_state.json among them.

`log_history` of trainer_state.json holds a record every `logging_steps` and one per evaluation. `loss` is the mean
since the record before; `grad_norm` (before clipping) and `learning_rate` are those of the record's step alone.
`logging_nan_inf_filter`, on by default, hides losses that are not finite; the norm shows them. The last record lies at
the last multiple of `logging_steps`, so `global_step` says how far the run came.
Source: transformers, trainer.py, `_maybe_log_save_evaluate`.

Columns by name are what Keras' `History.history` and many scripts save: lists of one length, a value per epoch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.json_tables import table_of
from dpdrun.diagnosis.logs.json_values import values_of
from dpdrun.diagnosis.logs.jsonl_log import flat, of_records
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, usual_loss
from dpdrun.errors import DataError
from dpdrun.run.files import parse_json

FORMAT = "Hugging Face trainer_state.json"
FILE = "trainer_state.json"
SUMMARY = "train_runtime"  # only in the record at the end of training, whose train_loss is the mean of the run
MOST_BYTES = 1 << 28  # JSON is read at once
MOST_TORN = 1 << 24
TOKEN = re.compile(r'"(?:[^"\\]|\\.){0,4000}"|[\[\]{},]')
TRAINER = frozenset({"learning_rate", "epoch", "step", "loss"})
EXPECTED = "expected trainer_state.json (an object with log_history), or objects or lists with the numbers of training"

MEANS = "loss is the mean since the previous line; the other columns are of one step"

Record = dict[str, Any]


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a JSON file.

    Raises:
        DataError: it holds no history; or as `jsonl_log.of_records`, with the number of the record for its line.
    """
    content, torn = _content(path)
    state = content if isinstance(content, dict) and "log_history" in content else {}
    history = table_of(state.get("log_history", content))
    if history is None:
        raise DataError(f"{path}: {EXPECTED}")
    if not history:
        hint = "log_history is empty: nothing has been logged yet (logging_steps)"
        raise NothingLoggedError(f"{path}: {hint}" if state else f"{path}: nothing has been logged yet")
    lines = [record for record in history if SUMMARY not in record] or history  # of a run that logged only its end
    records = [(i, flat(record)) for i, record in enumerate(lines, start=1)]
    names = Counter(name for _, record in records for name in record)
    log = of_records(path, FORMAT if state else "JSON", list(names), iter(records), asked, known=usual_loss(names))
    if state or set(names) >= TRAINER:
        log.program = "huggingface"
        log.finished = True if any(SUMMARY in record for record in history) else None
    elif {"loss", "val_loss"} <= set(names) and "step" not in names and "train_loss" not in names:
        log.program, log.format = "keras", "Keras history (JSON)"
    if state:
        _take_state(log, state)
    if torn:
        log.notes.append("the file ends in the middle of a value: it is being written, or was cut off")
    return log


def _content(path: Path) -> tuple[Any, bool]:
    """Return the value, and whether the file ends before it does."""
    with opened(path) as file:
        text = file.read(MOST_BYTES + 1)
    if len(text) > MOST_BYTES:
        raise DataError(
            f"{path}: JSON of more than {MOST_BYTES >> 20} MiB is not read; write one object a line (JSONL)"
        )
    if not text.strip():
        raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")
    try:
        return parse_json(text), False
    except json.JSONDecodeError as error:
        if values := values_of(text):
            return values if len(values) > 1 else values[0], False
        torn = error.pos >= len(text.rstrip()) and "log_history" not in text  # that one is rewritten, and soon complete
        if torn and (closed := _closed(text)) is not None:
            return closed, True
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except RecursionError:
        raise DataError(f"{path}: not a training log: nested too deeply") from None


def _closed(text: str) -> Any | None:
    """Return the value of JSON that was cut off, without what is incomplete; None where nothing is left."""
    brackets: list[str] = []
    cut, closing = 0, ""
    for token in TOKEN.finditer(text[:MOST_TORN]):
        character = token.group()
        if character in "[{":
            brackets.append("]" if character == "[" else "}")
        elif character in "]}" and brackets:
            brackets.pop()
        elif character == ",":
            cut, closing = token.start(), "".join(reversed(brackets))
    try:
        return json.loads(text[:cut] + closing) if cut else None
    except (ValueError, RecursionError):
        return None


def _take_state(log: TrainingLog, state: Record) -> None:
    total, done, every = state.get("max_steps"), state.get("global_step"), state.get("logging_steps")
    if isinstance(total, int) and total > 0:
        log.values["total_steps"] = total
        log.done = done if isinstance(done, int) else None
        if isinstance(done, int) and done >= total:
            log.finished = True
    if isinstance(every, int | float) and every > 1:
        log.notes.append(MEANS)
