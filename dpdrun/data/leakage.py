"""Data leakage: does the test split repeat the training split? Then its score says nothing about new signals."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.alignment import fft_size

SNIPPETS = 12
SNIPPET_SAMPLES = 256  # shorter than the cyclic prefix of the OFDM records here
SAME = 0.999  # correlation coefficient; of independent signals of this length it stays below 0.5


def repeated_share(train: NDArray[np.complex128], other: NDArray[np.complex128]) -> float:
    """Return the share of snippets of `other` that occur in `train` (up to a complex gain), 0 to 1.

    Args:
        train: (N,) complex.
        other: (M,) complex; 12 snippets of 256 samples are taken from it, evenly spaced.
    """
    length = min(SNIPPET_SAMPLES, len(other), len(train))
    starts = np.linspace(0, len(other) - length, SNIPPETS).astype(np.int64)
    size = fft_size(len(train) + length)
    spectrum = np.fft.fft(train, size)
    summed = np.concatenate([[0.0], np.cumsum(np.abs(train) ** 2)])
    local = summed[length:] - summed[:-length]  # energy of train[n : n + length]
    found = 0
    for start in starts:
        snippet = other[start : start + length]
        energy = float(np.sum(np.abs(snippet) ** 2))
        product = np.abs(np.fft.ifft(spectrum * np.conj(np.fft.fft(snippet, size))))[: len(local)]
        usable = local > 1e-6 * local.max()
        if energy > 0 and np.max(product[usable] / np.sqrt(local[usable] * energy)) > SAME:
            found += 1
    return found / SNIPPETS
