"""MATLAB files, versions 4 to 7, and what Octave and scipy write: variables, also in structs, and VSA recordings.

The list of variables is read here, from the headers alone ("MAT-File Format", MathWorks, R2024b): names, types and
sizes are checked against the file before scipy reads a variable. Version 7.3 is HDF5: see `hdf5`.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import EXPANSION, require_declared, require_memory
from dpdrun.data.signals import Contents, Variable, contents_of
from dpdrun.errors import DataError, reading, visible

V5_HEADER = 128
MATRIX, COMPRESSED = 14, 15
CLASSES = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function", 17: "object",
}  # fmt: skip
DTYPES = {"double": "float64", "single": "float32"}
COMPLEX_DTYPES = {"single": "complex64"}
NUMERIC = frozenset(range(6, 16))
HEADER_BYTES = 4096  # of a variable: type, dimensions, name
MAX_DEPTH = 4  # of structs in structs
INSTEAD = "save x and y as plain arrays"


@dataclass(frozen=True)
class _Entry:
    """One variable as its header declares it; `stored` bytes hold it, `packed` or not."""

    name: str
    kind: str
    shape: tuple[int, ...]
    is_complex: bool
    stored: int
    packed: bool


def read_matlab(path: Path, where: str) -> Contents:
    """List the variables of a MAT file, version 4 to 7.

    Raises:
        DataError: damaged, or a recording of real samples.
    """
    with reading(where, "MATLAB"):
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(V5_HEADER)
        is_v5 = head[126:128] in (b"IM", b"MI")
        entries = list(_entries_5(path, size, where) if is_v5 else _entries_4(path, size, where))
    variables: list[Variable] = []
    others: list[str] = []
    for entry in entries:
        if entry.kind == "struct":
            variables += _fields(_load(path, entry.name, where), entry.name, others)
        elif entry.kind in CLASSES.values() and entry.kind not in ("cell", "object", "char", "sparse", "function"):
            variables.append(_variable(path, entry, where))
        elif entry.kind != "char":
            others.append(f"{entry.name or '(no name)'}: a MATLAB {entry.kind}; {INSTEAD}")
    _refuse_real_recording(variables, where)
    version = "MATLAB v5-v7" if is_v5 else "MATLAB v4"
    return contents_of(version, variables, where, others=tuple(others))


def _variable(path: Path, entry: _Entry, where: str) -> Variable:
    name = DTYPES.get(entry.kind, entry.kind)
    dtype = COMPLEX_DTYPES.get(entry.kind, "complex128") if entry.is_complex else name
    count = math.prod(entry.shape)
    inside = f"{where}, variable {entry.name}"
    # integers in doubles are stored as bytes, so a sample takes at least one
    require_declared(count * (2 if entry.is_complex else 1), entry.stored, inside)

    def load() -> NDArray[Any]:
        require_memory(32 * count, inside)
        return np.asarray(_load(path, entry.name, where))

    return Variable(entry.name, entry.shape, dtype, load)


def _load(path: Path, name: str, where: str) -> Any:
    from scipy.io import loadmat

    with reading(where, "MATLAB"):
        found = loadmat(path, variable_names=[name], simplify_cells=True, verify_compressed_data_integrity=True)
        if name not in found:
            raise DataError(f"{where}: variable {name} cannot be read; is the file damaged?")
        return found[name]


def _fields(value: Any, name: str, others: list[str], depth: int = 0) -> Iterator[Variable]:
    """Yield the numeric arrays in a struct as `struct.field`."""
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        for key, item in value.items():
            yield from _fields(item, f"{name}.{key}", others, depth + 1)
        return
    if isinstance(value, str | Mapping):
        return
    array = np.asarray(value)
    if array.dtype.kind in "fciu":
        yield Variable(name, array.shape, str(array.dtype), partial(np.asarray, array))
    elif array.dtype.kind == "O" and array.size:
        others.append(f"{name}: a MATLAB cell, object or struct array; {INSTEAD}")


def _entries_5(path: Path, size: int, where: str) -> Iterator[_Entry]:
    """Yield the variables of a file of version 5 to 7 from their headers."""
    with path.open("rb") as file:
        order = "<" if file.read(V5_HEADER)[126:128] == b"IM" else ">"
        at = V5_HEADER
        while at + 8 <= size:
            file.seek(at)
            kind, length = struct.unpack(f"{order}II", file.read(8))
            if kind not in (MATRIX, COMPRESSED):
                raise DataError(f"{where}: cannot be read as MATLAB: no variable at byte {at:,}; is the file damaged?")
            if at + 8 + length > size:
                raise DataError(
                    f"{where}: the variable at byte {at:,} needs {length:,} bytes, but the file ends after "
                    f"{size - at - 8:,}: it is incomplete; copy it again"
                )
            body, stored = file.read(min(length, HEADER_BYTES)), length
            if kind == COMPRESSED:
                body = zlib.decompressobj().decompress(body, HEADER_BYTES)
                inner, stored = struct.unpack(f"{order}II", body[:8])
                if inner != MATRIX or stored > EXPANSION * length + HEADER_BYTES:
                    raise DataError(f"{where}: the variable at byte {at:,} is damaged")
                body = body[8:]
            if length:
                yield _entry(body, order, stored, kind == COMPRESSED)
            at += 8 + length


def _entry(body: bytes, order: str, stored: int, packed: bool) -> _Entry:
    """Parse array flags, dimensions and name, the first three elements of a matrix."""
    elements, at = [], 0
    for _ in range(3):
        kind, length = struct.unpack_from(f"{order}II", body, at)
        if kind >> 16:  # small element: type and length in four bytes, the data in the next four
            kind, length = kind & 0xFFFF, kind >> 16
            elements.append(body[at + 4 : at + 4 + length])
            at += 8
        else:
            elements.append(body[at + 8 : at + 8 + length])
            at += 8 + -(-length // 8) * 8
    flags = struct.unpack_from(f"{order}I", elements[0])[0]
    shape = struct.unpack(f"{order}{len(elements[1]) // 4}i", elements[1])
    if any(length < 0 for length in shape):
        raise ValueError("a variable with negative dimensions")
    kind_name = CLASSES.get(flags & 0xFF, "value of an unknown class")
    name = elements[2].decode("utf-8", "replace")
    return _Entry(name, kind_name if name else "object", shape, bool(flags & 0x800), stored, packed)


def _entries_4(path: Path, size: int, where: str) -> Iterator[_Entry]:
    """Yield the variables of a file of version 4."""
    item_bytes = {0: 8, 1: 4, 2: 4, 3: 2, 4: 2, 5: 1}
    names = {0: "double", 1: "single", 2: "int32", 3: "int16", 4: "uint16", 5: "uint8"}
    with path.open("rb") as file:
        order = v4_order(file.read(20)) or "<"
        at = 0
        while at + 20 <= size:
            file.seek(at)
            kind, rows, columns, imaginary, name_length = struct.unpack(f"{order}5i", file.read(20))
            data_type, is_text = kind // 10 % 10, kind % 10
            if data_type not in item_bytes or min(rows, columns) < 0 or not 0 < name_length <= 256:
                raise DataError(f"{where}: cannot be read as MATLAB: no variable at byte {at:,}; is the file damaged?")
            name = file.read(name_length).rstrip(b"\0").decode("latin-1")
            nbytes = rows * columns * item_bytes[data_type] * (2 if imaginary == 1 else 1)
            at += 20 + name_length
            require_declared(nbytes, size - at, f"{where}, variable {visible(name)}")
            at += nbytes
            what = "char" if is_text == 1 else "sparse" if is_text == 2 else names[data_type]
            yield _Entry(name, what, (rows, columns), imaginary == 1, nbytes, False)


def v4_order(head: bytes) -> str | None:
    """Return the byte order of a MAT file of version 4 from its first 20 bytes; None for anything else."""
    if len(head) < 20:
        return None
    for order in "<>":
        kind, rows, columns, imaginary, name_length = struct.unpack(f"{order}5i", head[:20])
        digits = (kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10)
        right = digits[0] in (0, 1) and digits[1] == 0 and digits[2] <= 5 and digits[3] <= 2 and kind >= 0
        if right and min(rows, columns) > 0 and imaginary in (0, 1) and 0 < name_length <= 256:
            return order
    return None


def _refuse_real_recording(variables: list[Variable], where: str) -> None:
    """Refuse a recording of the Keysight 89600 VSA at baseband: its `Y` is a real voltage, not an envelope."""
    zoom = next((each for each in variables if each.name == "InputZoom" and math.prod(each.shape) == 1), None)
    if zoom is not None and float(np.real(np.asarray(zoom.load()).reshape(-1)[0])) == 0:
        raise DataError(
            f"{where}: InputZoom is 0: a VSA recording of real samples at baseband, not of a complex envelope; record "
            "with Zoom on"
        )
