"""The gain G that a predistorted amplifier is to have: its output is to be G x.

G is taken from a measured pair, never typed: a gain that the amplifier cannot deliver at its peaks sends a predistorter
after the impossible, and one that is too low buys linearity with output power. It is real: a constant phase of the
capture is the predistorter's to turn, and no receiver minds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from dpdrun.dpd.limiter import limited
from dpdrun.rf.metrics import Signal, one_tap_gain, rms

Method = Literal["peak", "least_squares", "same_power"]
Plant = Callable[[Signal], Signal]  # (N,) complex input of an amplifier -> (N,) complex output

POWER_STEPS = 12  # each divides the error in power by some ten; all are needed only near saturation
POWER_TOLERANCE_DB = 1e-3


def target_gain(x: Signal, y: Signal, method: Method) -> float:
    """The linear gain to aim at.

    Args:
        x, y: input and output of the amplifier, training part, (N,) complex128.
        method: peak = max |y| / max |x|: the highest gain that the peaks of x can still have, when they reach what the
            amplifier gave at most (as OpenDPD); least_squares = |<x, y>| / <x, x>, the gain of the best linear
            amplifier, beyond reach at the peaks of one that compresses; same_power = rms(y) / rms(x), the output power
            that was measured.

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
    """The complex factor c for which plant(c x) has the power and the mean phase of G x: no predistortion.

    What a predistorter is worth is what it gains over this at equal output power; against the amplifier as it was
    measured, part of the gain would be backed-off power.

    Args:
        plant: the amplifier.
        x: (N,) complex128.
        gain: G.
        peak: limit on |c x|, as on a predistorter's output.
    """
    wanted = gain * rms(x)
    first = plant(limited(x, peak))
    turn = np.exp(-1j * np.angle(one_tap_gain(x, first)))
    drive, reached = 1.0, rms(first)
    for _ in range(POWER_STEPS):
        if abs(20.0 * np.log10(reached / wanted)) < POWER_TOLERANCE_DB:
            break
        drive *= wanted / reached
        reached = rms(plant(limited(drive * turn * x, peak)))
    return complex(drive * turn)
