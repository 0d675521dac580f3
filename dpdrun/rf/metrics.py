"""Errors and powers of complex envelopes, in dB. More negative errors are better.

Shapes: N samples. All signals are (N,) complex128; nothing here knows a sample rate unless it takes one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.complex128]

# As instruments state it: a signal is above these levels for 10, 1, 0.1 and 0.01 % of the time.
PROBABILITIES = (1e-1, 1e-2, 1e-3, 1e-4)
MIN_ABOVE = 10  # samples above a level; fewer say nothing about it


def to_db(power_ratio: float) -> float:
    """Return 10 log10 of a power ratio; -inf for 0, without a warning."""
    return float(10.0 * np.log10(power_ratio)) if power_ratio > 0 else -np.inf


def check_pair(x: Signal, y: Signal) -> None:
    """Raise ValueError unless both are (N,) of equal length."""
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"need two (N,) signals of equal length, got {x.shape} and {y.shape}")


def rms(x: Signal) -> float:
    """Return the root mean square magnitude."""
    return float(np.sqrt(np.mean(np.abs(x) ** 2)))


def papr_db(x: Signal) -> float:
    """Return the peak to average power ratio of the samples, without oversampling [dB]."""
    power = np.abs(x) ** 2
    return to_db(float(np.max(power) / np.mean(power)))


def nmse_db(y: Signal, prediction: Signal) -> float:
    """Return the pooled normalised mean square error, 10 log10( sum |prediction - y|^2 / sum |y|^2 ) [dB].

    Args:
        y: measured, (N,).
        prediction: (N,).

    Raises:
        ValueError: shapes differ, or y has no power.
    """
    check_pair(y, prediction)
    power = float(np.sum(np.abs(y) ** 2))
    if power == 0:
        raise ValueError("the NMSE of a signal without power is undefined")
    return to_db(float(np.sum(np.abs(prediction - y) ** 2)) / power)


def nmse_opendpd_legacy_db(y: Signal, prediction: Signal, nperseg: int) -> float:
    """Return the NMSE of OpenDPD's `legacy-opendpd-v1` profile: the mean of the dB values of segments [dB].

    Segments of `nperseg` samples, the last one zero-padded (utils/metrics.py and IQSegmentDataset of opendpd 2.4.2).
    It differs from the pooled NMSE where segments do, and depends on `nperseg`; for comparison only.
    """
    check_pair(y, prediction)
    values = [nmse_db(y[i : i + nperseg], prediction[i : i + nperseg]) for i in range(0, len(y), nperseg)]
    return float(np.mean(values))


def one_tap_gain(x: Signal, y: Signal) -> complex:
    """Return the complex gain g that minimises sum |y - g x|^2: <x, y> / <x, x>."""
    return complex(np.vdot(x, y) / np.vdot(x, x).real)


def one_tap_nmse_db(x: Signal, y: Signal, gain: complex | None = None) -> float:
    """Return the NMSE of y = g x: the score of a model that has learnt only a gain [dB].

    Args:
        gain: g; by default the best one for this very pair. For a test score give the gain of the training part.
    """
    return nmse_db(y, x * (one_tap_gain(x, y) if gain is None else gain))


def gain_by_envelope(
    x: Signal, y: Signal, bins: int = 40, min_samples: int = 1
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return the complex gain over input level: the least-squares gain in each of `bins` equal steps of |x|.

    Returns:
        level: middle of each step that holds `min_samples`, relative to rms(x), (K,) with K <= bins.
        gain: (K,) complex.
    """
    envelope = np.abs(x)
    index = np.minimum((envelope / envelope.max() * bins).astype(np.int64), bins - 1)
    cross = np.conj(x) * y
    power = np.bincount(index, envelope**2, bins)
    summed = np.bincount(index, cross.real, bins) + 1j * np.bincount(index, cross.imag, bins)
    used = (power > 0) & (np.bincount(index, minlength=bins) >= min_samples)
    level = (np.arange(bins) + 0.5) / bins * envelope.max() / rms(x)
    return level[used], np.asarray(summed[used] / power[used], np.complex128)


def ccdf_db(x: Signal, probabilities: tuple[float, ...] = PROBABILITIES) -> dict[float, float | None]:
    """Return the level over the mean power that the samples exceed with each probability [dB].

    Args:
        x: (N,) complex128, as sampled (no oversampling).

    Returns:
        Level by probability; None where fewer than MIN_ABOVE of the N samples would be above it.

    Raises:
        ValueError: x has no power.
    """
    power = np.abs(x) ** 2
    mean = float(np.mean(power)) if len(power) else 0.0
    if mean == 0:
        raise ValueError("the CCDF of a signal without power is undefined")
    return {
        p: to_db(float(np.quantile(power, 1 - p)) / mean) if p * len(power) >= MIN_ABOVE else None
        for p in probabilities
    }


def padded_segments(x: Signal, nperseg: int) -> NDArray[np.complex128]:
    """Split a record into consecutive segments, the last one padded with zeros (IQSegmentDataset of opendpd 2.4.2).

    Args:
        x: (N,) complex128, N >= 1.
        nperseg: [samples].

    Returns:
        (ceil(N / nperseg), nperseg) complex128.

    Raises:
        ValueError: nothing to cut, or no length to cut it to.
    """
    if x.ndim != 1 or len(x) == 0 or nperseg < 1:
        raise ValueError(f"need a (N,) signal and a segment length, got {x.shape} and {nperseg}")
    count = -(-len(x) // nperseg)
    padded = np.zeros(count * nperseg, np.complex128)
    padded[: len(x)] = x
    return padded.reshape(count, nperseg)
