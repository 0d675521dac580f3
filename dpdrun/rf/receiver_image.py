"""Estimate the image that the I/Q imbalance of a receiver adds to an output, apart from that of the transmitter.

Both are conj(p) of the signal p. They differ once the frequency offset f is removed: the transmitter's stays what it
is, and the receiver's turns by e^(-4j pi f n), since it was added after the offset. So at an offset of some turns over
the record both are found in one least-squares fit, and without one they are the same and cannot be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from dpdrun.rf import memory_polynomial
from dpdrun.rf.interpolation import SHORT, interpolate
from dpdrun.rf.metrics import Signal, rms
from dpdrun.rf.synchronization import EDGE, Synchronization, refine_by_polynomial

ALIKE = 0.05  # correlation of the two images from which they pass for one: less than 6 turns of one in the other


@dataclass(frozen=True)
class Images:
    """The images in an output, each over the signal.

    Attributes:
        receiver: as `Synchronization.image`; 0 where the two cannot be told apart.
        transmitter: a part of the amplifier chain; where the two cannot be told apart, both together.
        error: one standard error of each, if what the polynomial does not explain were white.
        apart: whether the two can be told apart.
    """

    receiver: complex
    transmitter: complex
    error: float
    apart: bool


def with_image(x: Signal, y: Signal, found: Synchronization) -> tuple[Synchronization, Images]:
    """Return an estimate with the image of the receiver, improved by its removal, and both images in the output.

    Arguments as of `images`.
    """
    seen = images(x, y, found)
    if not seen.apart:
        return found, seen
    found = refine_by_polynomial(x, y, replace(found, image=seen.receiver))
    seen = images(x, y, found)
    return replace(found, image=seen.receiver), seen


def images(x: Signal, y: Signal, found: Synchronization) -> Images:
    """Return the images in an output.

    They are fitted to the samples as the receiver made them: the receiver's image may be at the edge of the band, where
    interpolation would cut it. What is interpolated is the signal without them, a memory polynomial of the input.

    Args:
        x: input, (N,) complex, N >= 1,000.
        y: output, (M,) complex.
        found: how the receiver saw y; of its image, only the signal that is left without it is used.
    """
    first, end = found.overlap(len(x), len(y))
    near, o = x[first:end], found.restore(y, first, end, SHORT)
    every = memory_polynomial.instants_of(len(near), len(near))[1:-1]
    p = memory_polynomial.prediction(near, o, every)[0]
    start, stop = found.instants(first + int(every[0]) + EDGE, first + int(every[-1]) - EDGE)[[0, -1]]
    n = np.arange(np.ceil(start), np.floor(stop) + 1, dtype=np.int64)
    if len(n) > memory_polynomial.ROWS:  # at random: evenly spaced samples can alias the offset that tells them apart
        n = np.sort(np.random.default_rng(0).choice(n, memory_polynomial.ROWS, replace=False))
    at = (n - found.position) / (1.0 + found.clock) - first - every[0]
    p = interpolate(p, at, SHORT)
    turn = np.exp(2j * np.pi * found.frequency * n)
    w, through = p * turn, np.conj(p) * turn  # the signal as it arrived, and the transmitter's image of it
    if found.mirrored:
        w, through = np.conj(w), np.conj(through)
    apart = bool(abs(np.vdot(np.conj(w), through)) < ALIKE * float(np.vdot(w, w).real))
    level = rms(w)
    columns = np.column_stack([w / level, np.ones(len(n)), through / level, *([np.conj(w) / level] if apart else [])])
    c, *_ = np.linalg.lstsq(columns, y[n], rcond=None)
    left = float(np.mean(np.abs(y[n] - columns @ c) ** 2))
    transmitter = complex(c[2] / c[0])
    return Images(
        receiver=complex(c[3] / np.conj(c[0])) if apart else 0j,
        transmitter=transmitter.conjugate() if found.mirrored else transmitter,
        error=float(np.sqrt(left / len(n)) / abs(c[0])),
        apart=apart,
    )
