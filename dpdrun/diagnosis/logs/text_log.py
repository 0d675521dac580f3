"""A log that is text: what programs print. Each format says which of its lines hold numbers, and what they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from dpdrun.diagnosis.logs.csv_log import ANSI, opened
from dpdrun.diagnosis.logs.log import NothingLoggedError, TrainingLog
from dpdrun.diagnosis.logs.names import LOSSES, Asked, meaning_of, usual_loss
from dpdrun.diagnosis.logs.rows import Rows

LONGEST_LINE = 1 << 16  # characters; what follows is another line, so that no pattern sees more
OF_A_PROCESS = re.compile(r"^\[\d{1,6},\d{1,6}\]<std(?:out|err)>: ?")  # mpirun --tag-output
ASCII = str.maketrans(
    "\uff1a\uff0c\uff1b\uff1d\uff08\uff09\uff5c\u2502\u2503\u2551", ":,;=()||||"
)  # full width, and bars of tables
SURE = 2  # lines that show a format
RECORDS_OF_NAMES = 20_000  # records in which a column must show itself
_EXPONENT = r"(?:[eE][-+]?\d{1,4})?"
_OF_NO_NUMBER = r"nan(?:\(ind\))?|inf(?:inity)?|1\.#(?:QNAN|IND|INF)\d{0,4}"
NUMBER = rf"[-+]?(?:{_OF_NO_NUMBER}|\d[\d]{{0,40}}\.?\d{{0,40}}{_EXPONENT}|\.\d{{1,40}}{_EXPONENT})"

# NaN or Inf found in input tensor; Loss is nan, stopping training; LossTensor is inf or nan; nan, alone in its line
_NONE = r"(?:(?:nan|inf|infinite|infinity)s?(?: or |/| and )?){1,2}"
REPORTS_NAN = re.compile(
    rf"\b{_NONE}\b.{{0,20}}\b(?:found|detected|encountered|stopping|stopped|terminat\w{{1,5}}|values|exiting|abort\w{{0,3}})\b"
    rf"|\b(?:is|became|become|becomes|had|has|contains?|got|found|detected|encountered) (?:an? )?{_NONE}\b"
    r"|\binvalid loss, terminating|^\s*nan\s*$",
    re.IGNORECASE,
)

Lines = Iterable[tuple[int, str]]
Record = tuple[int, dict[str, object]]


@dataclass(frozen=True)
class TextFormat:
    """A format of text logs.

    Attributes:
        name: in words.
        program: a name of `programs.PROGRAMS`.
        is_line: whether a line is one of this format; cheap, every format sees every line of a file.
        records: the records of all lines, and what else they say, which it enters into its second argument: names of
            `log.VALUES` and `finished`.
        known: meaning -> name, where the names are fixed.
        notes: what holds for every log of this format.
    """

    name: str
    program: str
    is_line: Callable[[str], bool]
    records: Callable[[Lines, dict[str, Any]], Iterator[Record]]
    known: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers, without colours; a progress bar's `\\r` ends a line as well.

    Raises:
        DataError: as `opened`.
    """
    with opened(path) as file:
        at = 1
        while text := file.readline(LONGEST_LINE):
            text = ANSI.sub("", text) if "\x1b" in text else text
            text = text if text.isascii() else text.translate(ASCII)
            yield at, (OF_A_PROCESS.sub("", text) if "]<std" in text else text).rstrip("\r\n")
            at += text.endswith("\n")


def format_of(path: Path, formats: Iterable[TextFormat]) -> TextFormat | None:
    """Return the format of most lines that any format knows, sure after a few of them; None where there is none."""
    found = {each.name: 0 for each in formats}
    by_name = {each.name: each for each in formats}
    for _, text in lines(path):
        for name, each in by_name.items():
            if each.is_line(text):
                found[name] += 1
                if found[name] >= SURE:
                    return each
                break
    best = max(found, key=lambda name: found[name])
    return by_name[best] if found[best] else None


def read(path: Path, asked: Asked, format_: TextFormat) -> TrainingLog:
    """Read a text log.

    Raises:
        DataError: names file, line and column.
    """
    counts: Counter[str] = Counter()
    nans: Counter[str] = Counter()
    for _, record in islice(format_.records(lines(path), {}), RECORDS_OF_NAMES):
        counts.update(record.keys())
        nans.update(name for name, value in record.items() if str(value).lower() == "nan")
    if not counts:
        raise NothingLoggedError(f"{path}: no line with training numbers yet")
    values: dict[str, Any] = {}
    never = [name for name in nans if nans[name] == counts[name]]  # of losses without a name of one
    unnamed = {"loss": never[0]} if never and not any(meaning_of(name) in LOSSES for name in counts) else {}
    rows = Rows(path, format_.name, list(counts), asked, known=unnamed | usual_loss(counts) | format_.known)
    reported: list[int] = []
    for line, record in format_.records(_heard(lines(path), reported), values):
        rows.add(line, record)
    rows.log.reports_nan = reported
    rows.log.finished = values.pop("finished", None)
    rows.log.program = values.pop("program", format_.program)
    log = rows.done()
    log.values |= values
    log.notes += format_.notes
    return log


def _heard(texts: Lines, reported: list[int]) -> Iterator[tuple[int, str]]:
    """Yield the lines; those in which the program says that something is nan or infinite are entered."""
    for at, text in texts:
        if REPORTS_NAN.search(text):
            reported.append(at)
        yield at, text
