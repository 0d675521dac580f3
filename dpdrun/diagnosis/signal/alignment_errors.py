"""What simple repair would a prediction need? A conjugate, a shift, a gain, and whether its peaks were cut off.

Shapes: N samples; p is the prediction, y the target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dpdrun.rf.alignment import delay
from dpdrun.rf.impairments import conjugated
from dpdrun.rf.metrics import Signal, one_tap_gain, one_tap_nmse_db, rms, to_db

ENDS = 64  # samples that a shift by FFT spoils at each end of a record
AT_THE_TOP = 1e-6  # relative: what counts as the same value, after single precision or nine digits of text
CUT_SAMPLES = 8  # different ones: a continuous signal meets its extreme once; impairments.RAIL_REPEATS


@dataclass(frozen=True)
class Mirror:
    """NMSE of the best gain on conj(p) [dB], and the angle of p over conj(y) [deg]."""

    nmse_db: float
    deg: float


@dataclass(frozen=True)
class Shift:
    """How late p is [samples], and the NMSE of the best gain with and without that delay, ends left out [dB]."""

    samples: float
    nmse_db: float
    unshifted_nmse_db: float


@dataclass(frozen=True)
class Cut:
    """Samples at the largest value, that value over rms(p), and how far y is above it there, in the mean [dB]."""

    samples: int
    level: float
    short_db: float


def mirror(y: Signal, p: Signal) -> Mirror | None:
    """Whether p follows conj(y), at any delay: I and Q swapped, or one of them negated."""
    if not conjugated(y, p):
        return None
    late = delay(np.conj(y), p)
    back = shifted(np.conj(p), late.samples)
    angle = float(np.degrees(np.angle(np.vdot(np.conj(y), np.conj(back)))))
    return Mirror(one_tap_nmse_db(back, y), angle)


def shifted(p: Signal, samples: float) -> Signal:
    """p earlier by so many samples, by a linear phase over the whole record: it wraps around."""
    frequency = np.fft.fftfreq(len(p))
    return np.asarray(np.fft.ifft(np.fft.fft(p) * np.exp(2j * np.pi * frequency * samples)), np.complex128)


def shift(y: Signal, p: Signal) -> Shift | None:
    """The delay of p behind y, and what it costs; None where less than half of the record would be left to tell."""
    late = delay(y, p)
    margin = abs(late.whole) + ENDS
    if 2 * margin > len(y) // 2:
        return None
    inside = slice(margin, len(y) - margin)
    back = shifted(p, late.samples)
    return Shift(late.samples, one_tap_nmse_db(back[inside], y[inside]), one_tap_nmse_db(p[inside], y[inside]))


def gain_over_target(y: Signal, p: Signal) -> complex:
    """h of p = h y + rest, by least squares: an error that does not know y leaves it at 1."""
    return one_tap_gain(y, p)


def cut(y: Signal, p: Signal) -> Cut | None:
    """Whether I, Q or the magnitude of p stays at one largest value, where y goes on.

    A waveform that is played again and again has its peak as often, but then I and Q are the same each time.
    """
    scaled = y * gain_over_target(y, p)
    found: Cut | None = None
    for of_p, of_y in (
        (p.real, scaled.real),
        (-p.real, -scaled.real),
        (p.imag, scaled.imag),
        (-p.imag, -scaled.imag),
        (np.abs(p), np.abs(scaled)),
    ):
        top = float(of_p.max())
        at = of_p >= top * (1 - AT_THE_TOP) if top > 0 else np.zeros(len(p), bool)
        count = int(np.count_nonzero(at))
        different = len(np.unique(np.round(p[at] / (AT_THE_TOP * top)))) if count else 0
        if different >= CUT_SAMPLES and (found is None or count > found.samples):
            above = float(np.mean(of_y[at])) / top
            found = Cut(count, top / rms(p), to_db(above**2) if above > 0 else -np.inf)
    return found
