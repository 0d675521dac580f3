"""Hugging Face's `trainer_state.json`: `log_history`, a record every `logging_steps` and one per evaluation.

`loss` is the mean since the record before; `grad_norm` (before clipping) and `learning_rate` are those of the record's
step alone. `logging_nan_inf_filter`, on by default, hides losses that are not finite; the norm shows them.
Source: transformers, trainer.py, `_maybe_log_save_evaluate`.
"""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.jsonl_log import flat, of_records
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError

FORMAT = "Hugging Face trainer_state.json"
FILE = "trainer_state.json"
SUMMARY = "train_runtime"  # only in the record at the end of training, whose train_loss is the mean of the run


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a trainer_state.json, or any JSON file that holds a list of records.

    Raises:
        DataError: it is neither; or as `jsonl_log.of_records`, with the number of the record for its line.
    """
    with opened(path) as file:
        text = file.read()
    if not text.strip():
        raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    state = content if isinstance(content, dict) else {}
    history = state.get("log_history", content)
    if not isinstance(history, list) or not all(isinstance(record, dict) for record in history):
        raise DataError(f"{path}: expected trainer_state.json (an object with log_history) or a list of objects")
    if not history:
        raise NothingLoggedError(f"{path}: log_history is empty: nothing has been logged yet (logging_steps)")
    records = [(i, flat(record)) for i, record in enumerate(history, start=1) if SUMMARY not in record]
    names = list(dict.fromkeys(name for _, record in records for name in record))
    log = of_records(path, FORMAT if state else "JSON", names, iter(records), asked)
    if state or {"learning_rate", "epoch", "step", "loss"} <= set(names):
        log.program = "huggingface"
    if state:
        total = state.get("max_steps")
        if isinstance(total, int) and total > 0:
            log.values["total_steps"] = total
        every = state.get("logging_steps")
        if isinstance(every, int | float) and every > 1:
            log.notes.append(
                "loss is the mean since the previous line; grad_norm and learning_rate are from a single step"
            )
    return log
