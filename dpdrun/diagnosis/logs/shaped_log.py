"""Lines of one shape whose numbers have no names: what they are is read from how they move (`nameless`).

INFO:Net, 2022-03-10 18:35:12,212, epoch, 0040, 0.015912, 0.017028          0.6931 (alone in its line)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dpdrun.diagnosis.logs import nameless
from dpdrun.diagnosis.logs.cells import number
from dpdrun.diagnosis.logs.text_log import NUMBER, Lines, Record, TextFormat

TIME = re.compile(r"\b(?:\d{2,4}([-/.])\d{1,2}\1\d{1,4}|\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d{1,6})?)\b")
ONE = re.compile(rf"(?<![A-Za-z\d.]){NUMBER}(?![A-Za-z\d.])", re.I)
PRECISE = re.compile(r"(?<![A-Za-z\d.])-?\d{1,12}\.\d{3,30}(?:[eE][-+]?\d{1,4})?(?![\w.])")  # no version, no time
DIGITS = re.compile(r"\d+")  # of 10s and 9m
LEAST = 2  # lines
MOST_LINES = 100_000


def _is_line(text: str) -> bool:
    return PRECISE.search(TIME.sub("", text)) is not None


def _records(lines: Lines, _: dict[str, Any]) -> Iterator[Record]:
    shapes: dict[str, list[tuple[int, list[str]]]] = {}
    seen = 0
    for line, text in lines:
        plain = TIME.sub("", text)
        if seen < MOST_LINES and (numbers := ONE.findall(plain)) and ("." in plain or "n" in plain.lower()):
            shapes.setdefault(" ".join(DIGITS.sub("0", ONE.sub("#", plain)).split()), []).append((line, numbers))
            seen += 1
    shape = max(shapes, key=lambda each: len(shapes[each]), default="")
    if len(shapes.get(shape, [])) < LEAST:
        return
    columns = [
        [number(cell) or 0.0 for cell in column] for column in zip(*(cells for _, cells in shapes[shape]), strict=True)
    ]
    meant = nameless.meanings(columns, of_losses="loss" in shape.lower())
    for line, cells in shapes[shape]:
        yield line, {key: cells[at] for key, at in meant.items()}


FORMAT = TextFormat(
    "lines of numbers without names", "", _is_line, _records,
    notes=("the numbers have no names: what they are is read from how they move (--map loss=COLUMN)",),
)  # fmt: skip
