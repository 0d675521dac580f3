"""Columns of numbers from CSV text: numpy's parser first; where it fails, a slow exact reader that locates the fault.

Rows are counted as an editor shows them: from 1, the header included.
"""

from __future__ import annotations

import difflib
import io
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Part
from dpdrun.data.checks import check_finite, check_samples
from dpdrun.errors import DataError

BLOCK_BYTES = 4 << 20  # of text at a time: about 100,000 rows of two numbers
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
IMAGINARY = re.compile(r"[iI](?![nN])(?=\s*\)|\s*[,;\t]|\s*$|\s)", re.M)  # of 1+2i, not of inf
BLANKS_IN_COMPLEX = re.compile(r" +")  # MATLAB's num2str: 1 + 2i


@dataclass(frozen=True)
class Dialect:
    """How the rows of a table are written.

    Attributes:
        separator: between cells; None = blanks.
        decimal_comma: 0,5 for 0.5.
        names: of the columns.
        skip: lines before the first row.
        is_complex: cells such as 1+2i, (1-2j).
    """

    separator: str | None
    decimal_comma: bool
    names: tuple[str, ...]
    skip: int
    is_complex: bool


COMMAS = Dialect(",", False, (), 1, False)


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
    texts = _texts(handle, where, block_bytes)
    header, _, body = next(texts, "").partition("\n")
    indices, dialect = _header(header, where, columns)
    yield from _rows(chain([body], texts), where, dialect, indices, "only a header, no rows of numbers")


def stream_rows(
    handle: IO[bytes], where: str, dialect: Dialect, *, block_bytes: int = BLOCK_BYTES
) -> Iterator[NDArray[Any]]:
    """Read all columns of a table, in blocks of complete rows.

    Yields:
        (n, columns) float64, or complex128 where the dialect is complex; all finite.

    Raises:
        DataError: names file, row and column of the first fault.
    """
    start = handle.read(2)
    handle.seek(0)
    if start in UTF16:
        handle = io.BytesIO(handle.read().decode("utf-16", "replace").encode())
    texts = _without(_texts(handle, where, block_bytes), dialect.skip)
    yield from _rows(texts, where, dialect, list(range(len(dialect.names))), "no rows of numbers")


def _texts(handle: IO[bytes], where: str, block_bytes: int) -> Iterator[str]:
    """Yield the text of a file in blocks of complete lines."""
    row = 1
    for block in _whole_lines(handle, block_bytes):
        if row == 1 and block.startswith(UTF16):
            raise DataError(f"{where}: this is UTF-16 text; save it as UTF-8 (in Excel: 'CSV UTF-8')")
        text = decoded(block, where, first=row)
        row += text.count("\n")
        yield text
    if row == 1 and handle.tell() == 0:
        decoded(b"", where, first=1)


def _without(texts: Iterator[str], lines: int) -> Iterator[str]:
    """Drop the first lines of a text that comes in blocks."""
    for text in texts:
        while lines and text:
            _, _, text = text.partition("\n")
            lines -= 1
        if text:
            yield text


def _rows(
    texts: Iterable[str], where: str, dialect: Dialect, indices: list[int], nothing: str
) -> Iterator[NDArray[Any]]:
    row, found = dialect.skip + 1, False
    for body in texts:
        values = _fast(body, dialect)
        if values is None or not np.isfinite(values[:, indices]).all():
            values = _exact(body, where, dialect, indices, first=row)
        else:
            values = values[:, indices]
        row += body.count("\n")
        if len(values):
            found = True
            yield np.ascontiguousarray(values)
    if not found:
        raise DataError(f"{where}: {nothing}")


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


