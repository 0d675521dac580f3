"""What our advice loses, as measured: the regret of a learning rate, and what each rule is worth.

Read from regret.json, which `make regret` writes (docs/results.md#regret). Nothing is said outside of what was swept.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Regret:
    """Expected loss against the best learning rate of a job [dB]: half and 95 % of the swept workloads lose less."""

    median_db: float
    p95_db: float


@dataclass(frozen=True)
class Worth:
    """What dropping a rule lost [dB]: the median over workloads, the least and the most; negative = it gained.

    Attributes:
        instead: what stood in its place.
        scatter_db: how far seeds lie apart in these runs; a smaller loss cannot be told from none.
    """

    median_db: float
    low_db: float
    high_db: float
    scatter_db: float
    instead: str
    workloads: int


def regret_of(kind: str | None, lr: float, ours: float) -> Regret | None:
    """Expected regret of a learning rate in a job where our measured rule sets `ours`.

    None for a kind that was not swept, and for a learning rate further away than the sweeps reach.
    """
    table = _measured()["expected"].get(kind)
    if table is None or not lr > 0:
        return None
    octaves = table["octaves"]
    away = math.log2(lr / ours)
    if not octaves[0] <= away <= octaves[-1]:
        return None
    return Regret(_between(octaves, table["median_db"], away), _between(octaves, table["p95_db"], away))


def swept_workloads(kind: str) -> int:
    """Number of workloads behind `regret_of`."""
    return int(_measured()["expected"][kind]["workloads"]) if kind in _measured()["expected"] else 0


def worth_of(group: str | None, key: str) -> Worth | None:
    """What the rule for a field is worth: group is a kind of model, or `note` for the note's own encoder."""
    entry = _measured()["worth"].get(group, {}).get(key)
    return None if entry is None else Worth(**entry)


def groups_of(key: str) -> dict[str, Worth]:
    """Worth of the rule for a field in every group that was measured."""
    return {group: Worth(**entries[key]) for group, entries in _measured()["worth"].items() if key in entries}


def _between(xs: list[float], ys: list[float], x: float) -> float:
    right = next(i for i, value in enumerate(xs) if value >= x)
    if right == 0:
        return ys[0]
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return ys[right - 1] + share * (ys[right] - ys[right - 1])


@lru_cache(maxsize=1)
def _measured() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("dpdrun.rules").joinpath("regret.json").read_text(encoding="utf-8"))
    return content
