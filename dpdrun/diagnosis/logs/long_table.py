"""Long tables, as MLflow exports them: a row is a name and a value at a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from dpdrun.diagnosis.logs.names import plain_name

NAMES = frozenset({"metric", "tag", "key", "name", "variable", "metric name"})  # of the column of names
MOST_NAMES = 200

Row = tuple[int, dict[str, object]]


def columns_of(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the column of names and that of values; None where a table is no long one."""
    tag = next((name for name in names if plain_name(name) in NAMES), None)
    value = next((name for name in names if plain_name(name) == "value"), None)
    return (tag, value) if tag is not None and value is not None else None


def names_in(rows: Iterable[Row], tag: str) -> list[str]:
    """Return the names that the rows hold."""
    return [*islice(dict.fromkeys(str(cells.get(tag)) for _, cells in rows), MOST_NAMES)]


def widened(rows: Iterable[Row], tag: str, value: str) -> Iterator[Row]:
    """Yield the rows with their value under their name."""
    for line, cells in rows:
        yield line, {**cells, str(cells.get(tag)): cells.get(value)}
