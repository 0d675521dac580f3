"""Read a prediction and its target from files, for `dpdrun diagnose --prediction P --target Y`.

The files are those that `dpdrun apply` reads and writes: CSV with columns I,Q, .npy, .npz, or raw float32 I,Q. A file
that holds an input and an output (I,Q,I_out,Q_out; arrays x and y) counts as its output, and its input is used too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.checks import check_samples
from dpdrun.data.formats.csv_text import read_columns
from dpdrun.data.formats.numpy_file import load_array, load_arrays, to_samples
from dpdrun.data.formats.waveform import RAW, format_of
from dpdrun.data.formats.waveform_reader import read_waveform
from dpdrun.errors import DataError

Samples = NDArray[np.complex128]

OUTPUT_COLUMNS = (("I_out", "Q_out"), ("I", "Q"))
OUTPUT_KEYS = ("y", "output", "prediction", "target", "x", "input")  # the first that a .npz has
INPUT_KEYS = ("x", "input")
HEADER_BYTES = 4096
_File = tuple[Samples, Samples | None]  # the output in a file, and the input next to it


@dataclass(frozen=True, eq=False)
class SignalPair:
    """A prediction, its target, and the input of the model where a file has it: (N,) complex128 each."""

    prediction: Samples
    target: Samples
    x: Samples | None


def read_signal_pair(prediction: Path, target: Path, x: Path | None = None) -> SignalPair:
    """Read two or three files of equal length.

    Args:
        x: the input; without it the one that stands in one of the other files, if any.

    Raises:
        DataError: a file is missing, not readable, silent or too short, or the lengths differ; names file and place.
    """
    (p, x_of_p), (y, x_of_y) = _read(prediction), _read(target)
    given = None if x is None else _read(x, as_input=True)[0]
    inputs = next((side for side in (given, x_of_y, x_of_p) if side is not None), None)
    named = [(prediction, len(p)), (target, len(y))]
    named += [] if x is None or given is None else [(x, len(given))]
    if len({count for _, count in named}) > 1:
        raise DataError(
            f"unequal lengths: {', '.join(f'{path} has {count:,} samples' for path, count in named)}; sample n of each "
            "must belong to the same instant: cut the longer ones, or predict the complete record"
        )
    return SignalPair(p, y, inputs if inputs is not None and len(inputs) == len(y) else None)


def _read(path: Path, *, as_input: bool = False) -> _File:
    suffix = format_of(path)
    if suffix in RAW:
        samples = read_waveform(path)
        check_samples(samples, str(path), ("I", "Q"))
        return samples, None
    try:
        if suffix == ".csv":
            return _of_csv(path, as_input=as_input)
        if suffix == ".npy":
            return to_samples(load_array(path, str(path)), str(path)), None
        return _of_npz(load_arrays(path, str(path)), str(path), as_input=as_input)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _of_csv(path: Path, *, as_input: bool) -> _File:
    data, name = path.read_bytes(), str(path)
    names = {cell.strip().strip('"') for cell in _header(data).split(",")}
    output = ("I", "Q") if as_input or not set(OUTPUT_COLUMNS[0]) <= names else OUTPUT_COLUMNS[0]
    x = None
    if output == OUTPUT_COLUMNS[0] and {"I", "Q"} <= names:
        x = to_samples(read_columns(data, name, ("I", "Q")), name)
    return to_samples(read_columns(data, name, output), name), x


def _header(data: bytes) -> str:
    return data[:HEADER_BYTES].decode("utf-8-sig", errors="replace").replace("\r", "\n").partition("\n")[0]


def _of_npz(arrays: dict[str, NDArray[Any]], name: str, *, as_input: bool) -> _File:
    keys = INPUT_KEYS if as_input else OUTPUT_KEYS
    key = next((key for key in keys if key in arrays), None)
    if key is None:
        raise DataError(f"{name}: needs one of the arrays {', '.join(keys)}; has {', '.join(arrays) or 'none'}")
    x_key = None if as_input or key in INPUT_KEYS else next((k for k in INPUT_KEYS if k in arrays), None)
    x = None if x_key is None else to_samples(arrays[x_key], f"{name}, array {x_key}")
    return to_samples(arrays[key], f"{name}, array {key}"), x
