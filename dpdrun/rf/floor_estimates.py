"""How much better a model can still get: noise floors by methods with independent assumptions.

| method | gives | believes |
|---|---|---|
| known | the floor | the generator of a synthetic capture |
| repeats | the floor | the amplifier is the same each time its input repeats |
| quiet band | the floor | noise is white: as strong in the signal's band as outside of it |
| smallest inputs | a bound from above | noise does not shrink as the input grows |

Where their beliefs fail they say so instead of giving a number. On the synthetic captures, whose floor is known, quiet
band is 0.04 dB off (mild, -42 dB), or gives no number but a bound 0.5 dB above the floor (hard, -45 dB); smallest
inputs give bounds 0.1 and 2.0 to 2.5 dB above it, from the error of a gmp, and nearer ones from a better model;
repeats are within 0.1 dB where there are any. A ladder of least-squares fits as one more bound was tried and left out:
on six captures it was looser than the error of one gmp, and took seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.alignment import likeness
from dpdrun.rf.metrics import Signal, one_tap_gain, to_db

MOST_REPEATED = 262_144  # of the record that are used
SNIPPETS = 8  # pieces of the input that are looked for elsewhere
SNIPPET_SAMPLES = 512
SAME_DB = -60.0  # difference of two stretches of input that count as the same: a 12-bit generator's rounding is less
COPIED_DB = -120.0  # rounding; no two measurements are that similar
PAST, FUTURE = 256, 32  # samples around one that have to be the same too: memory, and the filter of a resampler
FEWEST_REPEATED = 2_000  # twice their number of squares is averaged: known to 0.1 dB
OF_REPEATS = "counts all differences between repeats as noise, including slow drift of the amplifier"

SMALLEST = 0.1  # share of the samples that count as small inputs
FEWEST = 200  # of them: known to 0.6 dB
SIGMAS = 2.0  # the bound is the mean and this many of its standard errors
EDGE = 256  # samples
SMALLEST_INPUTS = "smallest inputs"
OF_SMALLEST = (
    "where the input is smallest, taken for all inputs; noise that grows with the signal (phase, jitter) does not show "
    "in it"
)


@dataclass(frozen=True)
class FloorEstimate:
    """A noise floor as the NMSE of a perfect model.

    Attributes:
        method: its name.
        nmse_db: the floor [dB], or None where this method cannot tell.
        at_most_db: a bound from above [dB], or None.
        caveat: what to doubt, or why there is no number.
    """

    method: str
    nmse_db: float | None
    at_most_db: float | None
    caveat: str

    def to_json(self, score_db: float) -> dict[str, Any]:
        """Return plain values, with the `distances` of a score [dB]."""
        return asdict(self) | self.distances(score_db)

    def distances(self, score_db: float) -> dict[str, float | None]:
        """Return the margin of a score to floor and bound: `left_db`, `left_at_least_db` [dB]."""
        left = [None if level is None else score_db - level for level in (self.nmse_db, self.at_most_db)]
        return {"left_db": left[0], "left_at_least_db": left[1]}


def by_repeats(x: Signal, y: Signal) -> FloorEstimate:
    """Compare outputs where the input, its past and its near future are the same: their difference cannot be modelled.

    A deterministic amplifier would put the same samples out; the difference holds the noise of both (Schoukens &
    Pintelon, System Identification, 2nd ed., section 2.5). No model is fitted and nothing is assumed of the spectrum,
    so this is the best of all estimates, where the record has repeats: a generator that plays its memory over and over,
    recorded for longer than one period. One complex gain is taken out between two passes: a slow turn of phase is no
    noise of the samples.

    Args:
        x, y: input and output, (N,) complex128.
    """
    x, y = x[:MOST_REPEATED], y[:MOST_REPEATED]
    power, noise, pairs = float(np.mean(np.abs(y) ** 2)) if len(y) else 0.0, 0.0, 0
    for lag in _lags(x):
        first = np.flatnonzero(_same(x, lag))
        if len(first) <= max(pairs, FEWEST_REPEATED):
            continue
        a, b = y[first], y[first + lag]
        if not np.any(a):
            continue
        gain = one_tap_gain(a, b)
        noise, pairs = float(np.mean(np.abs(b - gain * a) ** 2)) / (1 + abs(gain) ** 2), len(first)
    if not pairs or not power:
        return FloorEstimate("repeats", None, None, "the input does not repeat itself")
    if noise <= power * 10 ** (COPIED_DB / 10):
        why = "the outputs repeat to the last digit: a period was copied, not measured twice"
        return FloorEstimate("repeats", None, None, why)
    return FloorEstimate("repeats", to_db(noise / power), None, f"{pairs:,} pairs of samples; {OF_REPEATS}")


def by_smallest_inputs(x: Signal, y: Signal, predictions: Mapping[str, Signal]) -> FloorEstimate:
    """Bound the floor by the error of models at the smallest inputs, on samples that they were not trained on.

    The error holds all noise and what the model lacks, and additive noise is the same at every input: so the mean
    error at the smallest tenth of inputs is not below the noise, where amplifiers are nearly linear and models err
    least.

    Args:
        x, y: input and measured output, (N,) complex128.
        predictions: outputs of models by name, (N,) complex128 each; the lowest bound counts.
    """
    inner = slice(EDGE, len(x) - EDGE)  # at its ends a record lacks what came before and what comes after
    small = max(0, int(SMALLEST * (len(x) - 2 * EDGE)))
    if small < FEWEST:
        needed = round(FEWEST / SMALLEST) + 2 * EDGE
        return FloorEstimate(SMALLEST_INPUTS, None, None, f"{len(x):,} samples are too few (need {needed:,})")
    smallest = np.argpartition(np.abs(x[inner]), small)[:small]
    power, bounds, scores = float(np.mean(np.abs(y) ** 2)), dict[str, float](), dict[str, float]()
    for name, prediction in predictions.items():
        error = np.abs(prediction - y) ** 2
        if np.all(np.isfinite(error)):
            few = error[inner][smallest]
            bounds[name] = to_db(float(np.mean(few) + SIGMAS * np.std(few) / np.sqrt(small)) / power)
            scores[name] = to_db(float(np.mean(error)) / power)
    if not bounds:
        return FloorEstimate(SMALLEST_INPUTS, None, None, "no output is finite")
    best = min(bounds, key=lambda name: bounds[name])
    if bounds[best] >= min(scores.values()):
        why = f"the error does not fall with the input ({bounds[best]:.2f} dB at the smallest), so this says nothing"
        return FloorEstimate(SMALLEST_INPUTS, None, None, why)
    return FloorEstimate(SMALLEST_INPUTS, None, bounds[best], f"error of {best} {OF_SMALLEST}")


def _lags(x: Signal) -> list[int]:
    """Return the distances at which parts of the input occur again, the most frequent first [samples]."""
    length = SNIPPET_SAMPLES
    if len(x) < 2 * length:
        return []
    found: list[int] = []
    starts = np.linspace(0, len(x) - length, SNIPPETS).astype(np.int64)
    for start, alike in zip(starts, likeness(x, (x[at : at + length] for at in starts), length), strict=True):
        # of a distance of d dB a correlation is 1 - 10^(d/10)/2
        again = np.flatnonzero(alike > 1 - 10 ** (SAME_DB / 10))
        found += [int(abs(at - start)) for at in again if abs(at - start) >= length]
    lags, count = np.unique(found, return_counts=True)
    return [int(lag) for lag in lags[np.argsort(-count, kind="stable")][:SNIPPETS]]


def _same(x: Signal, lag: int) -> NDArray[np.bool_]:
    """Return where x[n] and x[n + lag] are equal, with their surroundings, (N - lag,)."""
    limit = 10 ** (SAME_DB / 10) * np.mean(np.abs(x) ** 2)
    differs = np.concatenate([[0], np.cumsum(np.abs(x[lag:] - x[:-lag]) ** 2 > limit)])
    index = np.arange(len(x) - lag)
    begin, end = np.maximum(index - PAST, 0), np.minimum(index + FUTURE + 1, len(index))
    return np.asarray((differs[end] == differs[begin]) & (index >= PAST) & (index < len(index) - FUTURE))
