"""What a measurement setup adds to a record: DC offset, I/Q imbalance, swapped I and Q, saturated converters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import Signal, to_db

RAIL_REPEATS = 8


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


def railed_samples(x: Signal) -> int:
    """Count the samples where I or Q equals its extreme value, if that is too often for chance, else 0.

    A continuous signal meets its extreme once; a saturated converter repeats it.
    """
    stuck = np.zeros(len(x), bool)
    for axis in (x.real, x.imag):
        for extreme in (axis.max(), axis.min()):
            at = axis == extreme
            if np.count_nonzero(at) >= RAIL_REPEATS:
                stuck |= at
    return int(np.count_nonzero(stuck))
