"""NumPy files: the arrays of an .npz, or the array of an .npy. Nothing is ever unpickled."""

from __future__ import annotations

import math
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from dpdrun.data.checks import check_finite, check_samples
from dpdrun.data.formats._reading import require_declared, require_memory
from dpdrun.data.signals import Contents, Variable, contents_of
from dpdrun.errors import DataError, reading

ZIP, NPY = b"PK", b"\x93NUMPY"  # how the files begin
PICKLED = "it holds pickled Python objects, which are never loaded; save plain numeric arrays"


def read_npz(path: Path, where: str) -> Contents:
    """List the arrays of an .npz file.

    Raises:
        DataError: not such a file, or damaged.
    """
    variables: list[Variable] = []
    others: list[str] = []
    with reading(where, ".npz"), zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        arrays = [name for name in members if name.endswith(".npy")]
        if not arrays:
            what = (
                "a spreadsheet: export it as CSV" if any(name.startswith("xl/") for name in members) else "no .npz file"
            )
            raise DataError(f"{where}: a zip archive without arrays, {what}")
        for member in arrays:
            name = member.removesuffix(".npy")
            with archive.open(member) as file:
                shape, _, dtype = read_header(file)
            if dtype.hasobject:
                others.append(f"{name}: pickled Python objects, which are never loaded; save plain numeric arrays")
            elif dtype.kind not in "fciu":
                others.append(f"{name}: of type {dtype}, not numbers")
            else:
                nbytes = math.prod(shape) * dtype.itemsize
                require_declared(nbytes, members[member].file_size, f"{where}, array {name}")
                variables.append(
                    Variable(name, shape, str(dtype.newbyteorder("=")), partial(_member, path, where, name))
                )
    return contents_of("npz", variables, where, others=tuple(others))


def read_npy(path: Path, where: str) -> Contents:
    """Return the array of an .npy file.

    Raises:
        DataError: damaged, or it holds no numbers.
    """
    with reading(where, ".npy"), path.open("rb") as file:
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise DataError(f"{where}: cannot be read as .npy: {PICKLED}")
        if dtype.kind not in "fciu":
            raise DataError(f"{where}: holds {dtype}, not numbers")
        require_declared(math.prod(shape) * dtype.itemsize, path.stat().st_size - file.tell(), where)
    one = Variable(path.name, shape, str(dtype.newbyteorder("=")), lambda: load_array(path, where))
    return contents_of("npy", [one], where)


def _member(path: Path, where: str, name: str) -> NDArray[Any]:
    with reading(where, ".npz"), zipfile.ZipFile(path) as archive:
        require_memory(2 * archive.getinfo(f"{name}.npy").file_size, f"{where}, array {name}")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            return np.asarray(content[name])


def load_array(path: Path, where: str) -> NDArray[Any]:
    """Load the array of a .npy file. Raises DataError: not such a file, or pickled objects."""
    content = _load(path, where, ".npy")
    if isinstance(content, dict):
        raise DataError(f"{where}: holds an archive, not a single array; name it .npz")
    return content


def load_arrays(path: Path, where: str) -> dict[str, NDArray[Any]]:
    """Load all arrays of a .npz file. Raises DataError: not such a file, or pickled objects."""
    content = _load(path, where, ".npz")
    if not isinstance(content, dict):
        raise DataError(f"{where}: holds a single array, not an archive; name it .npy")
    return content


def _load(path: Path, where: str, kind: str) -> NDArray[Any] | dict[str, NDArray[Any]]:
    with reading(where, kind), path.open("rb") as file:  # np.load leaves a file open that it opened and found broken
        if file.read(len(ZIP)) == ZIP:
            contents = read_npz(path, where)
            return {each.name: each.load() for each in contents.variables}
        file.seek(0)
        if file.read(len(NPY)) == NPY:
            read_npy(path, where)  # its header, before memory is taken
        file.seek(0)
        try:
            return np.asarray(np.load(file, allow_pickle=False))
        except ValueError as error:
            raise (
                DataError(f"{where}: cannot be read as {kind}: {PICKLED}") if "pickle" in str(error) else error
            ) from None


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, order (True: columns first, Fortran) and type of an array in NumPy's format.

    Raises:
        ValueError: another version of the format, or damaged.
    """
    version = npy.read_magic(stream)
    if version == (1, 0):
        return npy.read_array_header_1_0(stream)
    if version == (2, 0):
        return npy.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of NumPy's format is not read")


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
