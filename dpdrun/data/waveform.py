"""One waveform, in or out: what `dpdrun apply` reads and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.checks import missing
from dpdrun.data.csv_text import read_columns
from dpdrun.data.numpy_pair import to_samples
from dpdrun.errors import DataError
from dpdrun.runlog import replacing

SUFFIXES = (".csv", ".npy", ".npz")


def read_waveform(path: Path) -> NDArray[np.complex128]:
    """A waveform (N,): a CSV with columns I,Q, a .npy, or the array x (or input) of an .npz.

    Raises:
        DataError: no such file, another format, or bad samples; names row and column.
    """
    if not path.is_file():
        raise missing(path)
    suffix = path.suffix.lower()
    if suffix == ".csv":
        pairs = read_columns(path.read_bytes(), str(path), ("I", "Q"))
        return np.asarray(pairs[:, 0] + 1j * pairs[:, 1])
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: {suffix or 'a file without a suffix'} is not read; give one of {', '.join(SUFFIXES)}")
    try:
        loaded = np.load(path, allow_pickle=False)
        if suffix == ".npy":
            return to_samples(loaded, str(path))
        with loaded as archive:
            key = next((key for key in ("x", "input") if key in archive.files), None)
            if key is None:
                raise DataError(f"{path}: needs an array named x (or input), has {', '.join(archive.files) or 'none'}")
            return to_samples(archive[key], f"{path}, array {key}")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from None


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse an output file before work begins: unknown suffix, no such folder, or taken and not `force`."""
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path}: cannot write {path.suffix or 'a file without a suffix'}; use {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise missing(path.parent)
    if path.exists() and not force:
        raise DataError(f"{path}: exists; give --force to overwrite it")


def write_pair(path: Path, x: NDArray[np.complex128], y: NDArray[np.complex128]) -> None:
    """Write input and output of a model: CSV columns I,Q,I_out,Q_out; .npz arrays x and y; .npy y alone."""
    with replacing(path) as temporary, temporary.open("wb") as handle:
        if path.suffix.lower() == ".csv":
            columns = np.column_stack([x.real, x.imag, y.real, y.imag])
            np.savetxt(handle, columns, delimiter=",", header="I,Q,I_out,Q_out", comments="", fmt="%.9g")
        elif path.suffix.lower() == ".npy":
            np.save(handle, y)
        else:
            np.savez(handle, x=x, y=y)
