"""Turn constellations upright: find and remove the phase that FFT window and carrier gave to the subcarriers.

A window that begins d samples early turns subcarrier k by exp(-2 pi j k d / fft), and a carrier that is shifted to 0 Hz
leaves each of its symbols at an angle of its own. Reference and output rotate equally, so no score depends on it; a
constellation does. Square QAM looks the same after a quarter of a turn, so the fourth power of its points has a mean
(Viterbi and Viterbi 1983, doi 10.1109/TIT.1983.1056713, here over subcarriers instead of time); where the fourth powers
of the reference add up to a line over k, its slope and angle are removed. With many points this is known only to a few
degrees, which is enough to decide on a point of the constellation, but leaves arcs; so the points are decided, the
inner ones first, and the remaining phase is fitted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.complex128]

PADDED = 16  # times the subcarriers: the slope is then known to 0.05 radians at the last subcarrier
NEAR = 2  # subcarriers' worth of slope that a symbol may differ from the others: a window found a sample off
CLEAR = 3.4  # of the peak over the median, as amplitudes, less 1: chance reaches 3.2 with one symbol, 0.7 with ten

LEVELS = (2, 4, 8, 16, 32)  # a side of square QAM
REACHES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # of the points, the inner ones first: a turn moves them least
DECIDED = 0.25  # of the spacing: rms distance from the decided points; of points anywhere it is 1/sqrt(6)


def turn_of(wanted: Points, count: int) -> Points | None:
    """Return factors of magnitude 1, (M,), that turn the points upright; None where they are not square QAM.

    Args:
        wanted: subcarriers of the reference, symbol by symbol, (M,), equally many of each.
        count: of symbols.
    """
    if count < 1 or len(wanted) % count or len(wanted) < 8 * count:
        return None
    blocks = wanted.reshape(count, -1)
    size = blocks.shape[1]
    power = np.mean(np.abs(blocks) ** 2)
    if not power > 0:
        return None
    fourth = blocks**4 / power**2
    # The bins run without a gap, or leave out the centre of their carrier.
    candidates = [np.arange(size), np.arange(size) + (np.arange(size) >= size // 2)]
    best: tuple[float, NDArray[np.int64], Points] | None = None
    for bins in candidates:
        placed = np.zeros((count, size + 1), np.complex128)
        placed[:, bins] = fourth
        spectrum = np.fft.fft(placed, PADDED * size, axis=1)
        together = np.sqrt(np.mean(np.abs(spectrum) ** 2, axis=0))
        clear = float(np.max(together) / np.median(together))
        if best is None or clear > best[0]:
            best = clear, bins, spectrum
    assert best is not None
    clear, bins, spectrum = best
    if clear < 1 + CLEAR / np.sqrt(min(count, 10)):
        return None
    common = int(np.argmax(np.sum(np.abs(spectrum) ** 2, axis=0)))
    near = (common + np.arange(-NEAR * PADDED, NEAR * PADDED + 1)) % (PADDED * size)
    slope = near[np.argmax(np.abs(spectrum[:, near]), axis=1)]
    angle = np.angle(-spectrum[np.arange(count), slope])  # the mean of the fourth power of square QAM is negative
    turn = np.exp(-0.25j * (2 * np.pi * slope[:, None] * bins / (PADDED * size) + angle[:, None]))
    turn *= np.exp(-1j * _left_over(blocks * turn / np.sqrt(power), bins - np.mean(bins)))
    return np.asarray(turn.reshape(-1), np.complex128)


def _left_over(upright: Points, bins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the phase left in symbols that are nearly upright [rad], (count, size); 0 where no QAM fits them.

    Args:
        upright: at unit mean power, (count, size).
        bins: of the subcarriers, from their centre, (size,).
    """
    found = min((_fitted(upright, bins, side) for side in LEVELS), key=lambda fit: fit[0])
    return found[1] if found[0] < DECIDED else np.zeros(upright.shape)


def _fitted(upright: Points, bins: NDArray[np.float64], side: int) -> tuple[float, NDArray[np.float64]]:
    """Return the rms distance from decided points of `side` x `side` QAM, over their spacing, and the fitted phase."""
    spacing = np.sqrt(6 / (side**2 - 1))  # at unit mean power
    phase, inner = np.zeros(upright.shape), np.argsort(np.abs(upright), axis=1)
    for reach in REACHES:
        turned = upright * np.exp(-1j * phase)
        meant = _decided(turned, side, spacing)
        weight = np.zeros(upright.shape)
        kept = inner[:, : max(4, int(reach * upright.shape[1]))]
        np.put_along_axis(weight, kept, np.take_along_axis(np.abs(meant) ** 2, kept, axis=1), axis=1)
        off = np.angle(turned * np.conj(meant))
        # a line over the bins by weighted least squares, for each symbol
        s0, s1, s2, r0, r1 = (
            np.sum(weight * part, axis=1) for part in (np.ones_like(bins), bins, bins**2, off, off * bins)
        )
        slope = (s0 * r1 - s1 * r0) / (s0 * s2 - s1**2)
        phase += ((r0 - slope * s1) / s0)[:, None] + slope[:, None] * bins
    turned = upright * np.exp(-1j * phase)
    distance = np.sqrt(np.mean(np.abs(turned - _decided(turned, side, spacing)) ** 2)) / spacing
    return float(distance), phase


def _decided(points: Points, side: int, spacing: float) -> Points:
    def nearest(part: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(np.round(part / spacing - 0.5), -side / 2, side / 2 - 1) + 0.5

    return np.asarray(spacing * (nearest(points.real) + 1j * nearest(points.imag)), np.complex128)
