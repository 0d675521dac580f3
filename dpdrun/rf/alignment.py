"""Delay between input and output by cross-correlation and phase slope; stretches of a record that occur elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal

SNIPPETS = 12
SNIPPET_SAMPLES = 256  # shorter than the cyclic prefix of the OFDM records here
SAME = 0.999  # correlation coefficient; of independent signals of this length it stays below 0.5


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
    return Delay(whole + phase_slope(cross, frequency), whole, float(magnitude[peak]) / energy)


def fft_size(samples: int) -> int:
    """Return the next power of two: FFTs of other lengths can be several times slower."""
    return 1 << (samples - 1).bit_length()


def likeness(x: Signal, snippets: Iterable[Signal], length: int) -> Iterator[NDArray[np.float64]]:
    """Yield, for each snippet of `length` samples, its likeness to each stretch of a record.

    Returns:
        |correlation coefficient| at every position, (N - length + 1,), 0 to 1; 0 where there is hardly any power.
    """
    size = fft_size(len(x) + length)
    spectrum = np.fft.fft(x, size)
    summed = np.concatenate([[0.0], np.cumsum(np.abs(x) ** 2)])
    local = summed[length:] - summed[:-length]  # energy of x[n : n + length]
    usable = local > 1e-6 * np.max(local, initial=0.0)
    for snippet in snippets:
        product = np.abs(np.fft.ifft(spectrum * np.conj(np.fft.fft(snippet, size)))[: len(local)])
        energy = float(np.sum(np.abs(snippet) ** 2))
        yield np.divide(product, np.sqrt(local * energy), out=np.zeros_like(local), where=usable & (energy > 0))


def repeated_share(train: Signal, other: Signal) -> float:
    """Return the share of snippets of `other` that occur in `train` (up to a complex gain), 0 to 1.

    A snippet counts where one next to it occurs too, at the same distance: a record that is played again repeats all of
    it, but the cyclic prefix of an OFDM symbol across a split repeats one snippet alone.

    Args:
        train: (N,) complex.
        other: (M,) complex; 12 snippets of 256 samples are taken from it, evenly spaced.
    """
    length = min(SNIPPET_SAMPLES, len(other), len(train))
    starts = np.linspace(0, len(other) - length, SNIPPETS).astype(np.int64)
    snippets = (other[start : start + length] for start in starts)
    found = [
        {int(at) - int(start) for at in np.flatnonzero(alike > SAME)}
        for start, alike in zip(starts, likeness(train, snippets, length), strict=True)
    ]
    together = [bool(a & b) for a, b in pairwise(found)]
    return sum(left or right for left, right in zip([False, *together], [*together, False], strict=True)) / SNIPPETS


def phase_slope(cross: Signal, frequency: NDArray[np.float64]) -> float:
    """Fit the delay [samples] of a cross-spectrum with less than half a turn of phase, by weighted least squares."""
    weight = np.abs(cross)
    weight[weight < 0.05 * np.quantile(weight, 0.999)] = 0.0  # empty frequencies hold only noise
    mean_phase = np.angle(np.sum(cross * (weight > 0)))
    phase = np.angle(cross * np.exp(-1j * mean_phase))
    centre = np.sum(weight * frequency) / np.sum(weight)
    spread = np.sum(weight * (frequency - centre) ** 2)
    return float(-np.sum(weight * (frequency - centre) * phase) / (2 * np.pi * spread)) if spread > 0 else 0.0
