"""Locate the error in a record: a step up after its beginning, and recurring stretches.

Errors of amplifier models follow the level of the signal, so each |e|^2 is first divided by what is usual at its |y|:
the excess. Its mean is about 1 everywhere in a record whose error depends on the signal alone. Medians of blocks and
their standard errors then tell a step from the luck of a few peaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.alignment import fft_size
from dpdrun.rf.metrics import Signal, to_db

Series = NDArray[np.float64]

GROUPS = 20  # of |y|, equally many samples each
BLOCK = 32  # samples whose mean excess is one value
LEAST_BLOCKS = 4  # of a beginning
SHORTEST_PERIOD = 32
PERIODS = 8  # a period occurs at least as often
EDGES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # lengths of a stretch that are tried [samples]
CANDIDATES = 3
NEAR = 2  # samples: a wide stretch makes lags beside its period look as good
OWN_PERIOD = 0.3  # correlation of y with itself a period later, from which the signal itself repeats
MAX_SAMPLES = 131_072
TINY = 1e-30


@dataclass(frozen=True)
class Repeat:
    """A recurring stretch of high error: see `SignalFacts.period`; weight: what it explains of the excess."""

    period: int
    edge: int
    at: int
    db: float
    cost_db: float
    z: float
    weight: float


def nmse_by_position(y: Signal, prediction: Signal, pieces: int) -> tuple[float, ...]:
    """Return the NMSE of `pieces` equal parts of the record [dB]; nan for one without power. y, prediction: (N,)."""
    error, power = np.abs(prediction - y) ** 2, np.abs(y) ** 2
    sums = ([float(np.sum(part)) for part in np.array_split(each, pieces)] for each in (error, power))
    return tuple(to_db(e / p) if p > 0 else float("nan") for e, p in zip(*sums, strict=True))


def excess(y: Signal, prediction: Signal) -> Series:
    """Return |prediction - y|^2 over its mean among samples of about the same |y|: (N,), mean about 1."""
    error = np.abs(prediction - y) ** 2
    usual = np.empty_like(error)
    for group in np.array_split(np.argsort(np.abs(y), kind="stable"), GROUPS):
        usual[group] = np.mean(error[group])
    return np.asarray(error / np.maximum(usual, TINY), np.float64)


def rise(values: Series) -> dict[str, Any]:
    """Return facts of the beginning after which the excess steps up most, in standard errors; empty where none is.

    Beginnings of 4 blocks up to half the record are tried, each half an octave longer than the last.

    Args:
        values: excess, (N,).
    """
    blocks = np.log(np.maximum(_means(values, BLOCK), TINY))
    best: dict[str, Any] = {}
    length = float(LEAST_BLOCKS)
    while length <= len(blocks) / 2:
        count = round(length)
        before, after = blocks[:count], blocks[count:]
        step = float(np.median(after) - np.median(before))
        z = step / max(np.hypot(_error_of_median(before), _error_of_median(after)), 1e-9)
        if step > 0 and z > best.get("rise_z", 0.0):
            best = {"start_samples": count * BLOCK, "rise_db": float(10 / np.log(10)) * step, "rise_z": float(z)}
        length *= 2**0.5
    return best


def _means(values: Series, size: int) -> Series:
    whole = len(values) // size * size
    return np.asarray(values[:whole].reshape(-1, size).mean(axis=1))


def _error_of_median(values: Series) -> float:
    """Return the standard error of a median of independent normal values: 1.2533 sigma / sqrt(n)."""
    return 1.2533 * float(np.std(values, ddof=1)) / float(np.sqrt(len(values)))


def repeat(y: Signal, values: Series, extra: tuple[int, ...] = ()) -> Repeat | None:
    """Return the stretch of high error that recurs after a fixed length, and costs most.

    Candidates are the lags where the logarithm of the excess resembles itself most. A period of the signal itself is
    none: a waveform that is played twice has the same error twice.

    Args:
        y: target, (N,).
        values: excess, (N,).
        extra: periods to try besides those found [samples].
    """
    y, values = y[:MAX_SAMPLES], values[:MAX_SAMPLES]
    centres = [lag for lag in (*extra, *_candidates(values)) if SHORTEST_PERIOD <= lag <= len(values) // PERIODS]
    periods = sorted({lag + offset for lag in centres for offset in range(-NEAR, NEAR + 1)})
    own = _own_periods(y)
    found = [each for each in (_fold(values, period) for period in periods) if each.z > 0]
    foreign = (each for each in found if not np.any(np.abs(own - each.period) <= each.edge + NEAR))
    return max(foreign, key=lambda each: each.weight, default=None)


def _candidates(values: Series) -> list[int]:
    """Return the lags of the largest autocorrelation; the shortest first among multiples of one period."""
    logs = np.log(np.maximum(values, TINY))
    correlation = _autocorrelation(logs - np.mean(logs))[: len(values) // PERIODS]
    if len(correlation) <= SHORTEST_PERIOD:
        return []
    near_zero = correlation[SHORTEST_PERIOD:] <= 2 * correlation[0] / np.sqrt(len(values))
    shortest = SHORTEST_PERIOD + int(np.argmax(near_zero))  # a wide stretch resembles itself at lags within it
    correlation[:shortest] = -np.inf
    chosen: list[int] = []
    for _ in range(CANDIDATES):
        top = int(np.argmax(correlation))
        if not correlation[top] > 0:
            break
        divisors = [round(top / k) for k in range(top // shortest, 0, -1)]
        chosen.append(next(lag for lag in divisors if correlation[lag] >= 0.7 * correlation[top]))
        correlation[np.abs(np.arange(len(correlation)) - top) < SHORTEST_PERIOD] = -np.inf
    return chosen


def _autocorrelation(values: NDArray[np.generic]) -> Series:
    spectrum = np.abs(np.fft.fft(values, fft_size(2 * len(values)))) ** 2
    return np.asarray(np.abs(np.fft.ifft(spectrum)) if np.iscomplexobj(values) else np.fft.ifft(spectrum).real)


def _own_periods(y: Signal) -> NDArray[np.intp]:
    """Return the lags at which the signal resembles itself."""
    correlation = _autocorrelation(y)[: len(y) // 2]
    alike = correlation / correlation[0] * (len(y) / (len(y) - np.arange(len(correlation))))
    alike[:SHORTEST_PERIOD] = 0.0
    return np.flatnonzero(alike > OWN_PERIOD)


def _fold(values: Series, period: int) -> Repeat:
    """Return the stretch of a period that explains most of the variance of the excess: a step up, and down again.

    A step of height h and length w in each of K periods takes K w h^2 out of the sum of squares. What only costs most
    would be half a period, whatever its noise.
    """
    count = len(values) // period
    table = values[: count * period].reshape(count, period)
    profile = table.mean(axis=0)
    total = float(np.sum(profile))
    summed = np.concatenate([[0.0], np.cumsum(np.concatenate([profile, profile]))])
    weights: list[tuple[float, int, int]] = []
    for edge in (edge for edge in EDGES if edge <= period // 2):
        sums = summed[edge : edge + period] - summed[:period]
        at = int(np.argmax(sums))
        height = float(sums[at]) / edge - (total - float(sums[at])) / (period - edge)
        weights.append((count * edge * height**2, edge, at))
    weight, edge, at = max(weights)
    inside = np.arange(at, at + edge) % period
    high, low = table[:, inside].mean(axis=1), np.delete(table, inside, axis=1).mean(axis=1)
    step = np.log(np.maximum(high, TINY)) - np.log(np.maximum(low, TINY))
    z = float(np.mean(step) / max(np.std(step, ddof=1) / np.sqrt(count), 1e-9))
    rest = max(float(np.mean(low)), TINY)
    return Repeat(period, edge, at, to_db(float(np.mean(high)) / rest), to_db(total / (rest * period)), z, weight)
