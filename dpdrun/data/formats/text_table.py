"""Tables of numbers in text, as spreadsheets, MATLAB, Python and instruments export them.

Recognised from the first lines: the separator, a decimal comma, complex cells (`1+2i`, `(1-2j)`), the header and the
lines before it, which may state the sample rate; a time column gives it too. `csv_text` then reads the rows.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.formats._reading import joined, require_memory
from dpdrun.data.formats.csv_text import Dialect, decoded, stream_rows
from dpdrun.data.names import words_of
from dpdrun.data.roles import single
from dpdrun.data.signals import BANDWIDTHS, CENTRES, EXACT, PERIODS, RATES, Contents, Samples, Variable, contents_of
from dpdrun.errors import DataError

HEAD_BYTES = 1 << 16  # read to recognise the dialect
MAX_PREAMBLE = 200  # lines before the numbers
SEPARATORS = (";", "\t", ",", None)  # None: blanks
COMMENT = "#%!"
TIME_WORDS = frozenset({"t", "time", "zeit", "temps", "tiempo", "seconds", "s", "sec"})
UNITS = frozenset({"s", "v", "mv", "ns", "us", "ms", "w", "a", "volt", "volts", "sec", "lin", "sample", "[v]", "[s]"})
TIME_SCALES = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "ps": 1e-12}
UNEVEN = 1e-3  # of a step: times are printed with few digits
KEY_VALUE = re.compile(r"\s*[#%!]*\s*\"?([A-Za-z][A-Za-z0-9 _.()\[\]/-]*?)\"?\s*[=:;,\t]\s*(.*?)[\s;,]*\Z")
NUMERIC = re.compile(r"[0-9]|\b(nan|inf)", re.I)
EXAMPLE = "I_in,Q_in,I_out,Q_out"


@dataclass(frozen=True)
class TextTable:
    """How a text file is written.

    Attributes:
        dialect: for `csv_text`.
        settings: what the lines before the header state.
        headed: whether the names come from a header, not from the user.
    """

    dialect: Dialect
    settings: dict[str, float]
    headed: bool


def read_table(path: Path, where: str, columns: str | None) -> Contents:
    """Return the columns of a text file.

    Args:
        path: the file.
        where: for messages.
        columns: their names, as the user gave them, separated by commas; None = of the header.

    Raises:
        DataError: not a table, no header and no `columns`; a wrong cell is reported by row and column when it is read.
    """
    table = recognise(_head(path, where), where, columns)
    names = table.dialect.names
    loaded: list[NDArray[Any]] = []

    def load(at: int) -> NDArray[Any]:
        if not loaded:
            require_memory(8 * path.stat().st_size, where)
            with path.open("rb") as handle:
                loaded.append(np.concatenate(list(stream_rows(handle, where, table.dialect))))
        return loaded[0][:, at]

    rate, tolerance = table.settings.get("sample_rate_hz"), EXACT
    if (scale := _time_scale(names[0])) is not None:
        tolerance = EXACT if rate is not None else UNEVEN
        rate = _rate_of(load(0).real * scale, where, rate)
    stated = {**table.settings, "sample_rate_hz": rate}
    return contents_of("text", _variables(table, len(load(0)), load), where, rate_tolerance=tolerance, **stated)


def stream_signal(path: Path, handle: IO[bytes], where: str, name: str | None) -> Iterator[Samples]:
    """Yield the input signal of a text file in blocks of rows, complex128 (n,).

    Args:
        path: the file.
        handle: of the same file, at its beginning.
        where: for messages.
        name: of the signal, `I,Q` of columns; None = by their names.

    Raises:
        DataError: as `read_table`, or it is not certain which columns they are.
    """
    table = recognise(_head(path, where), where)
    unknown = 1 << 40  # as long as it takes: only the names are needed to choose
    contents = contents_of("text", _variables(table, unknown, _not_loaded), where)
    chosen = single(contents, where, "input", name).name
    names = table.dialect.names
    at = [names.index(chosen)] if chosen in names else [names.index(part) for part in chosen.split(",")]
    for rows in stream_rows(handle, where, table.dialect):
        yield np.ascontiguousarray(rows[:, at[0]] if len(at) == 1 else joined(rows[:, at[0]], rows[:, at[1]]))


def _not_loaded(at: int) -> NDArray[Any]:
    raise AssertionError(f"column {at} is only chosen, not loaded")


def _head(path: Path, where: str) -> str:
    """Return the first complete lines of a file."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    text = decoded(head, where, first=1, partial_end=len(head) == HEAD_BYTES)
    return text.rpartition("\n")[0] if len(head) == HEAD_BYTES else text


