"""Choose the target gain G of a predistorted amplifier, whose output should be G x.

G is computed from a measured pair, never set by hand: the amplifier cannot deliver too high a gain at its peaks, and
too low a gain buys linearity with output power (back-off). G is real: a constant phase of the capture is for the
predistorter to turn, and does not matter to a receiver.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from dpdrun.dpd.limiter import limit_magnitude
from dpdrun.rf.metrics import Signal, one_tap_gain, rms

Method = Literal["peak", "least_squares", "same_power"]
Plant = Callable[[Signal], Signal]  # (N,) complex input of an amplifier -> (N,) complex output

POWER_STEPS = 12  # each divides the error in power by some ten; all are needed only near saturation
POWER_TOLERANCE_DB = 1e-3


def target_gain(x: Signal, y: Signal, method: Method) -> float:
    """Return the target gain.

    Args:
        x, y: input and output of the amplifier, training split, (N,) complex128.
        method: peak = max |y| / max |x|, which takes the peaks of x to the largest measured output (as OpenDPD);
            least_squares = |<x, y>| / <x, x>, the gain of the best linear fit, out of reach at the peaks of an
            amplifier that compresses; same_power = rms(y) / rms(x), which keeps the measured output power.

    Raises:
        ValueError: x or y is silent.
    """
    if not (np.any(x) and np.any(y)):
        raise ValueError("a silent signal has no gain")
    if method == "peak":
        return float(np.max(np.abs(y)) / np.max(np.abs(x)))
    if method == "least_squares":
        return float(abs(one_tap_gain(x, y)))
    return rms(y) / rms(x)


def linear_drive(plant: Plant, x: Signal, gain: float, peak: float) -> complex:
    """Return the complex factor c for which plant(c x) has the power and the mean phase of G x: no predistortion.

    A predistorter's gain is measured over this, at equal output power; over the amplifier as measured, part of the gain
    would be back-off.

    Args:
        plant: the amplifier.
        x: (N,) complex128.
        gain: G.
        peak: limit on |c x|, as for a predistorter.
    """
    target = gain * rms(x)
    first = plant(limit_magnitude(x, peak))
    turn = np.exp(-1j * np.angle(one_tap_gain(x, first)))
    drive, reached = 1.0, rms(first)
    for _ in range(POWER_STEPS):
        if abs(20.0 * np.log10(reached / target)) < POWER_TOLERANCE_DB:
            break
        drive *= target / reached
        reached = rms(plant(limit_magnitude(drive * turn * x, peak)))
    return complex(drive * turn)
