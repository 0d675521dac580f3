"""Trend statistics for noisy, autocorrelated series such as gradient norms; plain Python, a few hundred points.

Mann-Kendall asks whether a series rises or falls without assuming a line or a distribution; Hamed and Rao's correction
keeps its p-value valid for correlated neighbours; Theil-Sen estimates the size of the rise. Both are robust to spikes.

References:
    Mann 1945; Kendall 1975. Sen 1968. Hamed & Rao 1998, "A modified Mann-Kendall trend test for autocorrelated data",
    Journal of Hydrology 204.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist, median

MOST_POINTS = 400  # the tests compare all pairs
MOST_CORRELATED = 0.99  # a lag-1 autocorrelation beyond this is a random walk, which has no trend to test


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values that has at least `share` percent of them below it, or the largest of all.

    A value that occurred, so that a clip there is one of the norms. Raises ValueError on no values.
    """
    if not values:
        raise ValueError("no values")
    return sorted(values)[min(len(values) - 1, int(share / 100 * len(values)))]


@dataclass(frozen=True)
class Trend:
    """A trend over the whole series.

    Attributes:
        change: Theil-Sen slope times the length of the series, in its own unit.
        p_up, p_down: one-sided p-values of a rise and of a fall.
        n: points.
    """

    change: float
    p_up: float
    p_down: float
    n: int


def decimate(values: Sequence[float], most: int = MOST_POINTS) -> list[float]:
    """Return the medians of at most `most` equal stretches of a series: without spikes and most autocorrelation."""
    if len(values) <= most:
        return list(values)
    edges = [round(i * len(values) / most) for i in range(most + 1)]
    return [median(values[a:b]) for a, b in pairwise(edges)]


def trend(values: Sequence[float]) -> Trend:
    """Direction, size and significance of a trend. Needs at least 4 finite points; decimate longer series first."""
    n = len(values)
    if n < 4:
        raise ValueError(f"a trend needs at least 4 points, got {n}")
    slope = theil_sen(values)
    z = _mann_kendall_z(values, slope)
    p_up = 1.0 - NormalDist().cdf(z)
    return Trend(slope * (n - 1), p_up, 1.0 - p_up, n)


def student_t(p: float, dof: int) -> float:
    """Return the value that Student's t exceeds with probability `p`, by Cornish and Fisher's expansion.

    For p of 0.01 it is 7 % low at 2 degrees of freedom, and 1 % from 4 on (Abramowitz & Stegun, 26.7.5).
    """
    z = NormalDist().inv_cdf(1.0 - p)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / dof**k for k, term in enumerate(terms))


def theil_sen(values: Sequence[float]) -> float:
    """Return the median of the slopes between all pairs of points, per step of the series."""
    return median(
        [(later - now) / gap for gap in range(1, len(values)) for now, later in zip(values, values[gap:], strict=False)]
    )


def kendall_s(values: Sequence[float]) -> int:
    """Return Mann-Kendall's S: pairs that rise minus pairs that fall."""
    before: list[float] = []  # sorted
    s = 0
    for value in values:
        s += bisect_left(before, value) - (len(before) - bisect_right(before, value))
        insort(before, value)
    return s


def may_rise(values: Sequence[float], p: float) -> bool:
    """Return whether `trend` can find a rise with a p-value of `p` (below 0.5) or less; never says no wrongly.

    The correction for autocorrelation only ever makes a trend less certain, so a rise that is not significant without
    it is not significant with it.
    """
    s = kendall_s(values)
    deviation = math.sqrt(_variance_of_s(values))
    return s > 0 and deviation > 0.0 and 1.0 - NormalDist().cdf((s - 1) / deviation) <= p


def _mann_kendall_z(values: Sequence[float], slope: float) -> float:
    s = kendall_s(values)
    variance = _variance_of_s(values) * hamed_rao_factor([value - slope * i for i, value in enumerate(values)])
    if variance <= 0.0 or s == 0:
        return 0.0
    return (s - math.copysign(1, s)) / math.sqrt(variance)


def _variance_of_s(values: Sequence[float]) -> float:
    """Return the variance of S of independent values, ties counted (Kendall 1975)."""
    n = len(values)
    ties = sum(t * (t - 1) * (2 * t + 5) for t in Counter(values).values())
    return (n * (n - 1) * (2 * n + 5) - ties) / 18.0


def hamed_rao_factor(detrended: Sequence[float]) -> float:
    """Return by how much autocorrelation inflates the variance of S, from the ranks of the series without its trend.

    Lags count whose autocorrelation is significant at 5 %, up to the first that is not: at long lags the estimate is
    noise, and on short series summing it (as in the paper) can undo the correction. A series that wanders slowly shows
    too little of its autocorrelation, so the factor is at least that of an AR(1) process, (1 + r) / (1 - r), with the
    lag-1 autocorrelation r freed of its bias -(1 + 4 r) / n (Kendall 1954). Never below 1: alternating series do not
    make a trend more certain.
    """
    n = len(detrended)
    ranks = _ranks(detrended)
    mean = sum(ranks) / n
    centred = [rank - mean for rank in ranks]
    power = sum(c * c for c in centred)
    if power == 0.0:
        return 1.0
    first = sum(a * b for a, b in pairwise(centred)) / power
    unbiased = min(MOST_CORRELATED, first + (1.0 + 4.0 * first) / n)
    wandering = (1.0 + unbiased) / (1.0 - unbiased) if abs(first) > 1.0 / math.sqrt(n) else 1.0
    total, limit = 0.0, NormalDist().inv_cdf(0.975) / math.sqrt(n)
    for lag in range(1, n - 2):
        rho = sum(a * b for a, b in zip(centred, centred[lag:], strict=False)) / power
        if abs(rho) <= limit:
            break
        total += (n - lag) * (n - lag - 1) * (n - lag - 2) * rho
    return max(1.0, wandering, 1.0 + 2.0 * total / (n * (n - 1) * (n - 2)))


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the ranks, from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        stop = start
        while stop < len(order) and values[order[stop]] == values[order[start]]:
            stop += 1
        for position in order[start:stop]:
            ranks[position] = (start + stop + 1) / 2
        start = stop
    return ranks


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Least-squares slope of y on x and the share of variance that it explains (R^2); (0, 0) when x is constant."""
    n = len(x)
    mean_x, mean_y = sum(x) / n, sum(y) / n
    sxx = sum((a - mean_x) ** 2 for a in x)
    syy = sum((b - mean_y) ** 2 for b in y)
    sxy = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    if sxx == 0.0 or syy == 0.0:
        return 0.0, 0.0
    return sxy / sxx, sxy * sxy / (sxx * syy)
