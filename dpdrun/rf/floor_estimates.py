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

from dpdrun.rf.floor_repeats import repeats_floor
from dpdrun.rf.metrics import Signal, to_db

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
class Estimate:
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
        """Return plain values, with the margin of a score to floor and bound: `left_db`, `left_at_least_db` [dB]."""
        left = [None if level is None else score_db - level for level in (self.nmse_db, self.at_most_db)]
        return asdict(self) | {"left_db": left[0], "left_at_least_db": left[1]}


def by_repeats(x: Signal, y: Signal) -> Estimate:
    """Estimate from repeated input; x, y: (N,) complex128."""
    found = repeats_floor(x, y)
    note = f"{found.samples:,} pairs of samples; {found.caveat}" if found.nmse_db is not None else found.caveat
    return Estimate("repeats", found.nmse_db, None, note)


def by_smallest_inputs(x: Signal, y: Signal, predictions: Mapping[str, Signal]) -> Estimate:
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
        return Estimate(SMALLEST_INPUTS, None, None, f"{len(x):,} samples are too few (need {needed:,})")
    smallest = np.argpartition(np.abs(x[inner]), small)[:small]
    power, bounds, scores = float(np.mean(np.abs(y) ** 2)), dict[str, float](), dict[str, float]()
    for name, prediction in predictions.items():
        error = np.abs(prediction - y) ** 2
        if np.all(np.isfinite(error)):
            few = error[inner][smallest]
            bounds[name] = to_db(float(np.mean(few) + SIGMAS * np.std(few) / np.sqrt(small)) / power)
            scores[name] = to_db(float(np.mean(error)) / power)
    if not bounds:
        return Estimate(SMALLEST_INPUTS, None, None, "no output is finite")
    best = min(bounds, key=lambda name: bounds[name])
    if bounds[best] >= min(scores.values()):
        why = f"the error does not fall with the input ({bounds[best]:.2f} dB at the smallest), so this says nothing"
        return Estimate(SMALLEST_INPUTS, None, None, why)
    return Estimate(SMALLEST_INPUTS, None, bounds[best], f"error of {best} {OF_SMALLEST}")
