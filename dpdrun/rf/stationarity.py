"""Changes inside a record: a step of the drive level, a drift of gain and phase, an output that has another source.

The limits are both of significance and of size: what is certain but too small to matter is not named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.memory_polynomial import TAPS, prediction
from dpdrun.rf.metrics import Signal
from dpdrun.rf.spectrum import psd
from dpdrun.rf.synchronization import Synchronization
from dpdrun.rf.synchronization_error import block_estimates

LEVEL_BLOCK = 256  # samples
LEAST_BLOCKS = 16
STEP_SIGMAS = 4.7  # of 400 places, one in a thousand records by chance
STEP_DB = 0.5
DRIFT_BLOCKS = 40
SMOOTHED = 3  # blocks
DRIFT_SIGMAS = 8.0  # of neighbours' differences; 2.3 to 5.4 in sound records, 20 with a drift of 4 degrees
PHASE_DRIFT_DEG = 1.0
GAIN_DRIFT_DB = 0.25
DRIFT_SAMPLES = 4_000
MOVED = (0.1, 0.9)  # of a drift, between which it is located
SPECTRUM = 512  # samples of a segment
EXAMINED = 32_768
NEAR_PEAK_DB = 20.0
EXPLAINED = 0.9
UNEXPLAINED_DB = -30.0
ALIKE_DB = 2.0


@dataclass(frozen=True)
class PowerStep:
    """The drive level changes and stays changed.

    Attributes:
        sample: the first with the new level.
        db: new level over old [dB].
    """

    sample: int
    db: float


@dataclass(frozen=True)
class Drift:
    """Gain or phase of an amplifier moves within a record.

    Attributes:
        phase_deg, gain_db: from the lowest to the highest; None where that does not stand out.
        first, end: samples between which most of it happens.
    """

    phase_deg: float | None
    gain_db: float | None
    first: int
    end: int


def power_step(x: Signal) -> PowerStep | None:
    """Return the most significant step of the level of a signal, or None.

    Blocks are compared by the logarithm of their power, whose scatter is that of the signal itself: 4.34 / sqrt(L B) dB
    for blocks of L samples of a signal that fills B of the sample rate.

    Args:
        x: (N,) complex.
    """
    count = len(x) // LEVEL_BLOCK
    power = np.mean(np.abs(x[: count * LEVEL_BLOCK]).reshape(count, LEVEL_BLOCK) ** 2, axis=1) if count else np.zeros(0)
    if count < LEAST_BLOCKS or not np.all(power > 0):
        return None
    level = 10 * np.log10(power)
    best, at = 0.0, 0
    for k in range(4, count - 3):
        left, right = level[:k], level[k:]
        spread = np.sqrt((np.sum((left - left.mean()) ** 2) + np.sum((right - right.mean()) ** 2)) / (count - 2))
        z = abs(right.mean() - left.mean()) / (spread * np.sqrt(1 / k + 1 / (count - k)) + 1e-12)
        if z > best:
            best, at = float(z), k
    db = float(level[at:].mean() - level[:at].mean()) if at else 0.0
    if best < STEP_SIGMAS or abs(db) < STEP_DB:
        return None
    return PowerStep(_place(x, at), db)


def _place(x: Signal, block: int) -> int:
    """Return the sample of a step near a block: the most probable of Gaussian samples with two powers."""
    low = max(0, (block - 2) * LEVEL_BLOCK)
    near = np.abs(x[low : (block + 2) * LEVEL_BLOCK]) ** 2
    n = np.arange(1, len(near))
    summed = np.cumsum(near)
    before, after = summed[:-1] / n, (summed[-1] - summed[:-1]) / (len(near) - n)
    cost = n * np.log(before + 1e-300) + (len(near) - n) * np.log(after + 1e-300)
    inner = slice(32, -32)
    return low + 32 + int(np.argmin(cost[inner])) + 1


def drift(x: Signal, y: Signal) -> Drift | None:
    """Return how gain and phase of an amplifier move within a record, or None where they do not, or it is too short.

    Args:
        x, y: (N,) complex, aligned.
    """
    if len(x) < DRIFT_SAMPLES:
        return None
    blocks = block_estimates(x, y, Synchronization(), DRIFT_BLOCKS)
    phase = np.degrees(np.unwrap(np.angle(blocks.gain)))
    level = 20 * np.log10(np.abs(blocks.gain) + 1e-300)
    turned, swelled = _range(phase, PHASE_DRIFT_DEG), _range(level, GAIN_DRIFT_DB)
    if turned is None and swelled is None:
        return None
    moving = _smooth(phase if turned is not None else level)
    share = (moving - moving.min()) / (moving.max() - moving.min())
    share = share if share[-1] > share[0] else 1 - share
    centre = _smooth(blocks.centre)
    first = int(centre[np.flatnonzero(share >= MOVED[0])[0]])
    end = int(centre[np.flatnonzero(share >= MOVED[1])[0]])
    return Drift(turned, swelled, min(first, end), max(first, end))


def _range(values: NDArray[np.float64], least: float) -> float | None:
    """Return the range of smoothed values if it is significant against the differences of neighbours."""
    smooth = _smooth(values)
    spread = float(np.std(np.diff(values))) / np.sqrt(2)
    found = float(smooth.max() - smooth.min())
    return found if found > least and found > DRIFT_SIGMAS * spread else None


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(values, np.ones(SMOOTHED) / SMOOTHED, "valid")


def unexplained_db(x: Signal, y: Signal) -> float | None:
    """Return the power of what a memory polynomial of the input does not explain where the output is strong [dB].

    Counted are the frequencies within 20 dB of the peak of the output's spectrum of which less than nine tenths are
    explained. Distortion of an amplifier is far weaker than its signal there; another carrier or input is not.

    Args:
        x, y: (N,) complex, aligned.

    Returns:
        Over the power of the output [dB]; None where everything is explained, or nothing can be said.
    """
    x, y = x[:EXAMINED], y[:EXAMINED]
    if len(x) < 4 * SPECTRUM:
        return None
    at = np.arange(max(TAPS) + 1, len(x) + min(TAPS) - 1)
    p, _ = prediction(x, y, at)
    _, of_error = psd(y[at] - p, 1.0, nperseg=SPECTRUM)
    _, of_output = psd(y[at], 1.0, nperseg=SPECTRUM)
    strong = of_output > np.max(of_output) * 10 ** (-NEAR_PEAK_DB / 10)
    missing = strong & (of_error > (1 - EXPLAINED) * of_output)
    share = float(np.sum(of_error[missing]) / np.sum(of_output))
    level = 10 * np.log10(share) if share > 0 else -np.inf
    return float(level) if level > UNEXPLAINED_DB else None
