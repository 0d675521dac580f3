"""A `metrics.jsonl` of dpdrun without its run folder: the lines of steps and evaluations; epoch means are left out."""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.diagnosis.logs import jsonl_log
from dpdrun.diagnosis.logs.log import RawLog
from dpdrun.diagnosis.logs.names import Asked

FORMAT = "metrics.jsonl of dpdrun"
NAMES = ("step", "loss", "grad_norm", "lr", "lr_planned", "clip_norm", "clipped", "val_nmse_db")


def is_one(path: Path, first_line: str) -> bool:
    """Whether a JSONL file was written by `dpdrun train`."""
    try:
        record = json.loads(first_line)
    except ValueError:
        return False
    return path.suffix == ".jsonl" and {"kind", "step", "lr_planned"} <= set(record)


def read(path: Path, asked: Asked) -> RawLog:
    """Read it. Raises DataError as `jsonl_log.read`."""
    records = ((line, record) for line, record in jsonl_log.records(path) if record.get("kind") != "epoch")
    log = jsonl_log.of_records(path, FORMAT, list(NAMES), records, asked)
    log.values["loss_is_nmse"] = True
    return log
