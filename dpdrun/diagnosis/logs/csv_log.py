"""A CSV file of training numbers of any program; read line by line, so its size does not matter."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from dpdrun.diagnosis.logs.cells import number, shortened
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import Asked, usual_loss
from dpdrun.diagnosis.logs.rows import Empty, Rows
from dpdrun.errors import DataError, visible

BARS = "|"
SEPARATORS = f",;\t{BARS}"
SPACES = " "
NAMELESS = "column"  # 1, 2, ...: what columns without a header are called
LONGEST = 1 << 16
ROWS_OF_NAMES = 2000  # rows that show which of two losses is logged at every step
FORMAT = "CSV"
ANSI = re.compile(r"\x1b\[[0-9;?]{0,16}[A-Za-z]")
MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, from its first line that is not empty."""

    separator: str
    names: list[str]
    header_line: int
    has_names: bool = True
    begins_with_numbers: bool = False


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """Open a text file, with or without BOM. Bytes that are not UTF-8 pass: they are in names, not in numbers.

    Raises:
        DataError: it cannot be read, is not text, or is too large.
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

    A file that begins with numbers has the names of its last comment, where they are as many (numpy.savetxt), or none:
    `column 1` and so on.

    Raises:
        DataError: the file is empty.
    """
    comment: list[str] = []
    with opened(path) as file:
        texts = enumerate(file, start=1)
        for line, text in texts:
            if text.startswith("#"):
                comment = [visible(name) for name in text.lstrip("# ").replace(",", " ").split()]
            if text.startswith("#") or not text.strip() or _is_rule(text):
                continue
            separator = separator_of(text)
            names = [visible(name.strip()) for name in _header(text, separator)]
            if len(names) == 1 and not _is_number(names[0]):  # a title, if a header follows
                at, header = next(((at, each) for at, each in texts if each.strip()), (line, text))
                below = [visible(name.strip()) for name in _header(header, separator_of(header))]
                titled = len(below) > 1 and not any(_is_number(name) for name in below)
                return Dialect(separator_of(header), below, at) if titled else Dialect(separator, names, line)
            if not all(_is_number(name) for name in names):
                if separator == SPACES:
                    following = next((each for _, each in texts if each.strip() and not _is_rule(each)), "")
                    names = [visible(name) for name in _spaced(text, following)]
                return Dialect(separator, names, line)
            if len(comment) == len(names):
                return Dialect(separator, comment, line - 1, begins_with_numbers=True)
            names = [f"{NAMELESS} {at}" for at in range(1, len(names) + 1)]
            return Dialect(separator, names, line - 1, has_names=False, begins_with_numbers=True)
    raise NothingLoggedError(f"{path}: the file is empty: nothing has been logged yet")


def separator_of(text: str) -> str:
    """Return the separator between the cells of a line."""
    separator = max(SEPARATORS, key=text.count)
    return SPACES if separator not in text and len(text.split()) > 1 else separator


def _spaced(header: str, row: str) -> list[str]:
    """Return the names of a header of words, between which are two spaces where the row below shows it."""
    apart, cells = re.split(r"\s{2,}", header.strip()[:LONGEST]), row.split()
    if len(apart) == len(cells):
        return apart
    names = header.split()
    indexed = len(cells) == len(names) + 1 and cells[0].isdecimal()  # a printed table of pandas
    return ["", *names] if indexed else names


def _is_rule(text: str) -> bool:
    """Return whether a line only rules off a header, as in Markdown: |---|:---:|."""
    return "-" in text and not text.strip("-|:=+ \t\r\n")


def _inner(cells: list[str]) -> list[str]:
    """Return the cells of a line of a Markdown table without the empty ones outside its outer bars."""
    return cells[1:-1] if len(cells) > 2 and not cells[0].strip() and not cells[-1].strip() else cells


def _header(text: str, separator: str) -> list[str]:
    """Return the cells of a first line, without the empty one after a separator at its end."""
    names = _cells([text], separator)[0]
    if separator == BARS:
        return _inner(names)
    return names[:-1] if len(names) > 2 and not names[-1].strip() else names


def _cells(texts: Iterable[str], separator: str) -> list[list[str]]:
    return [*_split(texts, separator)]


def _split(texts: Iterable[str], separator: str) -> Iterator[list[str]]:
    if separator == SPACES:
        return (text.split() for text in texts)
    return csv.reader(texts, delimiter=separator)


def is_table(path: Path) -> bool:
    """Return whether a file has a header and, in the next line, as many cells that are mostly numbers."""
    with opened(path) as file:
        texts = (text for text in file if text.strip() and text[0] != "#" and not _is_rule(text))
        first, second = (ANSI.sub("", next(texts, "")[:LONGEST]) for _ in range(2))
    separator = separator_of(first)
    try:
        names, cells = _header(first, separator), _header(second, separator) if second else []
    except csv.Error:
        return False
    if separator == SPACES:
        names = _spaced(first, second)
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
    filled: Counter[str] = Counter()
    for _, row in islice(rows_of(path, dialect), ROWS_OF_NAMES):
        filled.update({name: row[name] not in ("", None) for name in row})
    names = [*_with_values(dialect.names, filled, asked), *derived]
    rows = Rows(
        path, format_, names, asked, known=usual_loss(filled) | (known or {}), empty=empty,
        decimal_comma=dialect.separator == ";", header_line=dialect.header_line,
    )  # fmt: skip
    for line, cells in rows_of(path, dialect):
        rows.add(line, cells | {name: of(cells) for name, of in derived.items()} if derived else cells)
    return rows.done()


def _with_values(names: list[str], filled: Counter[str], asked: Asked) -> list[str]:
    """Return the columns that have a value somewhere; all of a table that has none yet."""
    wanted = [name for name in names if filled[name] or name in asked.columns.values()]
    return wanted if any(filled.values()) else names


def rows_of(path: Path, dialect: Dialect | None = None) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the rows of a CSV file by name, with their lines. Raises DataError as `read`."""
    dialect = dialect or dialect_of(path)
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
                if not any(cells) or cells[0].startswith("#") or _is_rule("".join(cells)):
                    continue
                if dialect.separator == SPACES:
                    cells = [ANSI.sub("", cell) for cell in cells if cell]
                elif dialect.separator == BARS:
                    cells = _inner(cells)
                if len(cells) > width and not any(cells[width:]):  # separators at the end of the line
                    cells = cells[:width]
                line = dialect.header_line + reader.line_num
                if len(cells) == 1 < width and not _is_number(cells[0]):
                    continue  # a line of text, such as a mark of a merge
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
