"""Columns of numbers from CSV text: numpy's parser first; where it fails, a slow exact reader that locates the fault.

Rows are counted as an editor shows them: from 1, the header included.
"""

from __future__ import annotations

import difflib
import io
import warnings
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part
from dpdrun.data.checks import check_finite, check_samples
from dpdrun.errors import DataError

BLOCK_BYTES = 4 << 20  # of text at a time: about 100,000 rows of two numbers
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_samples(data: bytes, where: str, *pairs: tuple[str, str]) -> list[NDArray[np.complex128]]:
    """Read one record for each pair of columns (I, Q), (N,) each; arguments and errors as of `read_columns`."""
    table = read_columns(data, where, tuple(name for pair in pairs for name in pair))
    records = [np.asarray(table[:, at] + 1j * table[:, at + 1], np.complex128) for at in range(0, 2 * len(pairs), 2)]
    for samples, columns in zip(records, pairs, strict=True):
        check_samples(samples, where, columns)
    return records


def parse_pair(data: bytes, where: str) -> Part:
    """Parse input and output of one record, columns I_in, Q_in, I_out, Q_out; arguments and errors as above."""
    x, y = read_samples(data, where, ("I_in", "Q_in"), ("I_out", "Q_out"))
    return Part(x, y)


def read_columns(data: bytes, where: str, columns: tuple[str, ...]) -> NDArray[np.float64]:
    """Read the named columns of a CSV file, in this order; other columns are ignored.

    Args:
        data: the whole file: UTF-8 with or without BOM, LF or CRLF, commas, a header in row 1.
        where: the file's name, for messages.
        columns: names to find in the header.

    Returns:
        (N, len(columns)) float64, all finite.

    Raises:
        DataError: names file, row and column.
    """
    return np.concatenate(list(stream_columns(io.BytesIO(data), where, columns, block_bytes=max(len(data), 1))))


def stream_columns(
    handle: IO[bytes], where: str, columns: tuple[str, ...], *, block_bytes: int = BLOCK_BYTES
) -> Iterator[NDArray[np.float64]]:
    """Read columns of an open file in blocks of complete rows: memory is bounded by `block_bytes` of text.

    Yields:
        (n, len(columns)) float64, n >= 1, all finite.

    Raises:
        DataError: as `read_columns`, when the fault is reached.
    """
    header, row, found = "", 1, False
    indices: list[int] = []
    width = 0
    for block in _whole_lines(handle, block_bytes):
        text = _decode(block, where, first=row)
        body, first = text, row
        if row == 1:
            header, _, body = text.partition("\n")
            indices, width = _header(header, where, columns)
            first = 2
        row += text.count("\n")
        values = _fast(body, width)
        if values is None or not np.isfinite(values[:, indices]).all():
            values = _exact(body, where, header, indices, width, first=first)
        else:
            values = values[:, indices]
        if len(values):
            found = True
            yield np.ascontiguousarray(values)
    if row == 1 and not header:
        raise DataError(f"{where}: the file is empty")
    if not found:
        raise DataError(f"{where}: only a header, no rows of numbers")


def _whole_lines(handle: IO[bytes], block_bytes: int) -> Iterator[bytes]:
    """Yield blocks that end with a line; the last one may lack its line feed."""
    rest = b""
    while True:
        block = handle.read(block_bytes)
        data = rest + block
        if not block:
            break
        # A carriage return at the very end may be the first half of a line end
        end = data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, len(data) - 1) + 1
        if end:
            yield data[:end]
        rest = data[end:]
    if rest:
        yield rest


def _decode(data: bytes, where: str, *, first: int) -> str:
    if first == 1 and not data.strip():
        raise DataError(f"{where}: the file is empty")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{where}: this is UTF-16 text; save it as UTF-8 (in Excel: 'CSV UTF-8')")
    if b"\0" in data[:4096]:
        raise DataError(f"{where}: this is a binary file, not CSV text")
    try:
        text = data.decode("utf-8-sig" if first == 1 else "utf-8")
    except UnicodeDecodeError as error:
        row = data[: error.start].count(b"\n") + first
        raise DataError(
            f"{where}, row {row}: byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header(header: str, where: str, columns: tuple[str, ...]) -> tuple[list[int], int]:
    wanted = ",".join(columns)
    names = [name.strip().strip('"') for name in header.split(",")]
    if len(names) < len(columns):
        for separator, plural in SEPARATORS.items():
            if separator in header:
                raise DataError(
                    f"{where}, row 1: columns are separated by {plural}; use commas, with a point as decimal sign "
                    f"(header: {wanted})"
                )
    if all(_number(name) is not None for name in names):
        raise DataError(f"{where}, row 1: numbers instead of a header; make the first row {wanted}")
    for column in columns:
        if column not in names:
            same = [name for name in names if name.lower() == column.lower()]
            close = same or difflib.get_close_matches(column, names, n=1)
            hint = f"; did you mean {column!r} where it says {close[0]!r}?" if close else f"; expected {wanted}"
            raise DataError(f"{where}, row 1: no column {column!r} in the header {_short(header.strip())!r}{hint}")
        if names.count(column) > 1:
            raise DataError(f"{where}, row 1: column {column!r} appears twice in the header")
    return [names.index(column) for column in columns], len(names)


def _fast(body: str, width: int) -> NDArray[np.float64] | None:
    """Parse all columns with numpy's C parser; None where it fails."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns of empty input
        try:
            values = np.loadtxt(io.StringIO(body), delimiter=",", comments=None, ndmin=2, dtype=np.float64)
        except (ValueError, UserWarning):
            return None
    return values if values.shape[1] == width else None


def _exact(body: str, where: str, header: str, indices: list[int], width: int, *, first: int) -> NDArray[np.float64]:
    """Parse the needed columns line by line from row `first`; raise at the first fault with its row and column."""
    names = [name.strip().strip('"') for name in header.split(",")]
    rows: list[list[float]] = []
    at: list[int] = []
    for row, line in enumerate(body.split("\n"), start=first):
        if not line.strip():
            continue
        cells = line.split(",")
        if len(cells) != width:
            raise DataError(f"{where}, row {row}: {len(cells)} columns, but the header has {width}: {_short(line)!r}")
        values = []
        for index in indices:
            value = _number(cells[index])
            if value is None:
                cell = cells[index].strip()
                what = f"{_short(cell)!r} is not a number" if cell else "the cell is empty"
                raise DataError(f"{where}, row {row}, column {names[index]}: {what}")
            values.append(value)
        rows.append(values)
        at.append(row)
    table = np.array(rows, dtype=np.float64).reshape(-1, len(indices))
    for position in np.flatnonzero(~np.isfinite(table).all(axis=1))[:1]:
        columns = tuple(names[index] for index in indices)
        check_finite(table[position:], where, columns, row_word="row", first=at[position])
    return table


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)  # Python reads 1_000, nothing else does
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
