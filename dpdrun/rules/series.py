"""Series of a training log: levels, outliers and comparisons that noise, drift and single spikes do not upset.

Plain Python in one pass over the log: rules run on 100,000 steps in the time that reading them takes.

References:
    Iglewicz & Hoaglin 1993: outliers by median and scale of the middle half. Mann & Whitney 1947. Page 1954 (CUSUM).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from operator import mul
from statistics import NormalDist, fmean, median

from dpdrun.rules.statistics import student_t

IQR_OF_UNIT_NORMAL = 2.0 * NormalDist().inv_cdf(0.75)
STRETCHES = 12  # whose medians show a noise
EIGHTH = 8
MOST_DIGITS = 200  # points
LEAST_STRETCH = 5  # points; shorter ones follow the curve more than the noise
MEDIAN_OVER_MEAN = math.sqrt(math.pi / 2.0)  # spread of a median over that of a mean


@dataclass(frozen=True)
class SeriesBlock:
    """A stretch of a series: its positions, median, and spread (the sigma of a normal with its quartiles)."""

    positions: range
    level: float
    spread: float


def blocks(values: Sequence[float], width: int, *, start: int = 0) -> list[SeriesBlock]:
    """Return the consecutive stretches of `width` points from position `start` on; a shorter rest is left out."""
    found = []
    for first in range(start, len(values) - width + 1, width):
        ordered = sorted(values[first : first + width])
        quartiles = ordered[(3 * width) // 4] - ordered[width // 4]
        found.append(SeriesBlock(range(first, first + width), median(ordered), quartiles / IQR_OF_UNIT_NORMAL))
    return found


@dataclass(frozen=True)
class Event:
    """Points that stand out close to each other: positions of the first and the largest, and how far off that is."""

    first: int
    top: int
    size: float
    z: float


def outliers(values: Sequence[float], *, width: int, z: float, least: float, floor: float, gap: int) -> list[Event]:
    """Points above the median of the `width` before them by `z` spreads and `least`; those within `gap` are one event.

    What comes after a point does not count: a jump whose echo lasts would raise the level that it is measured by, and a
    growing log does not take a word back. A steady rise spreads those before it by more than it rises above them.

    Args:
        values: on a scale on which noise is symmetric, such as decibels.
        floor: smallest spread that is believed.
    """
    events: list[Event] = []
    last = -math.inf
    lows = [min(values[first : first + width]) for first in range(0, len(values), width)]
    for at in range(width // 2, len(values)):
        value, stretch = values[at], at // width
        if value < min(lows[max(0, stretch - 1)], lows[stretch]) + least:  # most points, by far: a quick look
            continue
        before = values[max(0, at - width) : at]
        around = blocks(before, len(before))[0]
        size, spread = value - around.level, max(around.spread, floor)
        if size <= max(z * spread, least):
            continue
        if at - last > gap:
            events.append(Event(at, at, size, size / spread))
        elif size > events[-1].size:
            events[-1] = Event(events[-1].first, at, size, size / spread)
        last = at
    return events


def residuals(values: Sequence[float], width: int) -> list[float]:
    """Return each point less the line through the medians of the stretches around it, level beyond their centres."""
    found = blocks(values, min(width, len(values)))
    centres = [(block.positions.start + block.positions.stop - 1) / 2.0 for block in found]
    rest, piece = [], 0
    for at, value in enumerate(values):
        while piece < len(found) - 2 and at > centres[piece + 1]:
            piece += 1
        level = found[piece].level
        if len(found) > 1:
            slope = (found[piece + 1].level - level) / (centres[piece + 1] - centres[piece])
            share = min(max(at, centres[0]), centres[-1])
            level += slope * (share - centres[piece])
        rest.append(value - level)
    return rest


def correlation(values: Sequence[float], lag: int) -> float:
    """Return the autocorrelation at a lag; see `correlations`."""
    return correlations(values, lag)[0]


def correlations(values: Sequence[float], *lags: int) -> list[float]:
    """Autocorrelation at each lag, by the signs of the points about their median: outliers count as much as others."""
    middle = median(values)
    signs = [(value > middle) - (value < middle) for value in values]
    return [sum(map(mul, signs, signs[lag:])) / (len(signs) - lag) if lag < len(signs) else 0.0 for lag in lags]


def p_greater(these: Sequence[float], those: Sequence[float]) -> float:
    """One-sided p-value that `these` are not larger than `those`: Mann-Whitney, normal approximation, ties halved."""
    n, m = len(these), len(those)
    ordered = sorted(those)
    u = sum((bisect_left(ordered, value) + bisect_right(ordered, value)) / 2.0 for value in these)
    spread = math.sqrt(n * m * (n + m + 1) / 12.0)
    return 1.0 - NormalDist().cdf((u - n * m / 2.0 - 0.5) / spread) if spread else 1.0


def cusum_start(values: Sequence[float], *, level: float, spread: float, slack: float, limit: float) -> int | None:
    """Where a series left its level upwards for good: Page's one-sided CUSUM, None when it never passed its limit.

    Args:
        slack, limit: k and h of the chart, in spreads.

    Returns:
        Position after the last zero of the sum before it passed the limit.
    """
    total, since = 0.0, 0
    for at, value in enumerate(values):
        total = max(0.0, total + (value - level) / spread - slack)
        if total == 0.0:
            since = at + 1
        elif total > limit:
            return since
    return None


def largest_fall(values: Sequence[float], p: float = 0.01) -> float:
    """Return the share of its first level by which a series may have fallen at most, wrong with probability `p`.

    An equivalence test: that a fall does not show in noise is no proof that there is none. Compared are the mean of the
    first eighth (two points or more) and the lowest mean of as many later ones. A fall within that eighth counts where
    it is significant. Below 0 where the series rises at once and stays up.

    Args:
        values: four or more, above 0.
    """
    n = len(values)
    width = max(2, n // EIGHTH)
    low = min(fmean(values[first : first + width]) for first in range(width + n % width, n - width + 1, width))
    error = student_t(p, n - 2) * max(noise(values), resolution(values) / math.sqrt(12.0))

    def fall(size: int, sign: float) -> float:
        head = fmean(values[:size])
        return (head - low + sign * error * math.sqrt(1.0 / size + 1.0 / width)) / head

    return max(fall(width, 1.0), *(fall(2**k, -1.0) for k in range(width.bit_length())))


def resolution(values: Sequence[float]) -> float:
    """Return the last digit that the numbers of a log have, as 0.01 of 0.53 and 0.4: what is smaller does not show."""
    exponents = (Decimal(repr(value)).as_tuple().exponent for value in values[:MOST_DIGITS])
    return 10.0 ** min(each for each in exponents if isinstance(each, int))


def jitter(values: Sequence[float]) -> float:
    """Return the size of the ups and downs from one point to the next, whatever the drift: from second differences.

    White noise of spread s has second differences of spread s sqrt(6).
    """
    steps = [b - a for a, b in pairwise(values)]
    bends = [abs(b - a) for a, b in pairwise(steps)]
    return median(bends) / (NormalDist().inv_cdf(0.75) * math.sqrt(6.0)) if bends else 0.0


def noise(values: Sequence[float]) -> float:
    """Return the spread of single points about their trend; also of points that are means over a moving window.

    Second differences of such points show too little of their noise, which the medians of stretches keep: the larger
    of both. From fewer than 12 points it is off by a factor of two in one series of ten.
    """
    width = len(values) // STRETCHES
    single = jitter(values)
    if width < LEAST_STRETCH:
        return single
    levels = [block.level for block in blocks(values, width)]
    return max(single, jitter(levels) * math.sqrt(width) / MEDIAN_OVER_MEAN)
