"""Checks that every record passes, whatever its format. Each failure names file, row and column."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part, UnequalPart
from dpdrun.errors import DataError
from dpdrun.recipe.problems import closest
from dpdrun.run.files import is_there

MIN_SAMPLES = 1000
SHOWN_NAMES = 12
SMALLEST_PEAK, LARGEST_PEAK = 1e-30, 1e30  # float32 ends at 1.2e-38 and 3.4e38; the rest is room for gain


def check_samples(samples: NDArray[np.complex128], where: str, columns: tuple[str, str]) -> None:
    """Raise DataError for an unusable record: too short, all zero, I or Q missing, absurdly scaled.

    Args:
        samples: (N,) complex, finite.
        where: file or array, for the message.
        columns: names of the real and the imaginary column.
    """
    if len(samples) == 0:
        raise DataError(f"{where}: no samples")
    if len(samples) < MIN_SAMPLES:
        raise DataError(f"{where}: {len(samples):,} samples are too few for a model (need {MIN_SAMPLES:,})")
    if not np.any(samples):
        raise DataError(f"{where}: all samples are zero (columns {columns[0]}, {columns[1]})")
    for column, values in zip(columns, (samples.real, samples.imag), strict=True):
        if not np.any(values):
            raise DataError(
                f"{where}: column {column} is all zero, so the signal is not a complex envelope; "
                "export both I and Q of the baseband signal"
            )
    check_scale(samples, where)


def check_scale(samples: NDArray[np.complex128], where: str) -> None:
    """Raise DataError for samples that float32 cannot hold. samples: (N,), finite, not all zero."""
    largest = float(max(np.max(np.abs(samples.real)), np.max(np.abs(samples.imag))))
    if not SMALLEST_PEAK <= largest <= LARGEST_PEAK:
        raise DataError(
            f"{where}: samples of up to {largest:g} cannot be held in single precision, which training uses; "
            f"divide the record by {largest:.0e}, so that its level is about 1"
        )


def check_finite(
    values: NDArray[np.float64], where: str, columns: tuple[str, ...], *, row_word: str, first: int
) -> None:
    """Raise DataError at the first NaN or Inf.

    Args:
        values: (N, C) float, one column a name of `columns`.
        row_word: what a row is called in this format ("row", "sample").
        first: number of the first row, as the user would count it.
    """
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    row, column = (int(i) for i in np.argwhere(bad)[0])
    count = int(bad.any(axis=1).sum())
    more = f" ({count:,} such {row_word}s)" if count > 1 else ""
    raise DataError(
        f"{where}, {row_word} {row + first}, column {columns[column]}: {values[row, column]} is not a number that "
        f"can be trained on{more}; cut the record before it or measure again"
    )


def make_part(x: NDArray[np.complex128], y: NDArray[np.complex128], where_x: str, where_y: str) -> Part:
    """Pair input and output; of unequal lengths as an `UnequalPart`, which only alignment takes."""
    if len(x) == len(y):
        return Part(x, y)
    message = (
        f"unequal lengths: {where_x} has {len(x):,} samples and {where_y} has {len(y):,}; "
        "input and output must be sampled at the same instants"
    )
    return UnequalPart(x, y, message=message)


def require_equal_lengths(records: Iterable[Part]) -> None:
    """Raise DataError where input and output of a record are of unequal lengths."""
    for record in records:
        if isinstance(record, UnequalPart):
            raise DataError(f"{record.message}; data.align: auto (or `dpdrun data align`) cuts both to what they share")


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the closest known name, or nothing."""
    close = closest(wrong, known)
    return f"; did you mean {close!r}?" if close else ""


def special(where: object) -> DataError:
    """Return the error for a pipe, a socket or a device."""
    return DataError(f"{where}: a pipe or a device, no file; write what comes out of it into a file, and name that")


def missing(path: Path, label: str | None = None) -> DataError:
    """Return the error for a path that does not exist, with a close name or what is there instead."""
    shown = label or str(path)
    parent = path.parent
    while not is_there(parent) and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        return DataError(f"{shown}: no such file or folder")
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in parent.iterdir() if not p.name.startswith("."))
    if parent == path.parent:
        hint = suggestion(path.name, [n.rstrip("/") for n in names])
        if hint:
            here = "" if Path(shown).is_absolute() else f" (the current folder is {Path.cwd()})"
            return DataError(f"{shown}: no such file or folder{hint}{here}")
    if parent == Path(parent.anchor):  # a list of /bin, /boot, /dev ... does not help
        return DataError(f"{shown}: no such file or folder")
    there = ", ".join(names[:SHOWN_NAMES]) + (f", ... ({len(names)} in all)" if len(names) > SHOWN_NAMES else "")
    return DataError(f"{shown}: no such file or folder; {parent.resolve()} has: {there or 'nothing'}")
