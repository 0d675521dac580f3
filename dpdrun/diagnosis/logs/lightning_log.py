"""Lightning's `metrics.csv` (CSVLogger): a row per call of `log`, most cells empty, steps from 0.

Training loss, learning rate (LearningRateMonitor: lr-AdamW) and validation scores stand in rows of their own, so empty
cells are gaps. Norms come from a user's `self.log("grad_norm", ...)` or `grad_2.0_norm_total` of `grad_norm()`.
"""

from __future__ import annotations

from pathlib import Path

from dpdrun.diagnosis.logs import csv_log
from dpdrun.diagnosis.logs.log import RawLog
from dpdrun.diagnosis.logs.names import Asked

FORMAT = "Lightning metrics.csv"
FILE = "metrics.csv"
HEADER = frozenset({"epoch", "step"})


def is_one(path: Path, names: list[str]) -> bool:
    """Whether a CSV file is Lightning's."""
    return path.name == FILE and set(names) >= HEADER


def read(path: Path, asked: Asked) -> RawLog:
    """Read it. Raises DataError as `csv_log.read`."""
    return csv_log.read(path, asked, format_=FORMAT, known={"step": "step"}, empty="gap")
