"""The measured learning-rate rule: log2(lr) as a sum of a few effects, fitted to lose as little as possible.

What is minimised is the regret itself, not the distance to the optimum: beyond the optimum a curve may end in a cliff,
below it the slope is gentle, so the best rule lies on the gentle side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.regret.curves import Curve
from benchmarks.regret.workloads import Workload

REFERENCE: dict[str, dict[str, float]] = {
    "transformer": {"width": 16, "steps": 400, "batch": 8, "layers": 1},
    "gru": {"width": 16, "steps": 400, "batch": 32, "layers": 1},
}
RIDGE = 0.005  # [dB^2 per (octave per octave)^2]: an effect that the curves do not show stays at zero
LEVEL_GRID = np.arange(-9.0, -1.0, 0.5)


def octaves(job: Workload, effect: str) -> float:
    """How far a job is above the reference."""
    return math.log2(getattr(job, effect) / REFERENCE[job.kind][effect])


@dataclass(frozen=True)
class Law:
    """log2(lr) = level + sum of effect x octaves."""

    level: float
    effects: dict[str, float]

    def exponent(self, job: Workload) -> float:
        """log2(lr) for a job."""
        return self.level + sum(slope * octaves(job, name) for name, slope in self.effects.items())


def fit(curves: Sequence[Curve], effects: Sequence[str]) -> Law:
    """The law with the least mean squared regret over the curves (and a small ridge on its effects)."""
    from scipy.optimize import minimize

    def loss(parameters: np.ndarray) -> float:
        law = Law(float(parameters[0]), dict(zip(effects, map(float, parameters[1:]), strict=True)))
        regrets = [curve.regret(law.exponent(curve.workload)) for curve in curves]
        return float(np.mean(np.square(regrets)) + RIDGE * np.sum(np.square(parameters[1:])))

    flat = {level: loss(np.array([level, *[0.0] * len(effects)])) for level in LEVEL_GRID}
    found = []
    for level in sorted(flat, key=lambda level: flat[level])[:3]:  # a cliff makes local minima
        options = {"xatol": 0.01, "fatol": 1e-4, "maxiter": 2000, "initial_simplex": _simplex(level, len(effects))}
        found.append(minimize(loss, _simplex(level, len(effects))[0], method="Nelder-Mead", options=options))
    best = min(found, key=lambda each: each.fun)
    return Law(float(best.x[0]), dict(zip(effects, map(float, best.x[1:]), strict=True)))


def _simplex(level: float, effects: int) -> np.ndarray:
    """Start with steps of half an octave in the level and of a third in the effects."""
    corners = np.zeros((effects + 2, effects + 1))
    corners[:, 0] = level
    corners[1, 0] += 0.5
    for i in range(effects):
        corners[i + 2, i + 1] = -0.3
    return corners
