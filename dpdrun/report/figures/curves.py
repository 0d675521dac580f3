"""A logged series as it is drawn: thinned out to medians, with the range that they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MOST_POINTS = 250  # of a drawn curve
LARGEST = 1e150  # what can be drawn; nan and inf are not below it
REACH = 30.0  # factor that a level may lie away from the data and still be drawn
LR_DECADES = 3.0  # below its peak; a rate that decays to zero has no end


@dataclass(frozen=True)
class Curve:
    """A series as it is drawn: medians of equal shares of the values, with the lowest and highest of each.

    Attributes:
        name, colour: of its line.
        x: middle step of each share; y, low, high: median, least and greatest of its finite (log: positive) values.
        bad: steps with a non-finite value.
        log: whether its axis is logarithmic.
    """

    name: str
    colour: str
    x: list[float]
    y: list[float]
    low: list[float]
    high: list[float]
    bad: list[int]
    log: bool

    @classmethod
    def of(cls, name: str, colour: str, steps: Sequence[int], values: Sequence[float], *, log: bool) -> Curve:
        """Return a series thinned out to at most `MOST_POINTS`."""
        count = min(MOST_POINTS, len(values))
        x, y, low, high = [], [], [], []
        for i in range(count):
            a, b = i * len(values) // count, (i + 1) * len(values) // count
            good = [value for value in values[a:b] if abs(value) < LARGEST and (value > 1 / LARGEST or not log)]
            if good:
                x.append((steps[a] + steps[b - 1]) / 2)
                y.append(median(good))
                low.append(min(good))
                high.append(max(good))
        bad = [step for step, value in zip(steps, values, strict=True) if not math.isfinite(value)]
        return cls(name, colour, x, y, low, high, bad, log)

    def draw(self, axis: Any, **style: Any) -> Any:
        """Draw the medians, their range, and a tick at the top for each non-finite value; return the line."""
        if self.log:
            axis.set_yscale("log")
        if self.low != self.high:
            axis.fill_between(self.x, self.low, self.high, color=self.colour, alpha=0.2, lw=0)
        if self.bad:
            at_the_top = {"transform": axis.get_xaxis_transform(), "ms": 6}
            axis.plot(self.bad, [0.97] * len(self.bad), "|", color=self.colour, **at_the_top)
        if len(self.y) == 1:
            style |= {"marker": "o", "ms": 2.5}
        return axis.plot(self.x, self.y, color=self.colour, label=self.name, **style)[0]


def limit_lr(axis: Any, curves: Sequence[Curve]) -> None:
    """Set the limits of an axis of learning rates."""
    high = max(max(curve.high) for curve in curves)
    low = max(min(min(curve.low) for curve in curves), high * 10**-LR_DECADES)
    axis.set_ylim(low / 1.4, high * 1.4)
