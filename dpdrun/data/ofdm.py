"""A multi-carrier OFDM waveform like a 5G NR downlink: QAM on subcarriers, adjacent carriers, reduced crest factor.

The waveform loops: its last sample is followed by its first, as in the memory of an arbitrary waveform generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import rms
from dpdrun.rf.ofdm_grid import OfdmGrid, around_centre


@dataclass(frozen=True)
class OfdmSettings:
    """Numerology of the waveform. The defaults are five NR carriers of 40 MHz at 60 kHz subcarrier spacing.

    A 40 MHz carrier at 60 kHz has 51 resource blocks of 12 subcarriers (3GPP TS 38.104, table 5.3.2-1), so 36.72 MHz
    are occupied; contiguous carriers sit 39.96 MHz apart (nominal spacing, TS 38.104, 5.4.1.2), on the subcarrier grid.

    Attributes:
        sample_rate_hz: [Hz]; `fft` subcarrier spacings.
        fft: samples of a symbol without its prefix.
        prefix: samples of the cyclic prefix.
        symbols: number of symbols in the record.
        carriers: number of carriers, centred on 0 Hz.
        carrier_bins: spacing of carriers [subcarriers].
        active: occupied subcarriers of a carrier.
        qam: constellation size, a square (256 = 16 x 16).
        papr_db: peak to average power ratio to reach [dB].
    """

    sample_rate_hz: float = 983.04e6
    fft: int = 16384
    prefix: int = 1152
    symbols: int = 6
    carriers: int = 5
    carrier_bins: int = 666
    active: int = 612
    qam: int = 256
    papr_db: float = 10.0

    @property
    def samples(self) -> int:
        """Length of the record."""
        return self.symbols * (self.fft + self.prefix)

    @property
    def bandwidth_hz(self) -> float:
        """Carriers times their nominal width of 40 MHz [Hz]."""
        return self.carriers * 40e6

    @property
    def occupied_hz(self) -> float:
        """From the lowest to the highest occupied subcarrier [Hz]."""
        return ((self.carriers - 1) * self.carrier_bins + self.active) * self.sample_rate_hz / self.fft

    @property
    def grid(self) -> OfdmGrid:
        """Where its symbols are: all carriers share one clock, so no filter needs to tell them apart."""
        spacing = self.sample_rate_hz / self.fft
        centres = tuple(float(centre) * spacing for centre in np.round(_centres(self)))
        return OfdmGrid(self.fft, self.prefix, centres, around_centre(self.active))


CLIP_ROUNDS = 40
CLIP_MARGIN = 0.995  # filtering lets peaks grow back a little


def ofdm_waveform(settings: OfdmSettings, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Generate the waveform, (samples,) complex128, unit rms.

    Random QAM symbols, inverse FFT, cyclic prefix; then iterative clipping and filtering (Armstrong 2002,
    doi 10.1049/el:20020175) down to `papr_db`. The filter is a mask over the whole record with a raised-cosine edge in
    the guard band of each carrier, so it removes the sidelobes of the symbol edges too and keeps the guard bands
    empty.
    """
    side = round(settings.qam**0.5)
    levels = 2.0 * np.arange(side) - (side - 1)
    shape = (settings.symbols, settings.carriers * settings.active)
    qam = rng.choice(levels, shape) + 1j * rng.choice(levels, shape)
    spectrum = np.zeros((settings.symbols, settings.fft), np.complex128)
    spectrum[:, _subcarriers(settings)] = qam
    body = np.fft.ifft(spectrum, axis=1)
    x = np.concatenate([body[:, -settings.prefix :], body], axis=1).ravel()

    mask = _mask(settings)
    x = np.fft.ifft(np.fft.fft(x) * mask)
    for _ in range(CLIP_ROUNDS):
        limit = CLIP_MARGIN * 10 ** (settings.papr_db / 20) * rms(x)
        magnitude = np.abs(x)
        if magnitude.max() <= limit / CLIP_MARGIN:
            break
        clipped = x * np.minimum(1.0, limit / np.maximum(magnitude, 1e-300))
        x = np.fft.ifft(np.fft.fft(clipped) * mask)
    return np.asarray(x / rms(x), np.complex128)


def _centres(settings: OfdmSettings) -> NDArray[np.float64]:
    """Return the centre of each carrier [subcarriers]."""
    return np.asarray((np.arange(settings.carriers) - (settings.carriers - 1) / 2) * settings.carrier_bins, np.float64)


def _subcarriers(settings: OfdmSettings) -> NDArray[np.int64]:
    """Return the FFT bins of all occupied subcarriers, without the bin at 0 Hz of each carrier."""
    around = np.asarray(around_centre(settings.active))
    bins = (np.round(_centres(settings))[:, None].astype(np.int64) + around).ravel()
    return np.asarray(bins % settings.fft, np.int64)


def _mask(settings: OfdmSettings) -> NDArray[np.float64]:
    """Return the gain over the FFT of the record: 1 on a carrier, 0 from the middle of the guard band on."""
    bins = np.fft.fftfreq(settings.samples) * settings.fft
    offset = np.min(np.abs(bins[:, None] - _centres(settings)), axis=1)
    passed, stopped = settings.active / 2 + 1, settings.carrier_bins / 2
    edge = np.clip((offset - passed) / (stopped - passed), 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * edge), np.float64)
