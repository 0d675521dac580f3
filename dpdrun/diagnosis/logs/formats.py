"""Choose the reader of a log by name and first line. A new format is a file next to this one and a line here."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from dpdrun.diagnosis.logs import (
    csv_formats,
    csv_log,
    fairseq_log,
    huggingface_log,
    json_file,
    jsonl_log,
    key_value_log,
    list_log,
    megatron_log,
    mmengine_log,
    nanogpt_log,
    shaped_log,
    tensorboard_log,
    text_log,
    torchtune_log,
    ultralytics_log,
)
from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError, reading
from dpdrun.rules.facts.run import RunFacts

KNOWN = (
    "a run folder of dpdrun, OpenDPD's history CSV, Hugging Face's trainer_state.json, Lightning's metrics.csv, "
    "TensorBoard event files, any CSV or JSONL, what training programs print (docs/diagnose.md)"
)
TEXT = (
    huggingface_log.FORMAT, megatron_log.FORMAT, fairseq_log.FORMAT, mmengine_log.FORMAT, torchtune_log.FORMAT,
    nanogpt_log.FORMAT, nanogpt_log.BUILD_FORMAT, ultralytics_log.FORMAT,
)  # fmt: skip
CHECKPOINTS = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors", ".h5", ".keras", ".onnx")
JSON_START = re.compile(  # not the [1,  2000] of a counter
    r"(?!\[\d{1,12},\s{0,8}\d{1,12}\](?:\s{1,6}\S|<))(?:\{\s*(?:[\"']|\}|$)|\[\s*(?:\{|\[|\]|$|-?\d[\d.eE+-]{0,40}\s*(?:,|\]\s*$)))"
)
JSON_NAMES = (".json", ".jsonl", ".ndjson")
STANDARD_INPUT = Path("standard input")
LIGHTNING = "metrics.csv"  # of its CSVLogger: a row per call of `log`, most cells empty
DEEPEST_FOLDER = 6  # OpenDPD: log/DATASET/train_dpd/SETTINGS/history
MOST_FOLDERS = 500
TABLES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson")


def read_log(path: Path, asked: Asked | None = None) -> tuple[RunFacts, TrainingLog]:
    """Return the facts of a log, and the log.

    Args:
        path: a file, a folder that holds one log, or `-` for standard input.
        asked: the meanings of `--map`.

    Raises:
        DataError: no log, several logs, or one that cannot be read; the message says what to do.
    """
    asked = asked or Asked()
    if str(path) == "-":
        return _read_pipe(sys.stdin.buffer, STANDARD_INPUT, asked)
    if path.is_fifo():  # `<(...)`
        with path.open("rb") as pipe:
            return _read_pipe(pipe, path, asked)
    path = find_log(path)
    with reading(path, "a training log"):
        log = _read(path, asked)
        return facts_of_log(log, asked), log


def _read_pipe(pipe: IO[bytes], shown: Path, asked: Asked) -> tuple[RunFacts, TrainingLog]:
    """Read what is pasted or piped; through a file, since readers read it twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        with path.open("wb") as file:
            file.write(pipe.read(csv_log.MOST_BYTES + 1))
        try:
            with reading(path, "a training log"):
                log = _read(path, asked)
                facts = facts_of_log(log, asked)
        except DataError as error:
            raise type(error)(str(error).replace(str(path), str(shown))) from None
    log.path = shown
    return facts, log


def _read(path: Path, asked: Asked) -> TrainingLog:
    if path.is_dir() or ".tfevents." in path.name:
        return tensorboard_log.read(path, asked)
    if path.suffix.lower() in CHECKPOINTS:
        raise DataError(f"{path}: a checkpoint is not a log; dpdrun reads {KNOWN}")
    start, more = _first_lines(path)
    if JSON_START.match(start):
        if huggingface_log.is_line(start) and start.count("{") == 1 and more:
            return text_log.read(path, asked, huggingface_log.FORMAT)
        try:
            return _read_json(path, asked, start, one_line=not more)
        except DataError:  # a text that has objects in some of its lines
            among = None if path.suffix in JSON_NAMES else text_log.format_of(path, (*TEXT, *key_value_log.FORMATS))
            if among is None:
                raise
            return text_log.read(path, asked, among)
    if lists := list_log.rows_of(path):
        return list_log.read(path, asked, lists)
    if csv_log.is_table(path) or (
        path.suffix.lower() in (".csv", ".tsv") and not key_value_log.FORMATS[0].is_line(start)
    ):
        return csv_formats.read(path, asked)
    found = text_log.format_of(path, TEXT)
    if found is None and (lists := list_log.lists_of(path)):
        return list_log.read(path, asked, lists)
    found = found or text_log.format_of(path, key_value_log.FORMATS)
    if found is not None:
        return text_log.read(path, asked, found)
    if csv_log.dialect_of(path).begins_with_numbers:
        return csv_formats.read(path, asked)
    if text_log.format_of(path, (shaped_log.FORMAT,)) is not None:
        return text_log.read(path, asked, shaped_log.FORMAT)
    raise DataError(
        f"{path}: no training numbers found, such as `loss: 0.5` (docs/diagnose.md lists what is read); write them as "
        "CSV with a header, and name its columns: --map step=COLUMN,loss=COLUMN"
    )


