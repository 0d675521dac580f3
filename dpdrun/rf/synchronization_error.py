"""Standard errors of a synchronization, from how much blocks of the record disagree with it.

Blocks are estimated one by one. Their scatter about the line that the whole record gives counts everything that moves
them: noise, distortion, and the slow phase of traps and heat, which no formula for white noise knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.interpolation import SHORT
from dpdrun.rf.memory_polynomial import instants_of, prediction
from dpdrun.rf.metrics import Signal, one_tap_gain
from dpdrun.rf.synchronization import Synchronization

BLOCKS = 16
MOST = 4096  # samples of a block that are used


@dataclass(frozen=True)
class StandardErrors:
    """One standard error of each estimate.

    Attributes:
        delay: in the middle of the record [samples].
        clock: relative.
        frequency: [cycles per sample].
        dc: magnitude, in units of the output.
        gain_db, gain_deg: of the complex gain [dB], [deg].
        gain: the complex gain itself.
        phase_left_deg: range of the phase of the blocks [deg]: small, if it is an offset of frequency that was removed,
            and not a drift.
    """

    delay: float
    clock: float
    frequency: float
    dc: float
    gain_db: float
    gain_deg: float
    gain: complex
    phase_left_deg: float


@dataclass(frozen=True)
class Blocks:
    """Estimates of consecutive blocks of a record.

    Attributes:
        centre: instant of each, (K,) [samples of the input].
        gain: complex gain, (K,).
        early: by how much the output is early, less its mean delay, (K,) [samples].
        dc: as the receiver added it, rotated with the output, (K,).
    """

    centre: NDArray[np.float64]
    gain: NDArray[np.complex128]
    early: NDArray[np.float64]
    dc: NDArray[np.complex128]


def block_estimates(
    x: Signal, y: Signal, found: Synchronization, count: int = BLOCKS, *, polynomial: bool = True
) -> Blocks:
    """Return gain, delay and DC of consecutive blocks of a synchronized record, each fitted by itself.

    They are measured against a memory polynomial of the complete record, so that the phase and the delay that follow
    the envelope do not count; or against the input, where the mean delay matters too, which the polynomial takes up.

    Args:
        x: (N,) complex, N >= 1,000.
        y: (M,) complex.
        found: how the receiver saw y.
        count: of blocks.
        polynomial: whether to measure against the polynomial.
    """
    first, end = found.overlap(len(x), len(y))
    o, near, tone = found.restore(y, first, end, SHORT), x[first:end], found.tone(first, end)
    inner = instants_of(end - first)
    length = (inner[-1] - inner[0]) // count
    used = min(length - 2, MOST)
    starts = inner[0] + 1 + np.arange(count) * length + (length - used) // 2
    at = (starts[:, None] + np.arange(used)).ravel()
    p, slope = prediction(near, o, at) if polynomial else (near[at], (near[at + 1] - near[at - 1]) / 2)
    columns = np.stack([p, slope, tone[at]], axis=1).reshape(count, used, 3)
    target = o[at].reshape(count, used)
    c = np.array([np.linalg.lstsq(A, b, rcond=None)[0] for A, b in zip(columns, target, strict=True)])
    overall = one_tap_gain(near, o) if polynomial else 1.0 + 0j
    centre = np.asarray(first + starts + used / 2, np.float64)
    return Blocks(centre, overall * c[:, 0], np.asarray((c[:, 1] / c[:, 0]).real, np.float64), c[:, 2])


def standard_errors(x: Signal, y: Signal, found: Synchronization) -> StandardErrors:
    """Return the errors of a synchronization of y with x; arguments as `block_estimates`."""
    blocks = block_estimates(x, y, found)
    at, straight = blocks.centre, block_estimates(x, y, found, polynomial=False)
    phase = np.unwrap(np.angle(blocks.gain))
    level = 20 * np.log10(np.abs(blocks.gain))
    root, lever = np.sqrt(BLOCKS), float(np.sqrt(np.sum((at - at.mean()) ** 2)))
    return StandardErrors(
        delay=_scatter(at, straight.early) / root,
        clock=_scatter(at, blocks.early) / lever,
        frequency=_scatter(at, phase) / lever / (2 * np.pi),
        dc=float(np.std(blocks.dc)) / float(root),
        gain_db=float(np.std(level)) / float(root),
        gain_deg=float(np.degrees(_scatter(at, phase))) / float(root),
        gain=complex(np.mean(blocks.gain)),
        phase_left_deg=float(np.degrees(np.ptp(phase))),
    )


def _scatter(at: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the standard deviation about the best line."""
    line = np.polyval(np.polyfit(at - at.mean(), values, 1), at - at.mean())
    return float(np.sqrt(np.sum((values - line) ** 2) / (len(at) - 2)))
