"""A CSV file of training numbers of any program; read line by line, so its size does not matter."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from dpdrun.diagnosis.logs.cells import number, shortened
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked
from dpdrun.diagnosis.logs.rows import Empty, Rows
from dpdrun.errors import DataError, visible

SEPARATORS = ",;\t|"
SPACES = " "
LONGEST = 1 << 16
FORMAT = "CSV"
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, from its first line that is not empty."""

    separator: str
    names: list[str]
    header_line: int


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file, with or without BOM. Bytes that are not UTF-8 pass: they are in names, not in numbers.

    Raises:
        DataError: it cannot be read, is no text, or is too large.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(4096)
            size = raw.seek(0, os.SEEK_END)
        if size > MOST_BYTES:
            raise DataError(
                f"{path}: {size / 1e9:.1f} GB; logs of up to {MOST_BYTES / 1e9:.1f} GB are read: keep every tenth line "
                "(awk 'NR == 1 || NR % 10 == 0')"
            )
        if start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DataError(f"{path}: this is UTF-16 text; save it as UTF-8 (in Excel: 'CSV UTF-8')")
        if b"\0" in start:
            raise DataError(f"{path}: this is a binary file, not a text log")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def dialect_of(path: Path) -> Dialect:
    """Return separator and header of a CSV file.

    Raises:
        DataError: the file is empty, or begins with numbers.
    """
    with opened(path) as file:
        for line, text in enumerate(file, start=1):
            if text.startswith("#") or not text.strip():
                continue
            separator = max(SEPARATORS, key=text.count)
            if separator not in text and len(text.split()) > 1:
                separator = SPACES
            names = [visible(name.strip()) for name in _cells([text], separator)[0]]
            if all(_is_number(name) for name in names):
                raise DataError(f"{path}:{line}: numbers instead of column names; add a header line")
            return Dialect(separator, names, line)
    raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")


def _cells(texts: Iterable[str], separator: str) -> list[list[str]]:
    return [*_split(texts, separator)]


def _split(texts: Iterable[str], separator: str) -> Iterator[list[str]]:
    if separator == SPACES:
        return (text.split() for text in texts)
    return csv.reader(texts, delimiter=separator)


def is_table(path: Path) -> bool:
    """Return whether a file has a header and, in the next line, as many cells that are mostly numbers."""
    with opened(path) as file:
        texts = (text for text in file if text.strip() and not text.startswith("#"))
        first, second = next(texts, "")[:LONGEST], next(texts, "")[:LONGEST]
    separator = max(SEPARATORS, key=first.count)
    separator = separator if separator in first else SPACES
    try:
        names, cells = _cells([first], separator)[0], (_cells([second], separator) or [[]])[0]
    except csv.Error:
        return False
    if len(names) < 2 or len(names) != len(cells) or any(_is_number(name) for name in names):
        return False
    return sum(_is_number(cell) or not cell.strip() for cell in cells) > len(cells) / 2


def _is_number(cell: str) -> bool:
    try:
        return number(cell) is not None
    except ValueError:
        return False


def read(
    path: Path,
    asked: Asked,
    *,
    format_: str = FORMAT,
    known: dict[str, str] | None = None,
    empty: Empty = "end",
    derived: Mapping[str, Callable[[dict[str, object]], object]] | None = None,
) -> TrainingLog:
    """Read a CSV log.

    Args:
        path: of the file.
        asked: meanings of its columns, from the user.
        format_: its name, for output.
        known, empty: as in `Rows`.
        derived: further columns, each a function of the cells of a row.

    Raises:
        DataError: names file, line and column.
    """
    dialect = dialect_of(path)
    derived = derived or {}
    rows = Rows(
        path, format_, [*dialect.names, *derived], asked, known=known, empty=empty,
        decimal_comma=dialect.separator == ";", header_line=dialect.header_line,
    )  # fmt: skip
    for line, cells in _rows(path, dialect):
        rows.add(line, cells | {name: of(cells) for name, of in derived.items()} if derived else cells)
    return rows.done()


def _rows(path: Path, dialect: Dialect) -> Iterator[tuple[int, dict[str, object]]]:
    width = len(dialect.names)
    with opened(path) as file:
        for _ in range(dialect.header_line):
            file.readline()
        reader = csv.reader(file, delimiter=dialect.separator, skipinitialspace=dialect.separator == SPACES)
        torn: DataError | None = None
        try:
            for cells in reader:
                if torn:
                    raise torn
                if not any(cells) or cells[0].startswith("#"):
                    continue
                if dialect.separator == SPACES:
                    cells = [cell for cell in cells if cell]
                if len(cells) > width and not any(cells[width:]):  # separators at the end of the line
                    cells = cells[:width]
                line = dialect.header_line + reader.line_num
                if len(cells) != width:
                    text = shortened(dialect.separator.join(cells))
                    torn = DataError(f"{path}:{line}: {len(cells)} cells, but line {dialect.header_line} names {width} "
                                     f"columns: {text!r}")  # fmt: skip
                    continue  # an error, unless it is the last line: that one is being written
                if [visible(cell.strip()) for cell in cells] == dialect.names:
                    continue  # the header again, of a run that continued in the same file
                yield line, dict(zip(dialect.names, cells, strict=True))
        except csv.Error as error:
            raise DataError(f"{path}:{dialect.header_line + reader.line_num}: not CSV: {error}") from None
