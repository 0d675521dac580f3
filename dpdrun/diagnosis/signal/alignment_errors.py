"""Find simple errors of a prediction: conjugation, delay, gain, clipped peaks.

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
    """Delay of p after y [samples], and NMSE of the best gain with and without it, ends left out [dB]."""

    samples: float
    nmse_db: float
    unshifted_nmse_db: float


@dataclass(frozen=True)
class Cut:
    """Samples at the largest value, that value over rms(p), and the mean excess of y over it there [dB]."""

    samples: int
    level: float
    short_db: float


def mirror(y: Signal, p: Signal) -> Mirror | None:
    """Return whether p follows conj(y), at any delay: I and Q swapped, or one of them negated."""
    if not conjugated(y, p):
        return None
    late = delay(np.conj(y), p)
    back = shifted(np.conj(p), late.samples)
    angle = float(np.degrees(np.angle(np.vdot(np.conj(y), np.conj(back)))))
    return Mirror(one_tap_nmse_db(back, y), angle)


def shifted(p: Signal, samples: float) -> Signal:
    """Return p advanced by so many samples, by a linear phase over the complete record: it wraps around."""
    frequency = np.fft.fftfreq(len(p))
    return np.asarray(np.fft.ifft(np.fft.fft(p) * np.exp(2j * np.pi * frequency * samples)), np.complex128)


def shift(y: Signal, p: Signal) -> Shift | None:
    """Return the delay of p after y, and its cost; None where it leaves less than half of the record."""
    late = delay(y, p)
    margin = abs(late.whole) + ENDS
    if 2 * margin > len(y) // 2:
        return None
    inside = slice(margin, len(y) - margin)
    back = shifted(p, late.samples)
    return Shift(late.samples, one_tap_nmse_db(back[inside], y[inside]), one_tap_nmse_db(p[inside], y[inside]))


def gain_over_target(y: Signal, p: Signal) -> complex:
    """Return h of p = h y + rest, by least squares: an error uncorrelated with y leaves it at 1."""
    return one_tap_gain(y, p)


def cut(y: Signal, p: Signal) -> Cut | None:
    """Return whether I, Q or the magnitude of p saturates at one value that y exceeds.

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
