"""The process in which the HDF5 library reads a file: `python -m dpdrun.data.formats.hdf5_process`.

The library is C, and damaged files corrupt its memory (`make fuzz`): `hdf5` starts this process for a file, limited in
memory and time, and reads its reply. It imports h5py, NumPy and `errors` only, so that it starts quickly.

Request, on standard input, as JSON: path, where (its name in messages), key (of the dataset to read; null: list all),
budget (bytes). Reply, on standard output: a line of JSON, `error` or `format`, `others` and `variables`, then the
samples of each variable that has `here`, their type. A list brings the samples of the smallest datasets with it, as far
as the budget goes: a capture of usual size takes one process.

Links into other files are never followed, nor is data outside of the file read; a declared size is compared with what
the file stores before memory is taken.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import EXPANSION, joined, library
from dpdrun.errors import DataError, reading

MAX_DEPTH = 6
MAX_ITEMS = 10_000
REAL_NAMES = {"real": "imag", "r": "i", "re": "im", "i": "q"}  # lower case: field of the real part -> imaginary
REFERENCES = "#refs#", "#subsystem#"  # what MATLAB's objects and cells are made of
INSTEAD = "save x and y as plain arrays"
SETTINGS = ("sample_rate", "sample_rate_hz", "fs", "bandwidth_hz", "center_frequency")  # attributes of the file

BASE_BYTES = 1 << 30  # address space of Python, NumPy, h5py and the metadata of a file
SAMPLE_BYTES = 16  # of a complex sample, which a real one may become
COPIES = 4  # of what is read: stored, unpacked, converted, joined to complex numbers
BASE_S, BYTES_PER_S = 60, 1 << 20  # for the slowest disk


def main() -> None:
    """Answer one request, then end at once: the library may crash when it closes a file that damaged its memory."""
    request = json.load(sys.stdin.buffer)
    limit(request["budget"])
    try:
        for part in answer(**request):
            sys.stdout.buffer.write(part)
    except DataError as error:
        sys.stdout.buffer.write(json.dumps({"error": str(error)}).encode() + b"\n")
    sys.stdout.buffer.flush()
    os._exit(0)


def limit(budget: int) -> None:
    """Limit this process: no file written, no core dumped, memory and time for `budget` bytes of samples."""
    with suppress(ImportError, AttributeError):  # as on Windows
        import resource

        for kind, most in (
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, BASE_BYTES + COPIES * budget),
        ):
            hard = resource.getrlimit(kind)[1]
            with suppress(OSError, ValueError):  # macOS refuses a limit of the address space
                most = most if hard == resource.RLIM_INFINITY else min(most, hard)
                resource.setrlimit(kind, (most, most))
        signal.alarm(BASE_S + budget // BYTES_PER_S)  # ends C code too


def answer(path: str, where: str, key: str | None, budget: int) -> Iterator[memoryview | bytes]:
    """Yield the reply to a request: its line, then samples.

    Raises:
        DataError: h5py is missing, or the file is damaged.
    """
    library("h5py", "h5py", where, "HDF5 and MATLAB v7.3")
    import h5py

    with np.errstate(all="ignore"), reading(where, "HDF5"), h5py.File(path, "r") as file:
        if key is None:
            format_, others, entries, readers = _listed(file, where)
        else:
            format_, others, entries = "", [], [{"name": "", "key": key, "kind": "", "bytes": 0, "shape": ()}]
            readers = [partial(_samples, file[key])]
        arrays: dict[int, NDArray[Any]] = {}
        for at in sorted(range(len(entries)), key=lambda at: int(entries[at]["bytes"])):
            budget -= max(entries[at]["bytes"], SAMPLE_BYTES * math.prod(entries[at]["shape"]))
            if budget < 0:
                break
            with suppress(Exception) if key is None else nullcontext():  # reported when the dataset is needed
                arrays[at] = np.asarray(readers[at](), order="C")
                entries[at] |= {"here": arrays[at].dtype.str, "shape": arrays[at].shape}
    yield json.dumps({"format": format_, "others": others, "variables": entries}).encode() + b"\n"
    for at in sorted(arrays):
        yield arrays[at].reshape(-1).view(np.uint8).data


def _listed(file: Any, where: str) -> tuple[str, list[str], list[dict[str, Any]], list[Callable[[], NDArray[Any]]]]:
    """Return the format of a file, what cannot be a signal, its variables, and what reads each of them."""
    entries: list[dict[str, Any]] = []
    readers: list[Callable[[], NDArray[Any]]] = []
    others: list[str] = []
    matlab = False
    for name, dataset in _datasets(file, where, "", 0, others, [0]):
        matlab = matlab or "MATLAB_class" in dataset.attrs
        entry = _entry(where, name, dataset, others)
        if entry is not None:
            entries.append(entry)
            readers.append(partial(_samples, dataset))
    for name in SETTINGS:
        value = file.attrs.get(name)
        if value is not None and np.size(value) == 1 and np.asarray(value).dtype.kind in "fiu":
            entries.append({"name": name, "key": "", "shape": (), "kind": "float64", "bytes": 8})
            readers.append(partial(np.asarray, np.asarray(value, np.float64).reshape(())))
    return "MATLAB v7.3" if matlab else "HDF5", others, entries, readers


def _datasets(
    group: Any, where: str, prefix: str, depth: int, others: list[str], seen: list[int]
) -> Iterator[tuple[str, Any]]:
    """Yield (name, dataset) of a group and of the groups in it; no link is followed."""
    import h5py

    for key in group:
        seen[0] += 1
        if seen[0] > MAX_ITEMS:
            raise DataError(f"{where}: more than {MAX_ITEMS:,} items; this is no capture")
        if not prefix and key in REFERENCES:
            continue
        name = f"{prefix}{key}"
        item = _member(group, key)
        if item is None:
            others.append(f"{name}: a link, which is not followed")
        elif isinstance(item, h5py.Dataset):
            yield name, item
        elif (
            isinstance(item, h5py.Group)
            and set(item) == {"type", "value"}
            and isinstance(value := _member(item, "value"), h5py.Dataset)
        ):
            yield name, value  # a variable as GNU Octave writes it
        elif isinstance(item, h5py.Group) and depth < MAX_DEPTH:
            yield from _datasets(item, where, f"{name}.", depth + 1, others, seen)


def _member(group: Any, key: str) -> Any:
    """Return what a group contains by a name; None where that leads elsewhere: a link, or a path through one."""
    import h5py

    return group[key] if "/" not in key and isinstance(group.get(key, getlink=True), h5py.HardLink) else None


def _entry(where: str, name: str, dataset: Any, others: list[str]) -> dict[str, Any] | None:
    """Return a dataset as a variable of the reply; None, and why in `others`, where it holds no numbers."""
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
    nbytes = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = min(dataset.id.get_storage_size(), dataset.file.id.get_filesize())  # chunks may lie over each other
    if nbytes > stored * (EXPANSION if dataset.chunks else 1):
        raise DataError(
            f"{where}, {name}: declares {nbytes:,} bytes of samples, but the file has {stored:,}: it is incomplete; "
            "copy it again"
        )
    kind = f"complex{8 * dataset.dtype.itemsize}" if parts else str(dataset.dtype.newbyteorder("="))
    return {"name": name, "key": dataset.name, "shape": dataset.shape, "kind": kind, "bytes": nbytes}


def _samples(dataset: Any) -> NDArray[Any]:
    """Read the numbers of a dataset."""
    parts, array = _complex_fields(dataset.dtype), np.asarray(dataset[()])
    return joined(array[parts[0]], array[parts[1]]) if parts else array


def _complex_fields(dtype: np.dtype[Any]) -> tuple[str, str] | None:
    """Return the names of real and imaginary part of a compound type."""
    if dtype.names is None or len(dtype.names) != 2:
        return None
    lower = {name.lower(): name for name in dtype.names}
    for real, imaginary in REAL_NAMES.items():
        if set(lower) == {real, imaginary} and all(dtype[name].kind in "fiu" for name in dtype.names):
            return lower[real], lower[imaginary]
    return None


if __name__ == "__main__":
    main()
