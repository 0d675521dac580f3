"""The noise floor from repeated input: the difference between the outputs cannot be modelled.

The same samples went in, so a deterministic amplifier would put the same samples out; the difference holds the noise of
both (Schoukens & Pintelon, System Identification, 2nd ed., section 2.5). No model is fitted and nothing is assumed of
the spectrum, so this is the best of all estimates, where the record has repeats: a generator that plays its memory over
and over, recorded for longer than one period.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.alignment import fft_size
from dpdrun.rf.metrics import Signal, one_tap_gain, to_db

MAX_SAMPLES = 262_144  # of the record that are used
SNIPPETS = 8  # pieces of the input that are looked for elsewhere
SNIPPET_SAMPLES = 512
SAME_DB = -60.0  # difference of two stretches of input that count as the same: a 12-bit generator's rounding is less
COPIED_DB = -120.0  # rounding; no two measurements are that much alike
PAST, FUTURE = 256, 32  # samples around one that have to be the same too: memory, and the filter of a resampler
MIN_SAMPLES = 2_000  # twice their number of squares is averaged: known to 0.1 dB
CAVEAT = "counts as noise whatever differs between repeats, slow drift of the amplifier too"


@dataclass(frozen=True)
class Repeats:
    """Result of a comparison of repeated input.

    Attributes:
        nmse_db: noise power over output power [dB]; None if unknown.
        samples: pairs of outputs that were compared.
        caveat: what to doubt, or why there is no number.
    """

    nmse_db: float | None
    samples: int
    caveat: str


def repeats_floor(x: Signal, y: Signal) -> Repeats:
    """Compare outputs where the input, its past and its near future are the same.

    One complex gain is taken out between two passes: a slow turn of phase is no noise of the samples.

    Args:
        x, y: input and output, (N,) complex128.
    """
    x, y = x[:MAX_SAMPLES], y[:MAX_SAMPLES]
    power, noise, pairs = float(np.mean(np.abs(y) ** 2)) if len(y) else 0.0, 0.0, 0
    for lag in _lags(x):
        first = np.flatnonzero(_same(x, lag))
        if len(first) <= max(pairs, MIN_SAMPLES):
            continue
        a, b = y[first], y[first + lag]
        if not np.any(a):
            continue
        gain = one_tap_gain(a, b)
        noise, pairs = float(np.mean(np.abs(b - gain * a) ** 2)) / (1 + abs(gain) ** 2), len(first)
    if not pairs or not power:
        return Repeats(None, 0, "the input does not repeat itself")
    if noise <= power * 10 ** (COPIED_DB / 10):
        return Repeats(None, pairs, "the outputs repeat to the last digit: a period was copied, not measured twice")
    return Repeats(to_db(noise / power), pairs, CAVEAT)


def _lags(x: Signal) -> list[int]:
    """Return the distances at which parts of the input occur again, the most frequent first [samples]."""
    length = SNIPPET_SAMPLES
    if len(x) < 2 * length:
        return []
    size = fft_size(len(x) + length)
    spectrum = np.fft.fft(x, size)
    summed = np.concatenate([[0.0], np.cumsum(np.abs(x) ** 2)])
    local = summed[length:] - summed[:-length]  # energy of x[n : n + length]
    usable = local > 1e-6 * np.max(local, initial=0.0)
    found: list[int] = []
    for start in np.linspace(0, len(x) - length, SNIPPETS).astype(np.int64):
        snippet = x[start : start + length]
        product = np.abs(np.fft.ifft(spectrum * np.conj(np.fft.fft(snippet, size)))[: len(local)])
        energy = float(np.sum(np.abs(snippet) ** 2))
        likeness = np.divide(product, np.sqrt(local * energy), out=np.zeros_like(local), where=usable & (energy > 0))
        # of a distance of d dB a correlation is 1 - 10^(d/10)/2
        again = np.flatnonzero(likeness > 1 - 10 ** (SAME_DB / 10))
        found += [int(abs(at - start)) for at in again if abs(at - start) >= length]
    lags, count = np.unique(found, return_counts=True)
    return [int(lag) for lag in lags[np.argsort(-count, kind="stable")][:SNIPPETS]]


def _same(x: Signal, lag: int) -> NDArray[np.bool_]:
    """Return where x[n] and x[n + lag] are equal, with their surroundings, (N - lag,)."""
    limit = 10 ** (SAME_DB / 10) * np.mean(np.abs(x) ** 2)
    differs = np.concatenate([[0], np.cumsum(np.abs(x[lag:] - x[:-lag]) ** 2 > limit)])
    index = np.arange(len(x) - lag)
    begin, end = np.maximum(index - PAST, 0), np.minimum(index + FUTURE + 1, len(index))
    return np.asarray((differs[end] == differs[begin]) & (index >= PAST) & (index < len(index) - FUTURE))
