"""Change a sample rate by a fraction p/q, by a polyphase filter: of a record, of loops, or of a stream.

The filter is a windowed sinc of 2 HALF_LENGTH samples of the lower of both rates, -6 dB at half of that rate. Up to
PASS of the lower rate, on each side of zero, its error is below -95 dB; beyond 0.55 it stops 95 dB; what lies between
is attenuated, and folds back beyond PASS only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal

PASS = 0.45  # of the lower rate, on each side of zero
HALF_LENGTH = 32  # samples of the lower rate on each side
BETA = 10.0  # of the Kaiser window
LEAST_OUTPUT = 4_096  # samples that a stream computes at once


def resample(x: Signal, ratio: Fraction) -> Signal:
    """Return x at `ratio` times its sample rate; x is taken as zero outside of the record.

    Args:
        x: (N,) complex.
        ratio: new rate over old.

    Returns:
        (ceil(N ratio),) complex128; sample m is at m / ratio of x.
    """
    from scipy.signal import resample_poly

    p, q = ratio.numerator, ratio.denominator
    return np.asarray(resample_poly(x, p, q, window=_taps(max(p, q))), np.complex128)  # type: ignore[call-overload]


def inside(count: int, ratio: Fraction) -> tuple[int, int]:
    """Return first and end of the samples of `resample` that depend on none outside of a record of `count` samples."""
    p, q, half = ratio.numerator, ratio.denominator, _half(ratio)
    return -(-half // q), max(0, ((count - 1) * p - half) // q + 1)


def resample_loops(x: Signal, loop: int, ratio: Fraction) -> Signal:
    """Return a row of loops at `ratio` times its sample rate: before a loop is its own end, after it its beginning.

    Args:
        x: (L loop,) complex.
        loop: samples of a loop; `loop * ratio` is a whole number.
        ratio: new rate over old.
    """
    q = ratio.denominator
    before = -(-_half(ratio) // ratio.numerator // q) * q + q  # samples of x, at a whole number of new ones
    index = np.arange(-before, loop + before) % loop
    first, length = int(before * ratio), int(loop * ratio)
    rows = [resample(row[index], ratio)[first : first + length] for row in x.reshape(-1, loop)]
    return np.concatenate(rows)


def resample_stream(chunks: Iterable[Signal], ratio: Fraction) -> Iterator[Signal]:
    """Yield what `resample` returns for the joined chunks, in bounded memory.

    Args:
        chunks: of a record, (n,) complex each.
        ratio: new rate over old.
    """
    p, q, half = ratio.numerator, ratio.denominator, _half(ratio)
    held = np.empty(0, np.complex128)
    start = done = 0  # sample of the record with which `held` begins, a multiple of q; samples that were yielded
    for chunk in chunks:
        held = np.concatenate([held, chunk])
        ready = ((start + len(held) - 1) * p - half) // q + 1
        if ready - done < LEAST_OUTPUT:
            continue
        skipped = start // q * p
        yield resample(held, ratio)[done - skipped : ready - skipped]
        done = ready
        later = max(start, (done * q - half) // p // q * q)
        held, start = held[later - start :], later
    if len(held):
        yield resample(held, ratio)[done - start // q * p :]


def _half(ratio: Fraction) -> int:
    """Return the half length of the filter, in samples of both rates' common multiple."""
    return HALF_LENGTH * max(ratio.numerator, ratio.denominator)


@lru_cache(maxsize=4)
def _taps(longest: int) -> NDArray[np.float64]:
    from scipy.signal import firwin

    return np.asarray(firwin(2 * HALF_LENGTH * longest + 1, 1.0 / longest, window=("kaiser", BETA)), np.float64)
