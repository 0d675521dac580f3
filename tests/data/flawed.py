"""Records as a receiver with flaws would have made them, by another method than dpdrun's: FFT and Lagrange."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.synthetic import PRESETS, generate

Signal = NDArray[np.complex128]
OVERSAMPLED = 8
POINTS = range(-3, 5)


@cache
def hard() -> tuple[Signal, Signal]:
    """Return input and output of `synthetic/hard`: one period of a loop."""
    return generate(PRESETS["hard"])


@cache
def _oversampled() -> Signal:
    spectrum = np.fft.fft(hard()[1])
    half = len(spectrum) // 2
    padded = np.zeros(OVERSAMPLED * len(spectrum), complex)
    padded[:half], padded[-half:] = spectrum[:half], spectrum[-half:]
    return np.asarray(np.fft.ifft(padded) * OVERSAMPLED, np.complex128)


def between(instants: NDArray[np.float64]) -> Signal:
    """Return the output of `synthetic/hard` at any instants: FFT to 8 times the rate, then 8-point Lagrange."""
    fine = instants * OVERSAMPLED
    whole = np.floor(fine).astype(int)
    fraction = fine - whole
    y, out = _oversampled(), np.zeros(len(instants), complex)
    for point in POINTS:
        others = [other for other in POINTS if other != point]
        weight = np.prod([(fraction - other) / (point - other) for other in others], axis=0)
        out += weight * y[(whole + point) % len(y)]
    return out


def received(
    count: int, *, delay: float = 0.0, ppm: float = 0.0, offset: float = 0.0, dc: complex = 0j, mirror: str = "",
    gain: complex = 1.0, image: complex = 0j, transmitter_image: complex = 0j,
) -> Signal:  # fmt: skip
    """Return `count` samples of the output of `synthetic/hard`, as a receiver with these flaws sees it.

    Args:
        delay: of the first sample [samples].
        ppm: sample rate over that of the input, less 1.
        offset: of the frequency [cycles per sample].
        dc: over the rms of the output.
        mirror: "conjugate" or "swap" of I and Q.
        gain: of everything.
        image, transmitter_image: of an I/Q imbalance after and before the frequency offset, over the signal.
    """
    n = np.arange(count)
    y = between((n - delay) / (1.0 + ppm * 1e-6))
    y = (y + transmitter_image * np.conj(y)) * np.exp(2j * np.pi * offset * n)
    if mirror:
        y = np.conj(y) if mirror == "conjugate" else y.imag + 1j * y.real
    y = y + image * np.conj(y)
    level = np.sqrt(np.mean(np.abs(hard()[1]) ** 2))
    return np.asarray(gain * (y + dc * level), np.complex128)
