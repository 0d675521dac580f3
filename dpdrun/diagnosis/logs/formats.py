"""The reader of a log, by its name and its first line. A new format is a file next to this one and a line here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dpdrun.diagnosis.logs import csv_log, jsonl_log, opendpd_log, tensorboard_log, trainer_state
from dpdrun.diagnosis.logs.facts import facts_of_log
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.errors import DataError
from dpdrun.rules.facts.run import RunFacts

KNOWN = (
    "a run folder of dpdrun, OpenDPD's history CSV, Hugging Face's trainer_state.json, Lightning's metrics.csv, "
    "TensorBoard event files, any CSV or JSONL"
)
LIGHTNING = "metrics.csv"  # of its CSVLogger: a row per call of `log`, most cells empty
TABLES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson")


def read_log(path: Path, asked: Asked | None = None) -> tuple[RunFacts, TrainingLog]:
    """Return the facts of a log, and the log.

    Args:
        path: a file, or a folder that holds one log.
        asked: the meanings of `--map`.

    Raises:
        DataError: no log, not one alone, or one that cannot be read; says what to do.
    """
    asked = asked or Asked()
    path = find_log(path)
    log = _read(path, asked)
    return facts_of_log(log, asked), log


def _read(path: Path, asked: Asked) -> TrainingLog:
    if path.is_dir() or ".tfevents." in path.name:
        return tensorboard_log.read(path, asked)
    if path.suffix.lower() in (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".safetensors"):
        raise DataError(f"{path}: a checkpoint is not a log; dpdrun reads {KNOWN}")
    start = _first_line(path)
    if start.startswith(("{", "[")):
        if jsonl_log.is_metrics(path, start):
            return jsonl_log.read_dpdrun_metrics(path, asked)
        one_object = start.rstrip().endswith("}") and path.name != trainer_state.FILE
        is_list = start.startswith("[")
        return jsonl_log.read(path, asked) if one_object and not is_list else trainer_state.read(path, asked)
    names = csv_log.dialect_of(path).names
    if opendpd_log.is_one(names):
        return opendpd_log.read(path, asked)
    if path.name == LIGHTNING and {"epoch", "step"} <= set(names):
        return csv_log.read(path, asked, format_="Lightning metrics.csv", known={"step": "step"}, empty="gap")
    return csv_log.read(path, asked)


def _first_line(path: Path) -> str:
    with csv_log.opened(path) as file:
        return next((line for line in file if line.strip()), "").lstrip()


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
    yield [file for file in [path / trainer_state.FILE] if file.is_file()]
    yield _newest(path.glob(f"checkpoint-*/{trainer_state.FILE}"))
    yield [file for file in [path / LIGHTNING] if file.is_file()]
    yield _newest(path.glob(f"version_*/{LIGHTNING}"))
    yield _newest(path.glob(f"lightning_logs/version_*/{LIGHTNING}"))
    yield [path] if any(path.glob(tensorboard_log.PATTERN)) else []
    yield sorted({file.parent for file in path.glob(f"*/{tensorboard_log.PATTERN}")})
    yield sorted(file for pattern in TABLES for file in path.glob(pattern))
    yield sorted(path.glob("**/history/*.csv"))


def _newest(files: Iterator[Path]) -> list[Path]:
    """Return the file whose folder has the highest number."""

    def numbered(file: Path) -> int:
        found = re.search(r"(\d+)$", file.parent.name)
        return int(found.group()) if found else -1

    return sorted(files, key=numbered)[-1:]
