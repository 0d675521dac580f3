"""TensorBoard event files (`events.out.tfevents.*`): the scalars of one run, through the package `tensorboard`.

Read event by event: TensorBoard's own `EventAccumulator` keeps a random sample of 10,000 values a tag unless told
otherwise. Several files of one folder are one run that was resumed, in the order of their names, which begin with the
time of their start.
"""

from __future__ import annotations

import logging
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, choose_columns
from dpdrun.diagnosis.logs.rows import points
from dpdrun.errors import DataError, reading, visible

FORMAT = "TensorBoard events"
PATTERN = "*.tfevents.*"
SCALARS = "scalars"
LONGEST_RECORD = 1 << 28  # bytes; images and graphs are smaller


def read(path: Path, asked: Asked) -> TrainingLog:
    """Read an event file, or the event files of a folder.

    Raises:
        DataError: tensorboard is not installed, the file is damaged, or it holds no scalars.
    """
    files = sorted(filter(Path.is_file, path.glob(PATTERN)), key=_written) if path.is_dir() else [path]
    series: dict[str, list[tuple[int, float]]] = {}
    for file in files:
        for tag, step, value in _scalars(file):
            series.setdefault(visible(tag), []).append((step, value))
    if not series:
        raise NothingLoggedError(f"{path}: no scalars in {len(files)} event file(s): nothing has been logged yet")
    asked_steps = asked.columns.pop("step", None)
    chosen = choose_columns(sorted(series), asked, path)
    log = TrainingLog(FORMAT, path, names=sorted(series), notes=list(chosen.notes), absent=dict(chosen.absent))
    for key, tag in chosen.columns.items():
        if key != "step":  # every event carries its step; a tag such as `epoch` is another scalar
            log.columns[key], log.found[key] = points(series[tag]), tag
    if asked_steps:
        log.notes.append(f"step={asked_steps}: ignored, because every event has its step")
    if len(files) > 1:
        log.notes.append(f"{len(files)} event files are read as one resumed run")
    return log


def _written(path: Path) -> list[str | int]:
    """Return a key that sorts files by their start: seconds, then a count of writers, plain numbers in the name."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _scalars(path: Path) -> Iterator[tuple[str, int, float]]:
    """Yield tag, step and value of each scalar, in the order they were written."""
    try:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
        from tensorboard.util import tensor_util
    except ImportError:
        raise DataError(
            f"{path}: reading TensorBoard events needs the package tensorboard: pip install 'dpdrun[tensorboard]'"
        ) from None
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    if not path.is_file() or path.stat().st_size == 0:
        return
    _require_lengths(path)
    with reading(path, "an event file"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name != SCALARS:
                    continue
                # before memory is taken for a shape that promises more than one number
                is_one = math.prod(each.size for each in value.tensor.tensor_shape.dim) == 1
                number = float(tensor_util.make_ndarray(value.tensor).item()) if is_one else math.nan
                yield value.tag, int(event.step), number


def _require_lengths(path: Path) -> None:
    """Raise DataError where a record claims to be longer than any that a logger writes, before memory is taken for it.

    A record is its length (8 bytes), a checksum (4), the data, and a checksum (4); the last one may be incomplete.
    Source: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head, "little")
            if length > LONGEST_RECORD and file.tell() + length > size:
                raise DataError(f"{path}: damaged event file: a record of {length:,} bytes in a file of {size:,}")
            file.seek(length + 8, os.SEEK_CUR)