def _variables(table: TextTable, count: int, load: Callable[[int], NDArray[Any]]) -> list[Variable]:
    """Return the columns of a table, except a time column."""
    names, is_complex = table.dialect.names, table.dialect.is_complex
    variables = []
    for at, name in enumerate(names):
        if at == 0 and _time_scale(name) is not None:
            continue
        variables.append(Variable(name, (count,), "complex128" if is_complex else "float64", partial(load, at)))
    if table.headed or is_complex or len(variables) != 2:
        return variables
    first, second = variables  # two columns without names: I and Q of one record
    kind = "complex pairs of float64"
    return [Variable(f"{first.name},{second.name}", (count,), kind, lambda: joined(first.load(), second.load()))]


def recognise(text: str, where: str, columns: str | None = None) -> TextTable:
    """Return the dialect of a table, from its first lines.

    Raises:
        DataError: no rows of numbers, or no names for its columns.
    """
    lines = text.split("\n")
    best: tuple[int, int, str | None, bool] | None = None
    for separator in SEPARATORS:
        for decimal_comma in (False, True):
            if decimal_comma and separator == ",":
                continue
            start, width = _first_rows(lines, separator, decimal_comma)
            if width and (best is None or (-start, width) > (-best[0], best[1])):
                best = (start, width, separator, decimal_comma)
    if best is None:
        raise DataError(_no_numbers(lines, where))
    start, width, separator, decimal_comma = best
    preamble = lines[:start]
    names, headed = _names(preamble, separator, width, where, columns)
    sample = [cell for line in lines[start : start + 20] for cell in _cells(line, separator)]
    is_complex = any("i" in cell.lower() or "j" in cell.lower() for cell in sample)
    dialect = Dialect(separator, decimal_comma, tuple(names), start, is_complex)
    return TextTable(dialect, _settings(preamble, where), headed)


def _first_rows(lines: Sequence[str], separator: str | None, decimal_comma: bool) -> tuple[int, int]:
    """Return the first line from which on all lines are numbers, and how many each has; (_, 0) where there is none."""
    start, width = len(lines), 0
    for at in range(min(len(lines), MAX_PREAMBLE)):
        cells = _cells(lines[at], separator)
        if not cells or lines[at].lstrip()[:1] in COMMENT:
            continue
        if not all(number(cell, decimal_comma) is not None for cell in cells):
            continue
        following = [_cells(line, separator) for line in lines[at + 1 : at + 6] if line.strip()]
        # a wrong cell further down is for the reader to report, with its row
        same = [len(each) == len(cells) for each in following]
        if following and not any(same):
            continue
        start, width = at, len(cells)
        break
    return start, width


def _cells(line: str, separator: str | None) -> list[str]:
    """Split a line; a separator at its end starts no further cell."""
    line = line.strip()
    if not line:
        return []
    cells = [cell.strip().strip('"') for cell in line.split(separator)]
    return cells[:-1] if separator is not None and cells[-1] == "" else cells


def number(cell: str, decimal_comma: bool = False) -> complex | None:
    """Return the value of a cell, real or complex; None if it is none."""
    text = cell.strip().replace(" ", "")
    if "_" in text or not NUMERIC.search(text):  # I and Q are names, though Python reads j as a number
        return None
    if decimal_comma:
        if "." in text:
            return None
        text = text.replace(",", ".")
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    if text[-1:] in "iI":
        text = text[:-1] + "j"
    try:
        return complex(text)
    except ValueError:
        return None


def _names(
    preamble: Sequence[str], separator: str | None, width: int, where: str, columns: str | None
) -> tuple[list[str], bool]:
    """Return a name for each column, and whether they are of a header."""
    if columns is not None:
        names = [name.strip() for name in columns.split(",")]
        if len(names) != width or not all(names):
            raise DataError(f"{where}: --columns (data.columns) names {len(names)} columns, but its rows have {width}")
        _refuse_twice(names, where, "--columns (data.columns)")
        return names, True
    nearest = ""  # line of words above the numbers
    for line in reversed(preamble):
        cells = [cell.lstrip(COMMENT).strip() for cell in _cells(line.strip().lstrip(COMMENT), separator)]
        if len(cells) != width and separator is None:  # names with blanks between tabs
            cells = [cell.strip() for cell in re.split(r"\t|,|;", line.strip().lstrip(COMMENT)) if cell.strip()]
        if len(cells) == width > 2 and not cells[0]:
            cells[0] = "index"  # as pandas writes a table
        named = all(cell[:1].isalpha() and number(cell) is None for cell in cells)
        if len(cells) == width and named and not all(cell.strip("()[]").lower() in UNITS for cell in cells):
            if width == 1 and not re.fullmatch(r"[\w .:/()\[\]-]{1,40}", cells[0]):
                continue
            _refuse_twice(cells, where, "its header")
            return cells, True
        nearest = nearest or (line.strip() if any(cell[:1].isalpha() for cell in cells) else "")
    if width <= 2:
        return [f"column{at + 1}" for at in range(width)], False
    found = f"the line {_shortened(nearest)!r} does not name" if nearest else "no header names"
    raise DataError(
        f"{where}: {found} its {width} columns; say what they are: --columns {_example(width)} "
        f"(data.columns: {_example(width)})"
    )


