"""From trials to curves: score against log2(lr), the best that a learning rate can do, and the regret of any other."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from benchmarks.regret.sweep import score_of
from benchmarks.regret.workloads import WORKLOADS, Workload

NEAR_DB = 1.5  # of the best median: what belongs to the bottom of a curve and not to the cliff beside it


@dataclass(frozen=True)
class Curve:
    """Validation NMSE of a workload against the learning rate.

    Attributes:
        exponent: log2(lr), rising, (N,).
        median_db: median over seeds, (N,) [dB].
        scatter_db: median over the points within NEAR_DB of the best of the range over seeds [dB].
    """

    workload: Workload
    exponent: NDArray[np.float64]
    median_db: NDArray[np.float64]
    scatter_db: float

    @cached_property
    def oracle(self) -> tuple[float, float]:
        """log2(lr) and score of the best: the vertex of a parabola through the points around the best median.

        Points more than an octave away, or NEAR_DB worse, are left out: beyond the optimum a curve may end in a cliff.
        The best point itself where the fit has no vertex between those points.
        """
        best = int(np.argmin(self.median_db))
        near = (abs(self.exponent - self.exponent[best]) <= 1.0) & (self.median_db <= self.median_db[best] + NEAR_DB)
        x, y = self.exponent[near], self.median_db[near]
        if len(x) >= 3:
            a, b, c = np.polyfit(x - self.exponent[best], y, 2)
            vertex = -b / (2 * a) if a > 0 else np.inf
            if x[0] <= vertex + self.exponent[best] <= x[-1]:
                return float(vertex + self.exponent[best]), float(c - b * b / (4 * a))
        return float(self.exponent[best]), float(self.median_db[best])

    def at(self, exponent: float) -> float:
        """Score at any log2(lr) [dB], by monotone interpolation (PCHIP); the end points' beyond them."""
        return float(self._interpolated(np.clip(exponent, self.exponent[0], self.exponent[-1])))

    def tried(self, exponent: float) -> bool:
        """Whether log2(lr) lies within what was swept."""
        return bool(self.exponent[0] <= exponent <= self.exponent[-1])

    @cached_property
    def _interpolated(self) -> PchipInterpolator:
        return PchipInterpolator(self.exponent, self.median_db)

    def regret(self, exponent: float) -> float:
        """What a learning rate loses against the oracle [dB], at least 0."""
        return max(0.0, self.at(exponent) - self.oracle[1])


def curves(results: Mapping[str, Any]) -> list[Curve]:
    """The curves of all workloads whose sweep is complete."""
    found = []
    for workload in WORKLOADS:
        scores: dict[float, list[float]] = {}
        for name, result in results.items():
            parts = name.split("/")
            if parts[0] == workload.name and parts[1] == "lr":
                scores.setdefault(float(parts[2]), []).append(score_of(result))
        complete = {exponent: each for exponent, each in scores.items() if len(each) >= workload.seeds}
        if f"{workload.name}/schedule_free/{workload.seeds - 1}" not in results:
            continue  # under way
        exponents = sorted(complete)
        medians = [statistics.median(complete[exponent]) for exponent in exponents]
        best = min(medians)
        spread = [
            max(complete[exponent]) - min(complete[exponent])
            for exponent, median in zip(exponents, medians, strict=True)
            if median <= best + NEAR_DB
        ]
        found.append(Curve(workload, np.array(exponents), np.array(medians), statistics.median(spread)))
    return found
