"""What a measurement setup adds to a record: DC offset, I/Q imbalance, swapped I and Q, saturated converters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import Signal, to_db
from dpdrun.rf.synchronization import CONSTANT_ENVELOPE, envelope_variance

RAIL_REPEATS = 8
RAIL_RATIO = 4  # times as often as either of the two levels next to it
DC_NEIGHBOURS = 8  # frequencies on each side
DC_BY_CHANCE = 1e-3


@dataclass(frozen=True)
class LinearPath:
    """Least-squares fit y = gain x + image conj(x) + offset.

    Attributes:
        gain: complex.
        image_dbc: |image| over |gain| [dB]: the image that an I/Q imbalance leaves.
        offset_db: power of the offset over that of y [dB]: local-oscillator leakage or a converter's DC, without the
            DC that the input itself has.
    """

    gain: complex
    image_dbc: float
    offset_db: float


def linear_path(x: Signal, y: Signal) -> LinearPath:
    """Fit gain, image and offset. Distortion of the PA stays in the residual and blurs both by about its NMSE / N.

    Args:
        x, y: (N,) complex, aligned.
    """
    A = np.stack([x, np.conj(x), np.full_like(x, np.sqrt(np.mean(np.abs(x) ** 2)))], axis=1)
    gram = A.conj().T @ A
    gram += 1e-12 * np.trace(gram).real * np.eye(3)  # a real x is its own image
    gain, image, offset = (complex(c) for c in np.linalg.solve(gram, A.conj().T @ y))
    power_x, power_y = float(np.mean(np.abs(x) ** 2)), float(np.mean(np.abs(y) ** 2))
    return LinearPath(gain, to_db(abs(image / gain) ** 2), to_db(abs(offset) ** 2 * power_x / power_y))


def dc_db(x: Signal) -> float:
    """Return the power of the mean over the power of x [dB]; by chance about 10 log10(fs / (B N)) for N samples."""
    return to_db(float(np.abs(np.mean(x)) ** 2 / np.mean(np.abs(x) ** 2)))


def conjugated(x: Signal, y: Signal) -> bool:
    """Return whether y follows conj(x) better than x: I and Q swapped (or one negated) in one of the two."""
    straight, mirrored = (delay(side, y).correlation for side in (x, np.conj(x)))
    return mirrored > 1.5 * straight


def dc_stands_out(x: Signal) -> bool:
    """Return whether a signal has more DC than chance gives for its length and spectrum, with an error of 1 in 1,000.

    The power at 0 Hz is compared with that of the frequencies next to it, in steps of one over the length of the
    record: an F-test of 2 against 2 K values, with the closed form P = (1 + F / K)^-K.

    Args:
        x: (N,) complex.
    """
    spectrum = np.abs(np.fft.fft(x)) ** 2
    sides = np.concatenate([spectrum[2 : 2 + DC_NEIGHBOURS], spectrum[-1 - DC_NEIGHBOURS : -1]])
    mean = float(np.mean(sides))
    limit = len(sides) * (DC_BY_CHANCE ** (-1 / len(sides)) - 1)
    return bool(spectrum[0] > limit * mean)


def railed_samples(x: Signal) -> int:
    """Count the samples where I or Q equals its extreme value, if that is too often for chance, else 0.

    A continuous signal meets its extreme once, and the levels of a coarse converter near it about equally often; a
    saturated converter repeats the last one. A constant envelope repeats its extremes by itself and is not judged.
    """
    if envelope_variance(x) < CONSTANT_ENVELOPE:
        return 0
    stuck = np.zeros(len(x), bool)
    for axis in (x.real, x.imag):
        levels, counts = np.unique(axis, return_counts=True)
        for extreme, count, next_to_it in (
            (levels[0], counts[0], counts[1:3]),
            (levels[-1], counts[-1], counts[-3:-1]),
        ):
            if count >= RAIL_REPEATS and count > RAIL_RATIO * np.max(next_to_it, initial=0):
                stuck |= axis == extreme
    return int(np.count_nonzero(stuck))