def _example(width: int) -> str:
    known = {4: EXAMPLE, 5: f"time,{EXAMPLE}", 3: "time,I,Q"}
    return known.get(width, ",".join(["I_in", "Q_in", "I_out", "Q_out", *(f"c{at}" for at in range(5, width + 1))]))


def _refuse_twice(names: Sequence[str], where: str, what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: {what} names {twice[0]!r} twice")


def _shortened(line: str) -> str:
    return line if len(line) <= 40 else line[:37] + "..."


def _no_numbers(lines: Sequence[str], where: str) -> str:
    text = [line for line in lines if line.strip()]
    if not text:
        return f"{where}: the file is empty"
    if text[0].startswith("# Created by Octave"):
        return f"{where}: Octave's text format; save the variables with: save -v7 FILE.mat x y"
    only = len(text) == 1 and len(re.split(r"[,;\t]", text[0])) > 1
    if only:
        return f"{where}: only a header, no rows of numbers"
    return f"{where}: no table of numbers in this text (it begins with {_shortened(text[0])!r})"


def _settings(preamble: Sequence[str], where: str) -> dict[str, float]:
    """Return what lines such as `SamplingFrequency, 56e6` before the table state [Hz]."""
    found: dict[str, float] = {}
    for line in preamble:
        match = KEY_VALUE.match(line)
        value = number(match[2].split()[0].strip('"')) if match and match[2].split() else None
        if match is None or value is None or value.imag:
            continue
        key = match[1].replace(" ", "")
        if RATES.match(key) or key.lower() in ("samplingfrequency", "samplerate"):
            found["sample_rate_hz"] = value.real
        elif PERIODS.match(key) and value.real > 0:
            found["sample_rate_hz"] = 1.0 / value.real
        elif BANDWIDTHS.match(key):
            found["bandwidth_hz"] = value.real
        elif CENTRES.match(key) or key.lower() == "frequency":
            found["centre_hz"] = value.real
    for key in ("sample_rate_hz", "bandwidth_hz"):
        if key in found and not (math.isfinite(found[key]) and found[key] > 0):
            raise DataError(f"{where}: states a {key} of {found[key]:g}; correct it")
    return found


def _time_scale(name: str) -> float | None:
    """Return the unit of a time column [s], such as `t`, `time_ns` or `Time (us)`; None for any other column."""
    words = words_of(name)
    if not words or words[0] not in TIME_WORDS:
        return None
    return next((TIME_SCALES[word] for word in words[1:] if word in TIME_SCALES), 1.0)


def _rate_of(times: NDArray[np.float64], where: str, stated: float | None) -> float | None:
    """Return the sample rate of a time column [Hz].

    Raises:
        DataError: the times do not rise evenly, or contradict a stated rate.
    """
    if len(times) < 2:
        return stated
    step = float(times[-1] - times[0]) / (len(times) - 1)
    if step <= 0 or not math.isfinite(step):
        raise DataError(f"{where}: the time column does not rise")
    # few digits make every single step uncertain, but not where a sample lies
    uneven = float(np.max(np.abs(times - times[0] - step * np.arange(len(times))))) / step
    if uneven > max(1.0, UNEVEN * len(times)):
        row = int(np.argmax(np.abs(np.diff(times) - step))) + 1
        raise DataError(f"{where}: the time column is not evenly spaced (near sample {row}); resample the record")
    rate = float(f"{1.0 / step:.6g}")  # as many digits as times are printed with
    if stated is not None and not math.isclose(rate, stated, rel_tol=1e-3):
        raise DataError(f"{where}: its time column says {rate:g} Hz, but it states {stated:g} Hz; correct one of them")
    return stated if stated is not None else rate
