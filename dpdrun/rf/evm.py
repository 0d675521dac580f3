"""Error vector magnitude of OFDM symbols where the grid is known, and OpenDPD's spectral EVM, a different quantity.

Both are 20 log10 of an error over a wanted amplitude [dB]. The EVM is data-aided: the known reference is demodulated
in the same way as the output, so no symbol is decided and its crest factor reduction is no error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, check_pair, padded_segments, to_db
from dpdrun.rf.ofdm_grid import OfdmGrid, Starts, carrier_at_zero

UNCORRELATED = 1e-24  # |gain|^2 below which the output has nothing of the reference; as OpenDPD's Arena has it


@dataclass(frozen=True, eq=False)
class Symbols:
    """Subcarriers of all symbols in one list: by carrier, then symbol, in the order of `OfdmGrid.bins`.

    Attributes:
        wanted: of the reference, (M,) complex128.
        measured: of the output, (M,) complex128.
        gain: the one complex factor that brings `wanted` closest to `measured`.
        count: of symbols that were demodulated, over all carriers.
    """

    wanted: NDArray[np.complex128]
    measured: NDArray[np.complex128]
    gain: complex
    count: int

    @property
    def evm_db(self) -> float:
        """10 log10( sum |measured - gain wanted|^2 / sum |gain wanted|^2 ) over all carriers and symbols [dB]."""
        signal = abs(self.gain) ** 2 * float(np.vdot(self.wanted, self.wanted).real)
        if abs(self.gain) ** 2 <= UNCORRELATED:
            return 0.0  # the error vector is the whole reference
        return to_db(float(np.sum(np.abs(self.error) ** 2)) / signal)

    @property
    def evm_percent(self) -> float:
        """The same as an amplitude ratio [%]."""
        return float(100 * 10 ** (self.evm_db / 20))

    @property
    def error(self) -> NDArray[np.complex128]:
        """measured - gain wanted, (M,)."""
        return np.asarray(self.measured - self.gain * self.wanted, np.complex128)

    @property
    def constellation(self) -> NDArray[np.complex128]:
        """Received symbols without the common gain, at unit mean power of the reference, (M,): for a plot."""
        scale = np.sqrt(np.mean(np.abs(self.wanted) ** 2))
        return np.asarray(self.measured / (self.gain * scale), np.complex128)


def demodulate(reference: Signal, y: Signal, sample_rate_hz: float, grid: OfdmGrid, starts: Starts) -> Symbols:
    """Take the FFT of the known symbols of a reference and of an output.

    The convention of OpenDPD's Arena (core/arena_metrics.py of 2.4.2): each carrier is shifted to 0 Hz and, where it
    has a symbol clock of its own, filtered out of the whole record; then the FFT of every whole symbol, its occupied
    subcarriers, and one complex gain common to all carriers. No equaliser: a slope over frequency is an error.

    Args:
        reference: what the output should be, up to a complex factor, (N,) complex128.
        y: output, (N,) complex128.
        sample_rate_hz: [Hz].
        grid: the numerology.
        starts: first sample of the FFT window of each symbol, for each carrier: `ofdm_grid.symbol_starts`.

    Raises:
        ValueError: shapes differ, a carrier has no symbol, a window reaches out of the record, or the reference has no
            power on its subcarriers.
    """
    check_pair(reference, y)
    if len(starts) != len(grid.carriers_hz):
        raise ValueError(f"starts of {len(starts)} carriers for a grid of {len(grid.carriers_hz)}")
    if not all(starts):
        raise ValueError(
            f"no complete OFDM symbol of {grid.prefix:,} + {grid.fft:,} samples for every carrier in {len(y):,} samples"
        )
    if min(map(min, starts)) < 0 or max(map(max, starts)) + grid.fft > len(y):
        raise ValueError(f"an OFDM symbol reaches out of the {len(y):,} samples")
    bins = np.asarray(grid.bins) % grid.fft
    wanted, measured = [], []
    for centre, begins in zip(grid.carriers_hz, starts, strict=True):
        pair = [carrier_at_zero(signal, sample_rate_hz, centre, grid.half_band_hz) for signal in (reference, y)]
        for begin in begins:
            of_reference, of_output = (np.fft.fft(signal[begin : begin + grid.fft])[bins] for signal in pair)
            wanted.append(of_reference)
            measured.append(of_output)
    r, m = np.concatenate(wanted), np.concatenate(measured)
    power = float(np.vdot(r, r).real)
    if power == 0:
        raise ValueError("the reference has no power on its occupied subcarriers, so an EVM is undefined")
    return Symbols(r, m, complex(np.vdot(r, m) / power), sum(map(len, starts)))


def spectral_evm_db(
    reference: Signal, y: Signal, sample_rate_hz: float, bandwidth_hz: float, *, carriers: int, nperseg: int
) -> float:
    """Compute OpenDPD's "EVM": an error ratio over FFT bins of the band, without demodulation or gain correction [dB].

    20 log10 of the mean over segments and carriers of mean |Y - R| / mean |R|, exactly as `EVM` in utils/metrics.py of
    opendpd 2.4.2 (segments side by side, the last one filled up with zeros; a carrier ends before the last bin of the
    band). Means of magnitudes instead of powers, and segments cut without regard to symbols: compare it with itself.

    Args:
        reference: what y should be, (N,) complex128.
        y: (N,) complex128.
        bandwidth_hz: over all carriers [Hz].
        carriers: of equal width.
        nperseg: segment length [samples].

    Raises:
        ValueError: shapes differ, a carrier holds no bin, or the reference has no power in one.
    """
    check_pair(reference, y)
    frequency = np.fft.fftshift(np.fft.fftfreq(nperseg, 1 / sample_rate_hz))
    inside = np.flatnonzero((frequency >= -bandwidth_hz / 2) & (frequency <= bandwidth_hz / 2))
    width = (len(inside) - 1) // carriers
    if width < 1:
        raise ValueError(f"{carriers} carriers in {bandwidth_hz / 1e6:g} MHz are narrower than a bin; longer segments")
    used = slice(int(inside[0]), int(inside[0]) + carriers * width)
    r, e = (
        np.abs(np.fft.fftshift(np.fft.fft(padded_segments(signal, nperseg), axis=1), axes=1)[:, used])
        .reshape(-1, carriers, width)
        .mean(axis=2)
        for signal in (reference, y - reference)
    )
    if not np.all(r > 0):
        raise ValueError("the reference has no power in a carrier, so an error over it is undefined")
    return 2 * to_db(float(np.mean(e / r)))
