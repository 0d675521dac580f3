"""Find simple errors of a prediction: conjugation, delay, clipped peaks; and a target that precedes its input.

Shapes: N samples; p is the prediction, y the target, x the input. Results are facts by their names in `SignalFacts`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdrun.rf.alignment import delay
from dpdrun.rf.impairments import conjugated
from dpdrun.rf.metrics import Signal, one_tap_gain, one_tap_nmse_db, rms, to_db

ENDS = 64  # samples that a shift by FFT spoils at each end of a record
AT_THE_TOP = 1e-6  # relative: what counts as the same value, after single precision or nine digits of text
CUT_SAMPLES = 8  # different ones: a continuous signal meets its extreme once; impairments.RAIL_REPEATS


def mirror(y: Signal, p: Signal) -> dict[str, Any]:
    """Return facts where p follows conj(y), at any delay: I and Q swapped, or one of them negated."""
    if not conjugated(y, p):
        return {}
    late = delay(np.conj(y), p)
    back = shifted(np.conj(p), late.samples)
    angle = float(np.degrees(np.angle(np.vdot(np.conj(y), np.conj(back)))))
    return {"mirrored": True, "mirror_nmse_db": one_tap_nmse_db(back, y), "mirror_deg": angle}


def shifted(p: Signal, samples: float) -> Signal:
    """Return p advanced by so many samples, by a linear phase over the complete record: it wraps around."""
    frequency = np.fft.fftfreq(len(p))
    return np.asarray(np.fft.ifft(np.fft.fft(p) * np.exp(2j * np.pi * frequency * samples)), np.complex128)


def shift(y: Signal, p: Signal) -> dict[str, Any]:
    """Return the delay of p after y, and its cost; empty where it leaves less than half of the record."""
    late = delay(y, p)
    margin = abs(late.whole) + ENDS
    if 2 * margin > len(y) // 2:
        return {}
    inside = slice(margin, len(y) - margin)
    back = shifted(p, late.samples)
    with_and_without = (one_tap_nmse_db(each[inside], y[inside]) for each in (back, p))
    return dict(
        zip(("lag_samples", "lag_nmse_db", "unshifted_nmse_db"), (late.samples, *with_and_without), strict=True)
    )


def cut(y: Signal, p: Signal) -> dict[str, Any]:
    """Return facts where I, Q or the magnitude of p saturates at one value that y exceeds.

    A waveform that is played again and again has its peak as often, but then I and Q are the same each time.
    """
    scaled = y * one_tap_gain(y, p)
    found: dict[str, Any] = {}
    sides = [(sign * part(p), sign * part(scaled)) for part in (np.real, np.imag) for sign in (1, -1)]
    for of_p, of_y in (*sides, (np.abs(p), np.abs(scaled))):
        top = float(of_p.max())
        at = of_p >= top * (1 - AT_THE_TOP) if top > 0 else np.zeros(len(p), bool)
        count = int(np.count_nonzero(at))
        different = len(np.unique(np.round(p[at] / (AT_THE_TOP * top)))) if count else 0
        if different >= CUT_SAMPLES and count > found.get("clipped_samples", 0):
            above = float(np.mean(of_y[at])) / top
            short_db = to_db(above**2) if above > 0 else -np.inf
            found = {"clipped_samples": count, "clip_level": top / rms(p), "clip_short_db": short_db}
    return found


def lead(x: Signal, y: Signal) -> dict[str, Any]:
    """Return the lead of y over x, which no causal model can follow; empty where it is below 1 or above N / 2.

    The prediction does not show it: such a model has learned to guess, and is not merely late.
    """
    samples = -delay(x, y).whole
    if not 1 <= samples <= len(x) // 2:
        return {}
    ahead = one_tap_nmse_db(x[samples:], y[:-samples])
    return {"lead_samples": samples, "present_nmse_db": one_tap_nmse_db(x, y), "ahead_nmse_db": ahead}
