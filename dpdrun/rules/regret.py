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

REACH = 2.0  # a run up to so many times shorter or longer than the swept ones is still judged by them


@dataclass(frozen=True)
class Regret:
    """Expected loss against the best learning rate of a job [dB]: half and 95 % of the swept workloads lose less.

    Attributes:
        workloads: how many were swept at this run length.
    """

    median_db: float
    p95_db: float
    workloads: int


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

    def __str__(self) -> str:
        """`no warmup: +0.46 dB in the median of 4 jobs (-0.05 to +2.08; seeds differ by 0.29 dB)`."""
        if self.workloads == 1:
            return f"{self.instead}: {self.median_db:+.2f} dB in one job (seeds differ by {self.scatter_db:.2f} dB)"
        return (
            f"{self.instead}: {self.median_db:+.2f} dB in the median of {self.workloads} jobs ({self.low_db:+.2f} to "
            f"{self.high_db:+.2f}; seeds differ by {self.scatter_db:.2f} dB)"
        )


def regret_of(kind: str | None, lr: float, ours: float, steps: int | None = None) -> Regret | None:
    """Expected regret of a learning rate in a job where our measured rule sets `ours`.

    Far from the best it depends on the length of the run, so the swept length that is nearest by ratio answers; all of
    them where `steps` is None. None for a kind or a length that was not swept, and for a learning rate further away
    than the sweeps reach.
    """
    table = measured()["expected"].get(kind)
    if table is None or not lr > 0:
        return None
    octaves, away = table["octaves"], math.log2(lr / ours)
    found = table["all"] if steps is None else _of_length(table["by_steps"], steps)
    if found is None or not octaves[0] <= away <= octaves[-1]:
        return None
    median_db, p95_db = (_between(octaves, found[name], away) for name in ("median_db", "p95_db"))
    return Regret(median_db, p95_db, found["workloads"])


def _of_length(tables: dict[str, Any], steps: int) -> dict[str, Any] | None:
    swept = sorted(map(int, tables))
    if not swept[0] / REACH <= steps <= swept[-1] * REACH:
        return None
    found: dict[str, Any] = tables[str(min(swept, key=lambda length: abs(math.log(steps / length))))]
    return found


def swept_workloads(kind: str) -> int:
    """Number of workloads behind `regret_of`."""
    return int(measured()["expected"][kind]["all"]["workloads"]) if kind in measured()["expected"] else 0


def worth_of(group: str | None, key: str) -> Worth | None:
    """What the rule for a field is worth: group is a kind of model, or `note` for the note's own encoder."""
    entry = measured()["worth"].get(group, {}).get(key)
    return None if entry is None else Worth(**entry)


def groups_of(key: str) -> dict[str, Worth]:
    """Worth of the rule for a field in every group that was measured."""
    return {group: Worth(**entries[key]) for group, entries in measured()["worth"].items() if key in entries}


def _between(xs: list[float], ys: list[float], x: float) -> float:
    right = next(i for i, value in enumerate(xs) if value >= x)
    if right == 0:
        return ys[0]
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return ys[right - 1] + share * (ys[right] - ys[right - 1])


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """The content of regret.json."""
    content: dict[str, Any] = json.loads(files("dpdrun.rules").joinpath("regret.json").read_text(encoding="utf-8"))
    return content
