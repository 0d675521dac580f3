"""One waveform, in or out: what `dpdrun apply` reads and writes. Any length is legal, also a few samples."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.checks import check_scale, missing
from dpdrun.data.csv_text import read_columns
from dpdrun.data.numpy_pair import as_pairs
from dpdrun.errors import DataError
from dpdrun.runlog import replacing

SUFFIXES = (".csv", ".npy", ".npz")
KEYS = ("x", "input")  # of the array in an .npz, as in a capture


def format_of(path: Path, named: str = "the file") -> str:
    """The suffix of a file of samples, one of SUFFIXES; `named` is what a folder should have been.

    Raises:
        DataError: a folder, no such file, or another format.
    """
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name {named} in it ({', '.join(SUFFIXES)})")
    if not path.is_file():
        raise missing(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: {suffix or 'a file without a suffix'} is not read; give one of {', '.join(SUFFIXES)}")
    return suffix


def read_waveform(path: Path) -> NDArray[np.complex128]:
    """A waveform (N,): a CSV with columns I,Q, a .npy, or the array x (or input) of an .npz.

    Arrays are complex (N,) or real (N, 2) = I, Q; nothing is ever unpickled.

    Raises:
        DataError: no such file, another format, no samples, or a sample that is not finite; names row and column.
    """
    suffix = format_of(path, "the waveform file")
    try:
        if suffix == ".csv":
            pairs = read_columns(path.read_bytes(), str(path), ("I", "Q"))
            return _complex(pairs, str(path))
        return _read_numpy(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = "it holds pickled Python objects, which are never loaded" if "pickle" in str(error) else str(error)
        raise DataError(f"{path}: cannot be read: {reason or type(error).__name__}") from None


def _read_numpy(path: Path) -> NDArray[np.complex128]:
    with path.open("rb") as handle:  # numpy itself leaves a damaged archive open
        loaded = np.load(handle, allow_pickle=False)
        if isinstance(loaded, np.ndarray):  # what the file is, whatever its suffix says
            return _samples(loaded, str(path))
        key = next((key for key in KEYS if key in loaded.files), None)
        if key is None:
            raise DataError(f"{path}: needs an array named x (or input), has {', '.join(loaded.files) or 'none'}")
        return _samples(loaded[key], f"{path}, array {key}")


def _samples(array: NDArray[Any], where: str) -> NDArray[np.complex128]:
    """A complex (N,) or real (N, 2) array as (N,) complex128.

    Less strict than `numpy_pair.to_samples`: a waveform need not be enough to train on, nor have both I and Q.
    """
    pairs = as_pairs(array, where)
    if len(pairs) == 0:
        raise DataError(f"{where}: no samples")
    return _complex(pairs, where)


def _complex(pairs: NDArray[np.float64], where: str) -> NDArray[np.complex128]:
    samples = np.asarray(pairs[:, 0] + 1j * pairs[:, 1], np.complex128)
    if np.any(samples):
        check_scale(samples, where)
    return samples


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse an output file before work begins.

    Raises:
        DataError: unknown suffix, no such folder or one that cannot be written, or the file is there and not `force`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(SUFFIXES)}")
    folder = path.parent
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{path}: {folder} is a file, not a folder")
    if not folder.is_dir():
        raise missing(folder)
    if path.is_dir():
        raise DataError(f"{path}: this is a folder; name a file to write")
    if path.exists() and not force:
        raise DataError(f"{path}: exists; give --force to overwrite it")
    if not os.access(folder, os.W_OK):
        raise DataError(f"{path}: no permission to write to {folder.resolve()}")


def write_pair(path: Path, x: NDArray[np.complex128], y: NDArray[np.complex128]) -> None:
    """Write input and output of a model, both (N,): CSV columns I,Q,I_out,Q_out; .npz arrays x and y; .npy y alone.

    Raises:
        RunError: the disk is full or the folder cannot be written; what was at `path` is still there.
    """
    with replacing(path) as temporary, temporary.open("wb") as handle:
        if path.suffix.lower() == ".csv":
            columns = np.column_stack([x.real, x.imag, y.real, y.imag])
            np.savetxt(handle, columns, delimiter=",", header="I,Q,I_out,Q_out", comments="", fmt="%.9g")
        elif path.suffix.lower() == ".npy":
            np.save(handle, y)
        else:
            np.savez(handle, x=x, y=y)
