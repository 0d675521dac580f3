"""The table of numbers in a JSON value, whatever its shape: records, columns, or curves, nested or not.

[{"epoch": 1, "loss": 0.5}, ...]      {"history": {"loss": [...], "val_loss": [...]}}     {"epoch_1": {"loss": ..}}
{"loss": {"0": 0.5, "1": 0.4}}        {"train": {"loss": [...]}, "val": {"loss": [...]}}  [[100, 0.5], [200, 0.4]]
{"columns": [...], "data": [[...]]}   {"loss": [{"step": 1, "value": 0.5}, ...]}          [0.5, 0.4, 0.3]
"""

from __future__ import annotations

import math
import re
from typing import Any

from dpdrun.diagnosis.logs import nameless
from dpdrun.diagnosis.logs.names import LOSSES, meaning_of, plain_name

COUNT = re.compile(r"(?:epoch|step|iteration|round)?[ _-]?(\d{1,12})", re.I)  # "3", "epoch_3"
DEEPEST = 5  # values within values in which a table is looked for
MOST_LOOKED_INTO = 200  # values of a list
FIRST = 50  # records that show which names there are
LEAST = 3  # numbers of a list without the name of a loss
PARTS = ("train", "training", "val", "valid", "validation", "dev", "test")
STEP_NAMES, VALUE_NAMES = ("step", "epoch", "x", "iteration"), ("value", "loss", "y")
ROWS_IN = ("data", "rows", "values")

Record = dict[str, Any]


def table_of(content: Any) -> list[Record] | None:
    """Return the records of the table that a value holds; of several, one with a loss, or the longest.

    Where the only numbers have no name of a loss, they are one.
    """
    found = _table_in(content)
    if found is None or _has_loss(found):
        return found
    numbers = {name for record in found[:FIRST] for name, value in record.items() if not _counts(name, value)}
    only = numbers.pop() if len(numbers) == 1 else None
    return [{"loss": record[only]} for record in found if only in record] if only else found


def _table_in(content: Any, depth: int = 0) -> list[Record] | None:
    own = _own(content, depth)
    if own == [] or (own and _has_loss(own)) or depth >= DEEPEST:
        return own
    if not isinstance(content, dict | list):
        return None
    parts = [*content.values()] if isinstance(content, dict) else content[:MOST_LOOKED_INTO]
    tables = (_table_in(each, depth + 1) for each in parts if isinstance(each, dict | list) and each)
    best = max((table for table in tables if table), key=lambda table: (_has_loss(table), len(table)), default=None)
    return best if best and (own is None or _has_loss(best)) else own


def _has_loss(table: list[Record]) -> bool:
    """Return whether a table has a loss, also within its records."""
    parts = (value for record in table[:FIRST] for value in record.values() if isinstance(value, dict))
    return any(_names_loss(name) for each in (*table[:FIRST], *parts) for name in each)


def _counts(name: str, value: Any) -> bool:
    return meaning_of(name) == "step" and isinstance(value, int)


def _names_loss(name: str) -> bool:
    return "loss" in name.lower() or meaning_of(name) in LOSSES


def _own(content: Any, depth: int) -> list[Record] | None:
    """Return the table that a value itself is; None where it is none."""
    if isinstance(content, list):
        return _of_list(content, depth)
    return _of_dict(content) if isinstance(content, dict) else None


def _of_list(content: list[Any], depth: int) -> list[Record] | None:
    if all(isinstance(each, dict) for each in content):
        return content
    if depth == 0 and _are_numbers(content):
        return [{"loss": value} for value in content]
    if all(isinstance(each, list) for each in content) and len({len(each) for each in content}) == 1:
        return _of_rows(content)
    return None


def _of_rows(rows: list[list[Any]]) -> list[Record] | None:
    """Return the table of rows of one length: with a header, of columns, of points, or of numbers without names."""
    if all(isinstance(name, str) for name in rows[0]):
        return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    if not all(map(_are_numbers, rows)):
        return None
    if points := _points(rows):  # TensorBoard's download of one tag
        return [{"step": step, "loss": value} for step, value in points]
    columns = rows if len(rows) < len(rows[0]) else [list(column) for column in zip(*rows, strict=True)]
    meant = nameless.meanings([[math.nan if v is None else v for v in each] for each in columns], of_losses=True)
    return rows_of_lists({key: columns[at] for key, at in meant.items()}) if "loss" in meant else None


def _of_dict(content: Record) -> list[Record] | None:
    if isinstance(names := content.get("columns"), list):
        rows: list[Any] = next((content[name] for name in ROWS_IN if isinstance(content.get(name), list)), [])
        return [dict(zip(map(str, names), row, strict=False)) for row in rows if isinstance(row, list)]
    by_name = _by_part(content)
    curves = {name: points for name, each in by_name.items() if (points := _points(each))}
    if any(map(_names_loss, curves)):
        return [{"step": step, name: value} for name, points in curves.items() for step, value in points]
    columns = {name: each for name, each in by_name.items() if isinstance(each, list) and each}
    if any(_names_loss(name) or name in PARTS for name in columns):
        return rows_of_lists(columns)
    counts = [COUNT.fullmatch(str(name)) for name in content]
    if content and all(counts) and all(isinstance(each, dict) for each in content.values()):
        return [{"epoch": int(at.group(1)), **each} for at, each in zip(counts, content.values(), strict=True) if at]
    numbers = {name: each for name, each in columns.items() if len(each) >= LEAST and _are_numbers(each)}
    return rows_of_lists(numbers) if numbers else None


def _are_numbers(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, int | float) or value is None for value in values)


def _by_part(content: Record) -> Record:
    """Return values by one name: those of {"train": {"loss": ...}} and of {"loss": {"train": ...}} as `train_loss`."""
    found: Record = {}
    for name, each in content.items():
        inner = each if isinstance(each, dict) else {}
        if plain_name(name) in PARTS and inner:
            found |= {f"{name}_{key}": value for key, value in inner.items()}
        elif inner and all(plain_name(str(key)) in PARTS for key in inner):
            found |= {f"{key}_{name}": value for key, value in inner.items()}
        else:
            found[name] = each
    return found


def _points(curve: Any) -> list[tuple[int, float]]:
    """Return steps and values of [[step, value], ...], [[time, step, value], ...], {step: value} or of objects."""
    if isinstance(curve, dict) and all(steps := [COUNT.fullmatch(str(name)) for name in curve]):
        curve = [[int(step.group(1)), value] for step, value in zip(steps, curve.values(), strict=True) if step]
    if not isinstance(curve, list):
        return []
    if curve and all(isinstance(each, dict) for each in curve):
        step, value = (next((name for name in names if name in curve[0]), "") for names in (STEP_NAMES, VALUE_NAMES))
        curve = [[each.get(step), each.get(value)] for each in curve]
    if not all(isinstance(each, list) and len(each) in (2, 3) for each in curve):
        return []
    ends = [(each[-2], each[-1]) for each in curve]
    return ends if all(isinstance(s, int) and isinstance(v, int | float) for s, v in ends) else []


def rows_of_lists(columns: dict[str, list[Any]]) -> list[Record]:
    """Return lists by name as records; a list of another length than most is left out, as it has other steps."""
    losses = [name for name in columns if meaning_of(name) in LOSSES]
    length = len(columns[losses[0]]) if losses else max(map(len, columns.values()))
    kept = {name: each for name, each in columns.items() if len(each) == length}
    counted = {} if any(meaning_of(name) == "step" for name in kept) else {"epoch": range(1, length + 1)}
    return [{name: each[i] for name, each in (counted | kept).items()} for i in range(length)]
