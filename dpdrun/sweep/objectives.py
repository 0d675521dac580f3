"""Scores of points: means over seeds with intervals, the Pareto front, and what the search gained over the rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from dpdrun.run.scores import chosen

CONFIDENCE = 0.95
SCORES = {"val_nmse_db": "nmse_db", "val_objective_db": "objective_db"}  # those of a split, by their name in a report


@dataclass(frozen=True)
class Mean:
    """A mean over seeds with its 95 % interval (Student's t); None for a single seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of a value for each seed, with its interval."""
    mean, count = fmean(values), len(values)
    if count < 2:
        return Mean(mean, None, None, count)
    half = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * stdev(values) / math.sqrt(count)
    return Mean(mean, mean - half, mean + half, count)


def objective_of(report: Mapping[str, Any], name: str, split: str = "val") -> float | None:
    """Return what a sweep minimizes, from report.json; None where the report has no such number."""
    if name not in SCORES:
        found = report.get(name)
    else:
        found = chosen(report.get("splits", {}).get(split) or {}).get(SCORES[name])
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else None


def pareto_front(costs: Sequence[Sequence[float]]) -> list[int]:
    """Return the indices of the rows that no other row dominates: at most as high in all columns, lower in one."""

    def beats(one: Sequence[float], other: Sequence[float]) -> bool:
        return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)

    return [index for index, row in enumerate(costs) if not any(beats(other, row) for other in costs)]


def gain_of(rules: Mapping[int, float], best: Mapping[int, float]) -> Mean | None:
    """Return by how much `best` is below `rules`, paired by seed; None where they share no seed.

    Args:
        rules, best: a score [dB] for each seed.
    """
    shared = sorted(set(rules) & set(best))
    return mean_of([rules[seed] - best[seed] for seed in shared]) if shared else None
