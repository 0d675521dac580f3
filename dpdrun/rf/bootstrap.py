"""Confidence intervals of scores: block bootstrap of sums over a record.

Scores in dB are ratios of sums over samples, and neighbouring samples are correlated: an amplifier has memory, a signal
is band-limited. So complete blocks are drawn, with replacement, and the score is computed from them (Kuensch 1989,
doi 10.1214/aos/1176347265, with adjacent blocks as in Carlstein 1986). The interval is between percentiles of these
scores. It holds for this record, this amplifier and this trained model: another seed or another day widens it, and so
does memory longer than a block (charge trapping).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal

BLOCK = 512  # samples: many times the memory of an amplifier in a capture of some 100 MHz, and 38 of them in 20,000
MIN_BLOCKS = 8  # fewer say too little about their own spread
MAX_BLOCKS = 512  # more become fewer and longer: as good, and a long record costs no more than a short one
LEVEL = 0.95
RESAMPLES = 2000
METHOD = "block bootstrap, percentiles"

Sums = NDArray[np.float64]  # (..., K): K sums for each resampled record
Score = Callable[[Sums], NDArray[np.float64]]  # (..., K) -> (...)


@dataclass(frozen=True)
class Interval:
    """The range that holds the score with probability LEVEL, in its units, and the number of blocks behind it."""

    low: float
    high: float
    blocks: int


def interval(sums: Sums, score: Score, *, seed: int = 0) -> Interval | None:
    """Compute the interval of a score that is a function of sums over blocks.

    Args:
        sums: what each block adds, (B, K), not negative.
        score: the score of summed blocks, (..., K) -> (...).
        seed: of the draws; the same seed, the same interval.

    Returns:
        None where there are fewer than MIN_BLOCKS blocks, or the score is not finite for some draw.
    """
    if len(sums) < MIN_BLOCKS:
        return None
    if len(sums) > MAX_BLOCKS:
        sums = np.add.reduceat(sums, np.linspace(0, len(sums), MAX_BLOCKS, endpoint=False).astype(np.int64))
    blocks = len(sums)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=RESAMPLES)  # how often each block is in a draw
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = score(drawn @ sums)
    if not np.all(np.isfinite(scores)):
        return None
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high), blocks)


def ratio_db(sums: Sums) -> NDArray[np.float64]:
    """Return 10 log10 of the first sum over the second [dB]: the score of NMSE, EVM and in-band error."""
    return np.asarray(10 * np.log10(sums[..., 0] / sums[..., 1]), np.float64)


def block_sums(*powers: NDArray[np.float64], block: int = BLOCK) -> Sums:
    """Sum each of K rows of powers over consecutive blocks; the remainder joins the last block.

    Args:
        powers: K arrays (N,).
        block: [samples].

    Returns:
        (B, K); one block where N < 2 blocks.
    """
    count = max(1, len(powers[0]) // block)
    edges = np.arange(count) * block
    return np.stack([np.add.reduceat(power, edges) for power in powers], axis=1)


def nmse_interval(reference: Signal, y: Signal, *, block: int = BLOCK, seed: int = 0) -> Interval | None:
    """Return the interval of `metrics.nmse_db(reference, y)` [dB]; None if the record is too short.

    Args:
        reference, y: (N,) complex128.
        block: longer than the memory of what made y [samples].
    """
    return interval(block_sums(np.abs(y - reference) ** 2, np.abs(reference) ** 2, block=block), ratio_db, seed=seed)


def power_interval(reference: Signal, y: Signal, *, block: int = BLOCK, seed: int = 0) -> Interval | None:
    """Return the interval of the power of y over that of the reference [dB], as `nmse_interval`."""
    return interval(block_sums(np.abs(y) ** 2, np.abs(reference) ** 2, block=block), ratio_db, seed=seed)
