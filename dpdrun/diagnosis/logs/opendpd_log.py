"""OpenDPD's training history: `log/<dataset>/<step>/.../history/<id>.csv`, a line an epoch, from 0.

Columns (OpenDPD 2.4.2, modules/paths.py and modules/train_funcs.py): EPOCH, N_EPOCH, LR (of that epoch), BACKBONE,
TRAIN_LOSS (mean square, written with 8 decimals), VAL_NMSE [dB] (mean over segments), VAL_LOSS. No gradient norm.
"""

from __future__ import annotations

import csv
from pathlib import Path

from dpdrun.diagnosis.logs import csv_log
from dpdrun.diagnosis.logs.log import TrainingLog
from dpdrun.diagnosis.logs.names import Asked

FORMAT = "OpenDPD history (CSV)"
HEADER = frozenset({"EPOCH", "N_EPOCH", "LR"})
NAMES = {"step": "EPOCH", "loss": "TRAIN_LOSS", "lr": "LR", "val_nmse_db": "VAL_NMSE", "val_loss": "VAL_LOSS"}
SMALLEST = 0.5e-8  # what 8 decimals round to 0


def is_one(names: list[str]) -> bool:
    """Return whether a header is OpenDPD's."""
    return set(names) >= HEADER


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read a history. Raises DataError as `csv_log.read`."""
    log = csv_log.read(path, asked, format_=FORMAT, known=NAMES, empty="nan")
    log.program = "opendpd"
    epochs, backbone = _constants(path)
    first = min((column.steps[0] for column in log.columns.values() if len(column)), default=0)
    if epochs is not None:
        log.values["total_steps"] = epochs - 1 if first == 0 else epochs  # as its epochs are numbered
    if backbone:
        log.notes.append(f"backbone {backbone}")
    loss = log.columns.get("loss")
    if loss is not None and any(value == 0.0 for value in loss.values):
        loss.values = [SMALLEST if value == 0.0 else value for value in loss.values]
        log.notes.append("TRAIN_LOSS is written with 8 decimals: 0.00000000 is read as 5e-9")
    if path.parent.name == "best":
        log.notes.append("this is only the best epoch; the complete run is in the folder history next to this one")
    if log.columns.get("val_nmse_db"):
        log.notes.append("VAL_NMSE is a mean of the dB of segments, not dpdrun's pooled NMSE")
    return log


def _constants(path: Path) -> tuple[int | None, str]:
    """Return N_EPOCH and BACKBONE, which every line repeats."""
    dialect = csv_log.dialect_of(path)
    with csv_log.opened(path) as file:
        for _ in range(dialect.header_line):
            file.readline()
        row = next(csv.DictReader(file, dialect.names, delimiter=dialect.separator), {})
    count = str(row.get("N_EPOCH") or "").partition(".")[0]
    return int(count) if count.isdecimal() else None, str(row.get("BACKBONE") or "")
