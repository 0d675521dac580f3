"""Delay between input and output of an amplifier: whole samples by cross-correlation, fractions by the phase slope."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal


@dataclass(frozen=True)
class Delay:
    """By how many samples y lags x.

    Attributes:
        samples: whole and fractional delay [samples]; positive: y is late.
        whole: the lag with the largest correlation [samples].
        correlation: |correlation coefficient| at `whole`, 0 to 1.
    """

    samples: float
    whole: int
    correlation: float


def delay(x: Signal, y: Signal) -> Delay:
    """Estimate the delay of y against x.

    The cross-correlation is linear (zero-padded), by FFT. The fraction comes from the slope of the cross-spectrum's
    phase after the whole delay is removed, weighted by its magnitude, so that only occupied frequencies count; it is
    the mean group delay of the linear part of the path, not only that of the cables.

    Args:
        x, y: (N,) complex each.
    """
    size = fft_size(2 * len(x))
    X, Y = np.fft.fft(x, size), np.fft.fft(y, size)
    magnitude = np.abs(np.fft.ifft(Y * np.conj(X)))
    peak = int(np.argmax(magnitude))
    whole = peak - size if peak >= size // 2 else peak
    frequency = np.asarray(np.fft.fftfreq(size), np.float64)  # cycles per sample
    cross = Y * np.conj(X) * np.exp(2j * np.pi * frequency * whole)
    energy = float(np.linalg.norm(x) * np.linalg.norm(y))
    return Delay(whole + _slope(cross, frequency), whole, float(magnitude[peak]) / energy)


def fft_size(samples: int) -> int:
    """Return the next power of two: FFTs of other lengths can be several times slower."""
    return 1 << (samples - 1).bit_length()


def _slope(cross: Signal, frequency: NDArray[np.float64]) -> float:
    """Fit the delay [samples] of a cross-spectrum with less than half a turn of phase, by weighted least squares."""
    weight = np.abs(cross)
    weight[weight < 0.05 * np.quantile(weight, 0.999)] = 0.0  # empty frequencies hold only noise
    mean_phase = np.angle(np.sum(cross * (weight > 0)))
    phase = np.angle(cross * np.exp(-1j * mean_phase))
    centre = np.sum(weight * frequency) / np.sum(weight)
    spread = np.sum(weight * (frequency - centre) ** 2)
    return float(-np.sum(weight * (frequency - centre) * phase) / (2 * np.pi * spread)) if spread > 0 else 0.0
