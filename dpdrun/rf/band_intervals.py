"""Bootstrap intervals of scores that consist of band powers: in-band error, ACLR, EVM.

The blocks are short Hann segments with 50 % overlap, whose band powers are nearly independent (neighbours share
1/36 of their variance in white noise: Welch 1967, doi 10.1109/TAU.1967.1161901). The score itself is often taken from
few long segments, OpenDPD's from a single one in a test part of 19,662 samples, which has no spread of its own; so the
short segments give the width, and the interval is moved to the score.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.aclr import Aclr, bands
from dpdrun.rf.bootstrap import Interval, Score, Sums, interval, ratio_db
from dpdrun.rf.evm import Symbols
from dpdrun.rf.metrics import Signal

SEGMENT = 1024  # samples of a block: as many blocks as a short record can give, with bins of about 1 MHz at 1 GS/s
SUBCARRIERS = 12  # of a block of the EVM: a resource block


def in_band_interval(
    score_db: float, reference: Signal, y: Signal, sample_rate_hz: float, bandwidth_hz: float, *, seed: int = 0
) -> Interval | None:
    """Return the interval of an in-band error [dB]; None if the record is too short or the score not finite."""
    band = (-bandwidth_hz / 2, bandwidth_hz / 2)
    sums = np.stack([_band_powers(signal, sample_rate_hz, [band])[:, 0] for signal in (y - reference, reference)], 1)
    return _around(score_db, sums, ratio_db, seed)


def aclr_intervals(
    found: Aclr,
    y: Signal,
    sample_rate_hz: float,
    bandwidth_hz: float,
    *,
    carriers: int,
    spacing_hz: float | None = None,
    seed: int = 0,
) -> dict[str, Interval | None]:
    """Return the intervals of `left`, `right` and `worse` of an ACLR under a Welch convention [dBc].

    Args:
        found: the score.
        y: what it was taken of, (N,) complex128.

    Raises:
        ValueError: a neighbour lies outside the captured band.
    """
    where = bands(found.convention, sample_rate_hz, bandwidth_hz, carriers, spacing_hz)
    sums = _band_powers(y, sample_rate_hz, [where.left_hz, where.right_hz, *where.channels_hz])
    scores = {"left": (found.left_dbc, [0]), "right": (found.right_dbc, [1]), "worse": (found.worse_dbc, [0, 1])}
    result: dict[str, Interval | None] = {}
    for name, (score_dbc, sides) in scores.items():

        def leakage(total: Sums, sides: list[int] = sides) -> NDArray[np.float64]:
            pair = [total[..., sides].max(axis=-1), total[..., 2:].max(axis=-1)]
            return ratio_db(np.stack(pair, axis=-1))

        result[name] = _around(score_dbc, sums, leakage, seed)
    return result


def evm_interval(symbols: Symbols, *, seed: int = 0) -> Interval | None:
    """Return the interval of an EVM [dB]: blocks are groups of adjacent subcarriers of a symbol, the gain is fixed.

    The errors of neighbouring subcarriers are nearly independent, those of one symbol at all its subcarriers are not
    where the error comes in bursts: with a single symbol the interval is a lower bound of the doubt.
    """
    if abs(symbols.gain) == 0:
        return None
    error, signal = np.abs(symbols.error) ** 2, np.abs(symbols.gain * symbols.wanted) ** 2
    edges = np.arange(0, len(error), SUBCARRIERS)
    sums = np.stack([np.add.reduceat(power, edges) for power in (error, signal)], axis=1)
    return interval(sums, ratio_db, seed=seed)


def _band_powers(x: Signal, sample_rate_hz: float, where: list[tuple[float, float]]) -> Sums:
    """Return the power of each short segment in each band, (B, K); B is 0 if the record is shorter than a segment."""
    if len(x) < SEGMENT:
        return np.zeros((0, len(where)))
    pieces = np.lib.stride_tricks.sliding_window_view(x, SEGMENT)[:: SEGMENT // 2]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(SEGMENT) / SEGMENT)
    power = np.abs(np.fft.fft(pieces * window, axis=1)) ** 2
    frequency = np.fft.fftfreq(SEGMENT, 1 / sample_rate_hz)
    inside = [((frequency >= low) & (frequency < high)).astype(np.float64) for low, high in where]
    return np.asarray(power @ np.stack(inside, axis=1), np.float64)


def _around(reported: float, sums: Sums, score: Score, seed: int) -> Interval | None:
    """Return the interval of the short segments, shifted from their own score to the reported one."""
    found = interval(sums, score, seed=seed)
    if found is None or not np.isfinite(reported):
        return None
    by = reported - float(score(sums.sum(axis=0)))
    return Interval(found.low + by, found.high + by, found.blocks)
