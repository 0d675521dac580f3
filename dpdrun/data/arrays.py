"""Captures from Python: of arrays, or loaded with settings of a recipe; and the file in which a run keeps arrays."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dpdrun.data.capture import Capture, SourceRecord
from dpdrun.data.checks import make_part
from dpdrun.data.formats.numpy_file import as_pairs, to_samples
from dpdrun.data.sources import capture_of_record, load_capture
from dpdrun.errors import DataError, reason_of
from dpdrun.recipe.mapping import section_from
from dpdrun.recipe.schema import GIVEN, DataSection
from dpdrun.run.files import replacing

NAME = "arrays"  # of a capture that was made of arrays


def capture_of_arrays(x: ArrayLike, y: ArrayLike, settings: Mapping[str, Any]) -> Capture:
    """Make a capture of arrays; arguments and errors as `Capture.from_arrays`, the settings by field of `data`."""
    section = section_from(DataSection, {"source": GIVEN, **settings}, "Capture.from_arrays", "")
    record = make_part(to_samples(array_of(x, "x"), "x"), to_samples(array_of(y, "y"), "y"), "x", "y")
    reading = SourceRecord(NAME, (record,), note="Arrays that were passed from Python.")
    return replace(capture_of_record(reading, section), record=record)


def load_with(source: str | os.PathLike[str] | Mapping[str, Any], settings: Mapping[str, Any]) -> Capture:
    """Load a capture; arguments and errors as `Capture.load`."""
    return load_capture(section_from(DataSection, {"source": source, **settings}, "Capture.load", "data."))


def array_of(values: ArrayLike, name: str) -> NDArray[Any]:
    """Return values as an array. Raises DataError where they are none, not on the CPU, or masked."""
    if np.ma.is_masked(values):
        count = np.count_nonzero(np.ma.getmask(values))
        raise DataError(f"{name}: {count:,} values are masked; a record has no gaps, so cut it there")
    try:
        array = np.asarray(values)
    except Exception as error:  # whatever a container of another package raises
        hint = ""
        if hasattr(values, "detach"):  # a tensor
            hint = f"; pass {name}.detach().cpu().numpy()"
        raise DataError(f"{name}: cannot be made an array of numbers: {reason_of(error)}{hint}") from None
    return array


def signal_of(values: ArrayLike, name: str) -> NDArray[np.complex128]:
    """Return a signal of any length from one sample up, (N,) complex128.

    Args:
        values: (N,) complex, or (N, 2) real = I, Q.
        name: for messages.

    Raises:
        DataError: of another shape or type, empty, NaN or Inf.
    """
    pairs = as_pairs(array_of(values, name), name)
    if not len(pairs):
        raise DataError(f"{name}: no samples")
    return np.asarray(pairs[:, 0] + 1j * pairs[:, 1], np.complex128)


def stored(capture: Capture, path: Path) -> DataSection:
    """Return the `data` section that gives a capture again; one of arrays is to be kept in the file `path`.

    Raises:
        DataError: it was assembled by hand, so that nothing says where its samples come from.
    """
    if capture.section is None:
        raise DataError(
            f"capture: {capture.name} was assembled by hand, so a run could not find its samples again; make it with "
            "Capture.from_arrays or Capture.load"
        )
    if capture.record is None:
        return capture.section
    return capture.section.model_copy(update={"source": str(path.absolute())})


def store(capture: Capture, path: Path) -> None:
    """Write the arrays of a capture into a .npz file, if it is made of arrays. Raises UnwritableError."""
    if capture.record is None:
        return
    rate_hz = capture.sample_rate_hz if capture.resampling is None else capture.resampling.from_hz
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, x=capture.record.x, y=capture.record.y, sample_rate_hz=np.float64(rate_hz))
