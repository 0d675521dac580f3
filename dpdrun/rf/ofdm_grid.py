"""Positions of the symbols of an OFDM capture in time and frequency, as an EVM needs them.

A capture states its numerology (`OfdmGrid`); where the symbols begin is found in the input, by their cyclic prefixes,
so that it holds for any part of a record.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal

# |correlation| of a prefix with the end of its symbol, at least. The input is known without noise, so a true prefix is
# near 1; windows over a prefix with few independent samples reach 0.5 by chance.
PREFIX_CORRELATION = 0.8

Starts = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class OfdmGrid:
    """The numerology of a capture.

    Attributes:
        fft: length of a symbol without its prefix [samples]; the spacing of subcarriers is sample_rate / fft.
        prefix: length of the cyclic prefix; of the usual one, where the first symbol of a slot has a longer [samples].
        carriers_hz: centre of each carrier [Hz], (C,).
        bins: occupied subcarriers, counted from the centre of their carrier, (K,); 0 is the centre.
        half_band_hz: carriers that do not share one symbol clock are separated by a filter of +- this width around
            each centre [Hz]; None where they share it, so that their subcarriers are orthogonal anyway.
    """

    fft: int
    prefix: int
    carriers_hz: tuple[float, ...]
    bins: tuple[int, ...]
    half_band_hz: float | None = None

    def __post_init__(self) -> None:
        if self.fft < 2 or not 0 <= self.prefix <= self.fft or not self.carriers_hz or not self.bins:
            raise ValueError(
                f"an OFDM grid needs a symbol, a prefix no longer than it, carriers and subcarriers, not fft {self.fft}"
                f", prefix {self.prefix}, {len(self.carriers_hz)} carriers, {len(self.bins)} subcarriers"
            )
        if len({b % self.fft for b in self.bins}) != len(self.bins):
            raise ValueError(f"an FFT of {self.fft} samples has no room for these subcarriers without overlap")


def around_centre(active: int) -> tuple[int, ...]:
    """Return the `active` occupied subcarriers around an empty centre: -n/2 .. -1 and 1 .. n/2."""
    half = active // 2
    return (*range(-half, 0), *range(1, half + 1))


def carrier_at_zero(x: Signal, sample_rate_hz: float, centre_hz: float, half_band_hz: float | None) -> Signal:
    """Shift a carrier to 0 Hz and filter everything else out.

    The filter is a rectangle over the FFT of the whole record, as in OpenDPD's Arena (core/arena_metrics.py of 2.4.2).

    Args:
        x: (N,) complex128.
        centre_hz: of the carrier [Hz].
        half_band_hz: the filter passes +- this [Hz]; None for no filter.
    """
    time = np.arange(len(x)) / sample_rate_hz
    shifted = x * np.exp(-2j * np.pi * centre_hz * time)
    if half_band_hz is None:
        return np.asarray(shifted, np.complex128)
    passed = np.abs(np.fft.fftfreq(len(x), 1 / sample_rate_hz)) <= half_band_hz
    return np.asarray(np.fft.ifft(np.fft.fft(shifted) * passed), np.complex128)


def symbol_starts(reference: Signal, sample_rate_hz: float, grid: OfdmGrid) -> Starts:
    """Return the first sample of the FFT window of every complete symbol, for each carrier.

    A prefix repeats the end of its symbol, so the correlation over `fft` samples peaks where a prefix begins (van de
    Beek 1997, doi 10.1109/78.599949). The window begins in the middle of the prefix, the centre of where 3GPP measures
    EVM (TS 38.104, annex B.5): there neither the memory of the amplifier nor an error of the peak reaches into the
    neighbouring symbol, and the turn of phase over the subcarriers is the same in reference and output.

    Args:
        reference: the known signal, (N,) complex128.
        sample_rate_hz: [Hz].

    Returns:
        Starts per carrier, (C,) tuples; empty ones where no complete symbol is found.
    """
    if grid.prefix == 0 or len(reference) < grid.fft + grid.prefix:
        return ((),) * len(grid.carriers_hz)
    if grid.half_band_hz is None:
        return (_starts(reference, grid),) * len(grid.carriers_hz)
    return tuple(
        _starts(carrier_at_zero(reference, sample_rate_hz, centre, grid.half_band_hz), grid)
        for centre in grid.carriers_hz
    )


def _starts(x: Signal, grid: OfdmGrid) -> tuple[int, ...]:
    similar = np.abs(_moving_sum(x[: -grid.fft] * np.conj(x[grid.fft :]), grid.prefix))
    energy = _moving_sum(np.abs(x) ** 2, grid.prefix).real
    both = np.sqrt(np.maximum(energy[: -grid.fft] * energy[grid.fft :], 0.0))
    floor = 1e-9 * np.max(both, initial=0.0)
    correlation = np.divide(similar, both, out=np.zeros_like(similar), where=both > floor)
    # A peak may sit at either end of the record.
    peaks = _peaks(np.pad(correlation, 1), PREFIX_CORRELATION, max(1, grid.fft // 2))
    return tuple(peak - 1 + grid.prefix // 2 for peak in peaks)


def _peaks(values: NDArray[np.float64], height: float, distance: int) -> list[int]:
    """Return what `scipy.signal.find_peaks` returns for these arguments; to import it takes 0.7 s.

    Local maxima of at least `height`, of a plateau its middle; of those closer than `distance` the highest stays.
    """
    first = np.concatenate([[0], np.flatnonzero(np.diff(values)) + 1])  # of each run of equal values
    last = np.append(first[1:], len(values)) - 1
    level = values[first]
    inner = level[1:-1]
    is_peak = (inner > level[:-2]) & (inner > level[2:]) & (inner >= height)
    positions = ((first + last) // 2)[1:-1][is_peak]
    kept = np.ones(len(positions), bool)
    for index in np.argsort(values[positions])[::-1]:
        if kept[index]:
            kept &= np.abs(positions - positions[index]) >= distance
            kept[index] = True
    return [int(position) for position in positions[kept]]


def _moving_sum(values: NDArray[np.complex128] | NDArray[np.float64], length: int) -> NDArray[np.complex128]:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[length:] - total[:-length], np.complex128)
