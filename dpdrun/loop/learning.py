"""The next waveform by iterative learning control, from the measured error of a round.

    u[k + 1] = limit( u[k] + step L (target - y[k]) ),   L = 1 / gain of the amplifier

as in `dpd.ilc`, whose sources apply, but with the amplifier itself in place of a model. Its gain is that of the
waveform that was played, by least squares; frequencies beyond the adjacent channels are left alone: they hold mostly
the noise of the analyser, which each iteration adds to the waveform.
"""

from __future__ import annotations

import numpy as np

from dpdrun.dpd.ilc import within
from dpdrun.rf.metrics import Signal, one_tap_gain

REACH_BANDWIDTHS = 1.5  # the signal and the adjacent channels
WIDEST = 0.44  # of the sample rate: the interpolation of the alignment passes no more (`rf.interpolation`)


def reach_of(bandwidth_hz: float | None, sample_rate_hz: float, captured: float) -> float:
    """Return the frequency up to which the waveform is changed, as a share of the sample rate.

    Args:
        bandwidth_hz: of the signal [Hz]; None if unknown.
        sample_rate_hz: [Hz].
        captured: up to which the capture holds the output, as a share of the sample rate.
    """
    adjacent = WIDEST if bandwidth_hz is None else REACH_BANDWIDTHS * bandwidth_hz / sample_rate_hz
    return min(adjacent, WIDEST, captured * WIDEST / 0.5)


def learnt_change(u: Signal, first: int, y: Signal, target: Signal, reach: float) -> Signal:
    """Return the change of a waveform that its measured error asks for; nothing where it was not measured.

    Args:
        u: the waveform, (N,) complex128.
        first: sample of u that y[0] belongs to.
        y: output without the drift of the bench, (K,) complex128, K <= N.
        target: linear target, (N,).
        reach: frequency up to which u is changed, as a share of the sample rate.
    """
    at = (first + np.arange(len(y))) % len(u)
    error = np.zeros(len(u), np.complex128)
    error[at] = target[at] - y
    change = np.fft.ifft(within(reach, len(u)) * np.fft.fft(error))
    return np.asarray(change / one_tap_gain(u[at], y), np.complex128)
