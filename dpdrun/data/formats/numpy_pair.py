"""NumPy files: one .npz with both records, or two .npy files whose names differ in `input` and `output`.

    capture.npz             keys x, y (or input, output); sample_rate_hz and bandwidth_hz are optional scalars
    pa_input.npy            with pa_output.npy next to it; name the input file as the source
    folder/                 with input.npy and output.npy

Arrays are complex (N,) or real (N, 2) = I, Q. Nothing is ever unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import SourceRecord
from dpdrun.data.checks import check_finite, check_samples, make_part, missing
from dpdrun.errors import DataError

KEY_PAIRS = (("x", "y"), ("input", "output"))
SCALARS = ("sample_rate_hz", "bandwidth_hz")


def read_npz(path: Path, name: str) -> SourceRecord:
    """Read a .npz file with both records.

    Raises:
        DataError: missing keys, wrong shapes, not numbers, pickled objects.
    """
    arrays = load_arrays(path, name)
    pair = next((p for p in KEY_PAIRS if p[0] in arrays and p[1] in arrays), None)
    if pair is None:
        raise DataError(
            f"{name}: needs the arrays x and y (or input and output), has {', '.join(arrays) or 'none'}; "
            "write it with numpy.savez(path, x=..., y=..., sample_rate_hz=...)"
        )
    x, y = (to_samples(arrays[key], f"{name}, array {key}") for key in pair)
    rate, bandwidth = (_scalar(arrays[key], f"{name}, {key}") if key in arrays else None for key in SCALARS)
    part = make_part(x, y, f"{name}, array {pair[0]}", f"array {pair[1]}")
    return SourceRecord(name=name, records=(part,), sample_rate_hz=rate, bandwidth_hz=bandwidth, note="NumPy archive.")


def read_npy_pair(path: Path, name: str) -> SourceRecord:
    """Read two .npy files, found from the name of the input file.

    Args:
        path: a file whose name contains `input` (or `output`); its partner has the other word there.

    Raises:
        DataError: no partner, wrong shapes, not numbers.
    """
    if "input" in path.name:
        input_path, output_path = path, path.with_name(path.name.replace("input", "output"))
    elif "output" in path.name:
        input_path, output_path = path.with_name(path.name.replace("output", "input")), path
    else:
        raise DataError(
            f"{name}: one .npy holds one record; name the two files like pa_input.npy and pa_output.npy "
            "and give the first as the source"
        )
    sides = []
    for side in (input_path, output_path):
        if not side.exists():
            raise missing(side)
        sides.append(to_samples(load_array(side, str(side)), str(side)))
    return SourceRecord(
        name=name,
        records=(make_part(sides[0], sides[1], str(input_path), str(output_path)),),
        note=f"{input_path.name} and {output_path.name}.",
    )


def load_array(path: Path, name: str) -> NDArray[Any]:
    """Load the array of a .npy file.

    Raises:
        DataError: not such a file, or pickled objects.
    """
    content = _load(path, name, ".npy")
    if isinstance(content, dict):
        raise DataError(f"{name}: holds an archive, not a single array; name it .npz")
    return content


def load_arrays(path: Path, name: str) -> dict[str, NDArray[Any]]:
    """Load all arrays of a .npz file.

    Raises:
        DataError: not such a file, or pickled objects.
    """
    content = _load(path, name, ".npz")
    if not isinstance(content, dict):
        raise DataError(f"{name}: holds a single array, not an archive; name it .npy")
    return content


def _load(path: Path, name: str, kind: str) -> NDArray[Any] | dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:  # np.load leaves a file open that it opened and found broken
            content = np.load(file, allow_pickle=False)
            return content if isinstance(content, np.ndarray) else dict(content.items())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{name}: cannot be read as {kind}: {_reason(error)}") from None


def as_pairs(array: NDArray[Any], where: str, *, first: int = 0) -> NDArray[np.float64]:
    """Return a complex (N,) or real (N, 2) array as (N, 2) float64 = I, Q, all finite; `first` numbers sample 0.

    Raises:
        DataError: wrong shape or type, NaN or Inf; it names the sample.
    """
    if array.dtype.kind not in "fciu":
        raise DataError(f"{where}: holds {array.dtype}, not numbers")
    if array.dtype.kind == "c" and array.ndim == 1:
        pairs = np.stack([array.real, array.imag], axis=1).astype(np.float64)
    elif array.dtype.kind != "c" and array.ndim == 2 and array.shape[1] == 2:
        pairs = array.astype(np.float64)
    else:
        hint = ""
        if array.dtype.kind != "c" and array.ndim == 1:
            hint = " (real only: I without Q)"
        elif array.ndim == 2 and 1 in array.shape:
            hint = " (use .ravel())"
        elif array.ndim == 2 and array.shape[0] == 2:
            hint = " (use .T)"
        raise DataError(f"{where}: expected complex (N,) or real (N, 2) = I, Q, not {array.dtype} {array.shape}{hint}")
    check_finite(pairs, where, ("I", "Q"), row_word="sample", first=first)
    return pairs


def to_samples(array: NDArray[Any], where: str) -> NDArray[np.complex128]:
    """Return a complex (N,) or real (N, 2) array as (N,) complex128, checked.

    Raises:
        DataError: wrong shape or type, NaN or Inf, empty, all zero, one of I and Q missing.
    """
    pairs = as_pairs(array, where)
    samples = np.asarray(pairs[:, 0] + 1j * pairs[:, 1], np.complex128)
    check_samples(samples, where, ("I", "Q"))
    return samples


def _scalar(array: NDArray[Any], where: str) -> float:
    if array.size != 1 or array.dtype.kind not in "fiu" or not 0 < float(array.reshape(())) < 1e15:
        raise DataError(f"{where}: expected one positive number, not {array!r}")
    return float(array.reshape(()))


def _reason(error: Exception) -> str:
    text = str(error)
    if "pickle" in text:
        return "it holds pickled Python objects, which are never loaded; save plain numeric arrays"
    return text or type(error).__name__
