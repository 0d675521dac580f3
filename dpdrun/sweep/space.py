"""The space of a sweep: which values each swept field takes.

A field takes a list of values, or a range `[log:]LOW..HIGH[:COUNT]`. A grid needs the count; a search draws from the
range. A value may be a section, such as a whole `model:`.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.patch import render
from dpdrun.recipe.problems import Mark, Problem
from dpdrun.recipe.yaml12 import Node, scalar

_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
_RANGE = re.compile(rf"(?P<log>log:)?(?P<low>{_NUMBER})\.\.(?P<high>{_NUMBER})(?::(?P<count>[0-9]{{1,9}}))?\Z")
_LIKE_A_RANGE = re.compile(r"(?:log:|lin:)|[0-9]\.\.[-+0-9.]")
LARGEST = 1e300  # end of a range: the distance between two of them is a number too
EXAMPLE = "log:3e-3..1e-1:5"

Config = Mapping[str, str]  # swept key -> value, as `--set` takes it


@dataclass(frozen=True)
class Range:
    """The values from `low` to `high`, both included; on a logarithmic scale where `log`.

    Attributes:
        count: of the values in a grid; None = only a search can draw from it.
        integer: only whole numbers.
    """

    low: float
    high: float
    log: bool = False
    count: int | None = None
    integer: bool = False

    def grid(self) -> list[float]:
        """Return `count` values at equal distances, whole numbers once each."""
        count = self.count or 0
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        shares = [index / max(1, count - 1) for index in range(count)]
        values = [low + share * (high - low) for share in shares]
        values = [math.exp(value) if self.log else value for value in values]
        if self.integer:
            return list(dict.fromkeys(round(value) for value in values))
        inner = [float(f"{value:.4g}") for value in values[1:-1]]  # readable, and the same on every machine
        return [self.low, *inner, self.high] if count > 1 else [self.low]

    def __str__(self) -> str:
        """Return the range as it is written."""
        count = "" if self.count is None else f":{self.count}"
        return f"{'log:' if self.log else ''}{render(self.low)}..{render(self.high)}{count}"


@dataclass(frozen=True)
class Dimension:
    """A swept field: its dotted key, its values, and where each was written (of a range, the range)."""

    key: str
    values: tuple[Any, ...] | Range
    marks: tuple[Mark, ...]

    def choices(self) -> list[tuple[str, Mark]]:
        """Return the values of a grid as `--set` takes them, with their marks."""
        if isinstance(self.values, Range):
            return [(render(value), self.marks[0]) for value in self.values.grid()]
        return [(render(value), mark) for value, mark in zip(self.values, self.marks, strict=True)]

    def ends(self) -> list[tuple[str, Mark]]:
        """Return the values that a search is checked with: those of a list, the ends of a range."""
        if isinstance(self.values, Range):
            return Dimension(self.key, replace(self.values, count=2), self.marks).choices()
        return self.choices()

    def written(self) -> Any:
        """Return the values as a sweep file has them."""
        return str(self.values) if isinstance(self.values, Range) else list(self.values)

    @property
    def has_rule(self) -> bool:
        """Whether the rules can set the field: it takes `auto`."""
        return any("auto" in doc.words for doc in field_docs() if doc.key == self.key)


def dimension_of(key: str, mark: Mark, node: Node) -> tuple[Dimension | None, list[Problem]]:
    """Read the values of one swept field.

    Args:
        key: dotted, of the recipe.
        mark: of the key.
        node: a list of values, one value, or a range as text.

    Returns:
        The dimension, and what is wrong with it; whether the recipe takes the values is checked later.
    """
    items = node.value if isinstance(node.value, list) else [node]
    if not items:
        return None, [Problem(key, f"over.{key}: the list is empty; name the values of the sweep", mark)]
    if key == "train.seed":
        return None, [Problem(key, "over.train.seed: write the number of seeds as `seeds: 3`", mark)]
    if len(items) == 1 and isinstance(items[0].value, str):
        text = items[0].value.strip()
        if match := _RANGE.match(text):
            found, message = _range(match)
            if message:
                return None, [Problem(key, f"over.{key}: {message}", items[0].mark)]
            return Dimension(key, found, (items[0].mark,)), []
    problems = []
    for item in items:
        if isinstance(item.value, str) and _LIKE_A_RANGE.match(item.value):
            message = f"over.{key}: a range is [log:]LOW..HIGH[:COUNT], such as {EXAMPLE}, alone; got {item.raw}"
            problems.append(Problem(key, message, item.mark))
    values = tuple(item.plain() for item in items)
    repeated = [item for index, item in enumerate(items) if item.plain() in values[:index]]
    problems += [Problem(key, f"over.{key}: {item.raw or 'a value'} is named twice", item.mark) for item in repeated]
    return (None if problems else Dimension(key, values, tuple(item.mark for item in items))), problems


def _range(match: re.Match[str]) -> tuple[Range, str]:
    """Return a range, and what is wrong with it."""
    low, high = scalar(match["low"]), scalar(match["high"])
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    log, count = match["log"] is not None, None if match["count"] is None else int(match["count"])
    found = Range(low, high, log, count, isinstance(low, int) and isinstance(high, int))
    if max(abs(low), abs(high)) > LARGEST:
        return found, f"a range ends at {LARGEST:g}"
    if not low < high:
        return found, f"the range is empty: {match['low']} is not below {match['high']}"
    if log and low <= 0:
        return found, "a logarithmic range begins above 0"
    if count is not None and count < 2:
        return found, "a range takes at least 2 values"
    return found, ""


def grid(dimensions: Sequence[Dimension]) -> Iterator[Config]:
    """Yield every combination, the last dimension fastest."""
    keys = [each.key for each in dimensions]
    for values in itertools.product(*([text for text, _ in each.choices()] for each in dimensions)):
        yield dict(zip(keys, values, strict=True))


def grid_size(dimensions: Sequence[Dimension]) -> int:
    """Return the number of combinations."""
    sizes = (each.values.count or 0 if isinstance(each.values, Range) else len(each.values) for each in dimensions)
    return math.prod(sizes)


def overrides_of(config: Config) -> tuple[str, ...]:
    """Return a configuration as `--set` takes it, sections before the fields in them."""
    return tuple(f"{key}={value}" for key, value in sorted(config.items(), key=lambda pair: pair[0].count(".")))
