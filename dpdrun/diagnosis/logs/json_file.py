"""A JSON file that is one value: Hugging Face's trainer_state.json, a list of records, or columns by name.

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

from dpdrun.diagnosis.logs import nameless
from dpdrun.diagnosis.logs.csv_log import opened
from dpdrun.diagnosis.logs.jsonl_log import flat, of_records
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, meaning_of, usual_loss
from dpdrun.errors import DataError
from dpdrun.run.files import parse_json

FORMAT = "Hugging Face trainer_state.json"
FILE = "trainer_state.json"
SUMMARY = "train_runtime"  # only in the record at the end of training, whose train_loss is the mean of the run
MOST_BYTES = 1 << 28  # JSON is read at once
MOST_TORN = 1 << 24
COUNT = re.compile(r"(?:epoch|step|iteration|round)?[ _-]?(\d{1,12})", re.I)  # "3", "epoch_3"
TOKEN = re.compile(r'"(?:[^"\\]|\\.){0,4000}"|[\[\]{},]')
DEEPEST = 4  # objects within objects in which a history is looked for
TRAINER = frozenset({"learning_rate", "epoch", "step", "loss"})
EXPECTED = "expected trainer_state.json (an object with log_history), a list of objects, or lists of one length by name"

MEANS = "loss is the mean since the previous line; the other columns are of one step"
TRAIN = ("train", "training")
LOSSES = ("loss", "loss_db", "val_loss", "val_nmse_db")

Record = dict[str, Any]


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a JSON file.

    Raises:
        DataError: it holds no history; or as `jsonl_log.of_records`, with the number of the record for its line.
    """
    content, torn = _content(path)
    history = _history(content)
    state = content if isinstance(content, dict) and "log_history" in content else {}
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


def _history(content: Any, depth: int = 0) -> list[Record] | None:
    """Return the records of a history, wherever they are in the content; None where there is none."""
    if isinstance(content, list):
        if content and depth == 0 and all(isinstance(value, int | float) for value in content):
            return [{"loss": value} for value in content]
        if content and depth == 0 and (points := _points(content)):  # TensorBoard's download of one tag
            return [{"step": step, "loss": value} for step, value in points]
        if content and depth == 0 and _are_columns(content):
            meant = nameless.meanings(content, of_losses=True)
            return rows_of_lists({key: content[at] for key, at in meant.items()}) if meant else None
        return content if all(isinstance(record, dict) for record in content) else None
    if not isinstance(content, dict) or depth > DEEPEST:
        return None
    if "log_history" in content:
        return _history(content["log_history"], depth + 1)
    columns = {name: each for name, each in _by_part(content).items() if isinstance(each, list) and each}
    curves = {name: points for name, each in content.items() if meaning_of(name) and (points := _points(each))}
    if any(meaning_of(name) in LOSSES for name in curves):
        return [{"step": step, name: value} for name, points in curves.items() for step, value in points]
    if any("loss" in name.lower() or meaning_of(name) in LOSSES or name in TRAIN for name in columns):
        return rows_of_lists(columns)
    numbered = [each for each in content.values() if isinstance(each, dict)]
    counts = [COUNT.fullmatch(str(name)) for name in content]
    if numbered and len(numbered) == len(content) and all(counts):
        return [{"epoch": int(at.group(1)), **each} for at, each in zip(counts, numbered, strict=True) if at]
    found = (_history(each, depth + 1) for each in content.values() if isinstance(each, dict | list) and each)
    return max((each for each in found if each), key=len, default=None)


def _by_part(content: Record) -> Record:
    """Return lists by name; those of {"train": {"loss": [...]}, "val": ...} as `train_loss`, `val_loss`."""
    if not any(isinstance(content.get(part), dict) for part in TRAIN):
        return content
    parts = {part: each for part, each in content.items() if isinstance(each, dict)}
    return {f"{part}_{name}": values for part, each in parts.items() for name, values in each.items()}


def _points(curve: Any) -> list[tuple[int, float]]:
    """Return steps and values of [[step, value], ...], [[time, step, value], ...] or {step: value}; else nothing."""
    if isinstance(curve, dict) and all(steps := [COUNT.fullmatch(str(name)) for name in curve]):
        curve = [[int(step.group(1)), value] for step, value in zip(steps, curve.values(), strict=True) if step]
    if not isinstance(curve, list) or not all(isinstance(each, list) and len(each) in (2, 3) for each in curve):
        return []
    ends = [(each[-2], each[-1]) for each in curve]
    return ends if all(isinstance(s, int) and isinstance(v, int | float) for s, v in ends) else []


def _are_columns(content: list[Any]) -> bool:
    """Return whether a list holds lists of numbers of one length: a training loss and a validation loss."""
    lists = all(isinstance(each, list) and len(each) == len(content[0]) for each in content)
    return (
        lists and len(content) < len(content[0]) and all(isinstance(v, int | float) for each in content for v in each)
    )


def rows_of_lists(columns: dict[str, list[Any]]) -> list[Record]:
    """Return lists by name as records; a list of another length than most is left out, as it has other steps."""
    losses = [name for name in columns if meaning_of(name) in LOSSES]
    length = len(columns[losses[0]]) if losses else max(map(len, columns.values()))
    kept = {name: each for name, each in columns.items() if len(each) == length}
    counted = {} if any(meaning_of(name) == "step" for name in kept) else {"epoch": range(1, length + 1)}
    return [{name: each[i] for name, each in (counted | kept).items()} for i in range(length)]


def _take_state(log: TrainingLog, state: Record) -> None:
    total, done, every = state.get("max_steps"), state.get("global_step"), state.get("logging_steps")
    if isinstance(total, int) and total > 0:
        log.values["total_steps"] = total
        log.done = done if isinstance(done, int) else None
        if isinstance(done, int) and done >= total:
            log.finished = True
    if isinstance(every, int | float) and every > 1:
        log.notes.append(MEANS)
