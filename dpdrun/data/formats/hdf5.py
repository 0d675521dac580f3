"""HDF5 files, and MATLAB v7.3, which is HDF5: datasets by path; complex as a compound of two numbers.

Links into other files are never followed, nor is data outside of the file read; a declared size is compared with what
the file stores before memory is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import EXPANSION, library, require_memory
from dpdrun.data.signals import Contents, Variable, contents_of
from dpdrun.errors import DataError, reading

MAX_DEPTH = 6
MAX_ITEMS = 10_000
REAL_NAMES = {"real": "imag", "r": "i", "re": "im", "i": "q"}  # lower case: field of the real part -> imaginary
REFERENCES = "#refs#", "#subsystem#"  # what MATLAB's objects and cells are made of
INSTEAD = "save x and y as plain arrays"


def read_hdf5(path: Path, where: str) -> Contents:
    """List the datasets of an HDF5 file; groups are read as structs, their names joined by points.

    Raises:
        DataError: h5py is missing, or the file is damaged.
    """
    h5py = library("h5py", "h5py", where, "HDF5 and MATLAB v7.3")
    variables: list[Variable] = []
    others: list[str] = []
    matlab = False
    with reading(where, "HDF5"), h5py.File(path, "r") as file:
        for name, dataset in _datasets(file, h5py, "", 0, others, [0]):
            matlab = matlab or "MATLAB_class" in dataset.attrs
            found = _variable(path, where, name, dataset, others)
            if found is not None:
                variables.append(found)
        for name in ("sample_rate", "sample_rate_hz", "fs", "bandwidth_hz", "center_frequency"):
            value = file.attrs.get(name)
            if value is not None and np.size(value) == 1 and np.asarray(value).dtype.kind in "fiu":
                variables.append(Variable(name, (), "float64", partial(np.asarray, value)))
    return contents_of("MATLAB v7.3" if matlab else "HDF5", variables, where, others=tuple(others))


def _datasets(
    group: Any, h5py: Any, prefix: str, depth: int, others: list[str], seen: list[int]
) -> Iterator[tuple[str, Any]]:
    """Yield (name, dataset) of a group and of the groups in it; no link is followed."""
    for key in group:
        seen[0] += 1
        if seen[0] > MAX_ITEMS:
            raise DataError(f"{group.file.filename}: more than {MAX_ITEMS:,} items; this is no capture")
        if not prefix and key in REFERENCES:
            continue
        name = f"{prefix}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            others.append(f"{name}: a link, which is not followed")
            continue
        item = group[key]
        if isinstance(item, h5py.Dataset):
            yield name, item
        elif (
            isinstance(item, h5py.Group) and set(item) == {"type", "value"} and isinstance(item["value"], h5py.Dataset)
        ):
            yield name, item["value"]  # a variable as GNU Octave writes it
        elif isinstance(item, h5py.Group) and depth < MAX_DEPTH:
            yield from _datasets(item, h5py, f"{name}.", depth + 1, others, seen)


def _variable(path: Path, where: str, name: str, dataset: Any, others: list[str]) -> Variable | None:
    """Return a dataset as a variable; None, and why in `others`, where it holds no numbers."""
    matlab_class = dataset.attrs.get("MATLAB_class", b"")
    matlab_class = matlab_class.decode("latin-1") if isinstance(matlab_class, bytes) else str(matlab_class)
    if dataset.attrs.get("MATLAB_empty", 0) or matlab_class == "char":
        return None
    if dataset.external or dataset.is_virtual:
        others.append(f"{name}: its samples are in another file, which is not read")
        return None
    parts = _complex_fields(dataset.dtype)
    if "MATLAB_object_decode" in dataset.attrs or (dataset.dtype.kind not in "fciu" and parts is None):
        kind = matlab_class or str(dataset.dtype)
        others.append(f"{name}: {'a MATLAB ' if matlab_class else 'of type '}{kind}; {INSTEAD}")
        return None
    if dataset.shape is None:
        return None
    inside = f"{where}, {name}"
    nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    if nbytes > stored * (EXPANSION if dataset.chunks else 1):
        raise DataError(
            f"{inside}: declares {nbytes:,} bytes of samples, but the file has {stored:,}: it is incomplete; "
            "copy it again"
        )
    kind = f"complex{8 * dataset.dtype.itemsize}" if parts else str(dataset.dtype.newbyteorder("="))

    def load() -> NDArray[Any]:
        import h5py  # read_hdf5 has checked that it is there

        require_memory(max(32 * math.prod(dataset_shape), nbytes), inside)
        with reading(where, "HDF5"), h5py.File(path, "r") as file:
            item = file[key]
            array = np.asarray(item[()])
        return array[parts[0]] + 1j * array[parts[1]] if parts else array

    key, dataset_shape = dataset.name, tuple(dataset.shape)
    return Variable(name, dataset_shape, kind, load)


def _complex_fields(dtype: np.dtype[Any]) -> tuple[str, str] | None:
    """Return the names of real and imaginary part of a compound type."""
    if dtype.names is None or len(dtype.names) != 2:
        return None
    lower = {name.lower(): name for name in dtype.names}
    for real, imaginary in REAL_NAMES.items():
        if set(lower) == {real, imaginary} and all(dtype[name].kind in "fiu" for name in dtype.names):
            return lower[real], lower[imaginary]
    return None