def decoded(data: bytes, where: str, *, first: int, partial_end: bool = False) -> str:
    """Return a block of a text file with LF line ends.

    Args:
        data: complete lines.
        where: the file, for messages.
        first: row of the first line, from 1.
        partial_end: the block may end within a character.

    Raises:
        DataError: the file is empty, binary, or not UTF-8.
    """
    if first == 1 and not data.strip():
        raise DataError(f"{where}: the file is empty")
    if first == 1 and data[:2] in UTF16:
        return data[: len(data) // 2 * 2].decode("utf-16", "replace").replace("\r\n", "\n").replace("\r", "\n")
    if b"\0" in data[:4096]:
        raise DataError(f"{where}: this is a binary file, not CSV text")
    try:
        text = data.decode("utf-8-sig" if first == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if partial_end and error.start > len(data) - 4:
            return decoded(data[: error.start], where, first=first)
        row = data[: error.start].count(b"\n") + first
        raise DataError(
            f"{where}, row {row}: byte 0x{data[error.start]:02x} is not UTF-8 text; save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _header(header: str, where: str, columns: tuple[str, ...]) -> tuple[list[int], Dialect]:
    wanted = ",".join(columns)
    names = [name.strip().strip('"') for name in header.split(",")]
    if len(names) < len(columns):
        for separator, plural in SEPARATORS.items():
            if separator in header:
                raise DataError(
                    f"{where}, row 1: columns are separated by {plural}; use commas, with a point as decimal sign "
                    f"(header: {wanted})"
                )
    if all(_number(name, COMMAS) is not None for name in names):
        raise DataError(f"{where}, row 1: numbers instead of a header; make the first row {wanted}")
    for column in columns:
        if column not in names:
            same = [name for name in names if name.lower() == column.lower()]
            close = same or difflib.get_close_matches(column, names, n=1)
            hint = f"; did you mean {column!r} where it says {close[0]!r}?" if close else f"; expected {wanted}"
            raise DataError(f"{where}, row 1: no column {column!r} in the header {_short(header.strip())!r}{hint}")
        if names.count(column) > 1:
            raise DataError(f"{where}, row 1: column {column!r} appears twice in the header")
    return [names.index(column) for column in columns], Dialect(",", False, tuple(names), 1, False)


def _fast(body: str, dialect: Dialect) -> NDArray[Any] | None:
    """Parse all columns with numpy's C parser; None where it fails."""
    if dialect.decimal_comma:
        body = body.replace(",", ".")
    if dialect.is_complex:
        body = IMAGINARY.sub("j", BLANKS_IN_COMPLEX.sub("", body) if dialect.separator is not None else body)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy only warns of empty input
        try:
            values = np.loadtxt(
                io.StringIO(body), delimiter=dialect.separator, comments=None, ndmin=2,
                dtype=np.complex128 if dialect.is_complex else np.float64,
            )  # fmt: skip
        except (ValueError, UserWarning):
            return None
    return values if values.shape[1] == len(dialect.names) else None


def _exact(body: str, where: str, dialect: Dialect, indices: list[int], *, first: int) -> NDArray[Any]:
    """Parse the needed columns line by line from row `first`; raise at the first fault with its row and column."""
    names, width = dialect.names, len(dialect.names)
    rows: list[list[complex]] = []
    at: list[int] = []
    for row, line in enumerate(body.split("\n"), start=first):
        if not line.strip():
            continue
        cells = line.split(dialect.separator)
        if len(cells) == width + 1 and not cells[-1].strip():  # a separator at the end of each line
            cells.pop()
        if len(cells) != width:
            raise DataError(f"{where}, row {row}: {len(cells)} columns, but the header has {width}: {_short(line)!r}")
        values = []
        for index in indices:
            value = _number(cells[index], dialect)
            if value is None:
                cell = cells[index].strip()
                what = f"{_short(cell)!r} is not a number" if cell else "the cell is empty"
                raise DataError(f"{where}, row {row}, column {names[index]}: {what}")
            values.append(value)
        rows.append(values)
        at.append(row)
    table = np.array(rows, dtype=np.complex128).reshape(-1, len(indices))
    for position in np.flatnonzero(~np.isfinite(table).all(axis=1))[:1]:
        columns = tuple(names[index] for index in indices)
        check_finite(_worse_part(table[position:]), where, columns, row_word="row", first=at[position])
    return table if dialect.is_complex else table.real


def _worse_part(table: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the real parts, or the imaginary ones where those alone are not finite."""
    return np.where(np.isfinite(table.real) & ~np.isfinite(table.imag), table.imag, table.real)


def _number(cell: str, dialect: Dialect) -> complex | None:
    text = cell.strip().strip('"')
    if "_" in text:  # Python reads 1_000, nothing else does
        return None
    if dialect.decimal_comma:
        text = text.replace(",", ".")
    try:
        if not dialect.is_complex:
            return float(text)
        return complex(IMAGINARY.sub("j", text.replace(" ", "")))
    except ValueError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."
