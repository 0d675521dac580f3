"""What our advice loses, as measured: the regret of a learning rate, and what each rule is worth.

Read from regret.json, which `make regret` writes (docs/results.md#regret). Far from the best, both depend on the length
of the run, so the swept length that is nearest by ratio answers, and nothing is said beyond REACH times of what was
swept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

REACH = 4.0  # a run up to so many times shorter or longer than the swept ones is still judged by them


@dataclass(frozen=True)
class Regret:
    """Expected loss against the best learning rate of a job [dB]: half and 95 % of the swept workloads lose less.

    Attributes:
        steps: length of the runs that were swept, None for all of them.
        workloads: how many were swept at this length.
    """

    median_db: float
    p95_db: float
    workloads: int
    steps: int | None = None


@dataclass(frozen=True)
class Band:
    """Distances from our learning rate [octaves, down and up].

    Attributes:
        tie: until half of the workloads (upwards: one in twenty) lose 0.3 dB more.
        lost: until half of them lose 2 dB.
        tried: what was swept.
    """

    tie: tuple[float, float]
    lost: tuple[float, float]
    tried: tuple[float, float]


@dataclass(frozen=True)
class Worth:
    """What dropping a rule lost, all else equal [dB]: median over jobs, least and most; negative = it gained.

    Attributes:
        beyond_seeds: in how many jobs the change was larger than the seeds of that job differ by.
        instead: what stood in its place.
        steps: length of the jobs.
    """

    median_db: float
    low_db: float
    high_db: float
    beyond_seeds: int
    instead: str
    steps: int
    workloads: int

    def __str__(self) -> str:
        """`no warmup: +0.46 dB in 400 steps (4 jobs, +0.36 to +2.08; outside the spread over seeds in 3)`."""
        if self.workloads == 1:
            jobs = "one job" + ("" if self.beyond_seeds else ", within the spread over seeds")
        else:
            jobs = f"{self.workloads} jobs, {self.low_db:+.2f} to {self.high_db:+.2f}; "
            jobs += f"outside the spread over seeds in {self.beyond_seeds or 'none'}"
        return f"{self.instead}: {self.median_db:+.2f} dB in {self.steps:,} steps ({jobs})"


def regret_of(kind: str | None, lr: float, ours: float, steps: int | None = None) -> Regret | None:
    """Return the expected regret of a learning rate in a job where our measured rule sets `ours`.

    All run lengths together where `steps` is None. None for a kind or a length that was not swept, and for a learning
    rate further away than at least half of the sweeps reach.
    """
    table = _table(kind, steps)
    if table is None or not lr > 0:
        return None
    octaves, away = table["octaves"], math.log2(lr / ours)
    if not octaves[0] <= away <= octaves[-1]:
        return None
    median_db, p95_db = (_between(octaves, table[name], away) for name in ("median_db", "p95_db"))
    return Regret(median_db, p95_db, table["workloads"], None if steps is None else _length(kind, steps))


def band_of(kind: str | None, steps: int | None = None) -> Band | None:
    """Return how far from our learning rate one can go; None where `regret_of` is."""
    table = _table(kind, steps)
    if table is None:
        return None
    return Band(tuple(table["tie"]), tuple(table["lost"]), (table["octaves"][0], table["octaves"][-1]))


def worth_of(group: str | None, key: str, steps: int | None) -> Worth | None:
    """What the rule for a field is worth in a run: group is a kind of model, or `note` for the note's own encoder."""
    found = measured()["worth"].get(group, {}).get(key, {})
    length = None if steps is None else _nearest(found, steps)
    return None if length is None else Worth(**found[str(length)])


def groups_of(key: str) -> dict[str, list[Worth]]:
    """Return the worth of the rule for a field in every group that was measured, by rising run length."""
    return {
        group: [Worth(**each) for each in entries[key].values()]
        for group, entries in measured()["worth"].items()
        if key in entries
    }


@lru_cache(maxsize=1)
def measured() -> dict[str, Any]:
    """Return the content of regret.json."""
    content: dict[str, Any] = json.loads(files("dpdrun.rules").joinpath("regret.json").read_text(encoding="utf-8"))
    return content


def _table(kind: str | None, steps: int | None) -> dict[str, Any] | None:
    tables = measured()["expected"].get(kind, {})
    length = "all" if steps is None else str(_length(kind, steps))
    found: dict[str, Any] | None = tables.get(length)
    return found


def _length(kind: str | None, steps: int) -> int | None:
    return _nearest((name for name in measured()["expected"].get(kind, {}) if name != "all"), steps)


def _nearest(lengths: Iterable[str], steps: int) -> int | None:
    """Return the length that is nearest by ratio, None where it is more than REACH times away."""
    near = min(map(int, lengths), key=lambda length: abs(math.log(max(steps, 1) / length)), default=None)
    return near if near is not None and near / REACH <= steps <= near * REACH else None


def _between(xs: list[float], ys: list[float], x: float) -> float:
    right = next(i for i, value in enumerate(xs) if value >= x)
    if right == 0:
        return ys[0]
    share = (x - xs[right - 1]) / (xs[right] - xs[right - 1])
    return ys[right - 1] + share * (ys[right] - ys[right - 1])