def _read_json(path: Path, asked: Asked, start: str, *, one_line: bool) -> TrainingLog:
    try:
        record = json.loads(start)
    except (ValueError, RecursionError):
        record = None
    if isinstance(record, dict) and path.name != json_file.FILE:
        if jsonl_log.is_metrics(path, start):
            return jsonl_log.read_dpdrun_metrics(path, asked)
        if not one_line or not any(isinstance(each, list | dict) for each in record.values()):
            return jsonl_log.read(path, asked)
    return json_file.read(path, asked)


def _first_lines(path: Path) -> tuple[str, bool]:
    """Return the first line with text, and whether another follows."""
    with csv_log.opened(path) as file:
        texts = (text for text in iter(lambda: file.readline(json_file.MOST_BYTES), "") if text.strip())
        return next(texts, "").lstrip(), next(texts, "") != ""


def find_log(path: Path) -> Path:
    """Return the log that a path means: itself, or the only one in that folder.

    Raises:
        DataError: there is none, or there are several.
    """
    if not path.exists():
        near = [p.name for p in sorted(path.parent.iterdir())[:8]] if path.parent.is_dir() else []
        hint = f"; {path.parent} holds: {', '.join(near)}" if near else ""
        raise DataError(f"{path}: no such file or folder{hint}")
    if path.is_file():
        return path
    for found in _in_folder(path):
        if len(found) == 1:
            return found[0]
        if found:
            listed = "\n  ".join(str(file) for file in found[:8])
            raise DataError(f"{path}: {len(found)} logs in this folder; name one:\n  {listed}")
    raise DataError(f"{path}: not a run folder (it has no plan.json), and no log in it; dpdrun reads {KNOWN}")


def _in_folder(path: Path) -> Iterator[list[Path]]:
    """Yield candidates, the likeliest first: the newest checkpoint or version stands for the others."""
    yield [file for file in [path / json_file.FILE] if file.is_file()]
    yield _newest(path.glob(f"checkpoint-*/{json_file.FILE}"))
    yield [file for file in [path / LIGHTNING] if file.is_file()]
    yield _newest(path.glob(f"version_*/{LIGHTNING}"))
    yield _newest(path.glob(f"lightning_logs/version_*/{LIGHTNING}"))
    yield [path] if any(path.glob(tensorboard_log.PATTERN)) else []
    yield sorted({file.parent for file in path.glob(f"*/{tensorboard_log.PATTERN}")})
    yield sorted(file for pattern in TABLES for file in path.glob(pattern) if file.is_file())  # no pipe
    histories = [folder for folder in _folders_below(path) if folder.name == "history"]
    yield sorted(file for folder in histories for file in folder.glob("*.csv") if file.is_file())


def _folders_below(path: Path) -> Iterator[Path]:
    """Yield the folders below a folder: as deep as OpenDPD nests its logs, and not those of a disk."""
    level, visited = [path], 0
    for _ in range(DEEPEST_FOLDER):
        found: list[Path] = []
        for folder in level:
            visited += 1
            if visited > MOST_FOLDERS:
                return
            with suppress(OSError):
                found += [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
        yield from found
        level = found


def _newest(files: Iterator[Path]) -> list[Path]:
    """Return the file whose folder has the highest number."""

    def numbered(file: Path) -> int:
        found = re.search(r"(\d+)$", file.parent.name)
        return int(found.group()) if found else -1

    return sorted((file for file in files if file.is_file()), key=numbered)[-1:]
