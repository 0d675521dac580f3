"""Power spectral density, band powers, in-band error and occupied bandwidth. `aclr` compares bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, check_pair, to_db

SEGMENT = 2048  # samples per Welch segment by default: 0.5 MHz bins at 983.04 MS/s
RISE_DB = 10.0
IMAGE_DB = -60.0
EDGE_DB = 20.0  # under the density in the band: within the roll-off of a carrier, above the regrowth of an input
EDGE_AVERAGES = 8  # segments of a short record: of a single one the bins of noise reach 20 dB
EDGE_BINS, EDGE_SHARE = 1.5, 0.005  # a bin, and its half for the width of the last one; of the edge


def psd(x: Signal, sample_rate_hz: float, *, nperseg: int = SEGMENT) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate the two-sided power spectral density by Welch's method: Hann window, 50 % overlap, no detrending.

    Args:
        x: (N,) complex.
        sample_rate_hz: [Hz].
        nperseg: segment length [samples]; shortened to N.

    Returns:
        frequency [Hz], (K,), rising from -sample_rate/2.
        density [1/Hz], (K,): its sum times the bin width is the mean power of x.
    """
    length = min(nperseg, len(x))
    window = hann(length)
    segments = np.lib.stride_tricks.sliding_window_view(x, length)[:: length - length // 2]
    power = np.mean(np.abs(np.fft.fft(segments * window)) ** 2, axis=0)
    frequency = np.fft.fftfreq(length, 1.0 / sample_rate_hz)
    return np.fft.fftshift(frequency), np.fft.fftshift(power / (sample_rate_hz * np.sum(window**2)))


def hann(length: int) -> NDArray[np.float64]:
    """Return a periodic Hann window, as `scipy.signal.get_window("hann", length)`, whose import takes 0.7 s."""
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length) if length > 1 else np.ones(1))


def band_power(frequency: NDArray[np.float64], density: NDArray[np.float64], low_hz: float, high_hz: float) -> float:
    """Return the power in [low, high): each bin counts by the share of its width that lies inside."""
    width = float(frequency[1] - frequency[0])
    left, right = frequency - width / 2, frequency + width / 2
    inside = np.clip(np.minimum(right, high_hz) - np.maximum(left, low_hz), 0.0, None)
    return float(np.sum(density * inside))


def whole_bin_power(
    frequency: NDArray[np.float64], density: NDArray[np.float64], low_hz: float, high_hz: float
) -> float:
    """Return the power of the bins whose centre is in [low, high), as OpenDPD 2.4.2 does (core/metrics/general_v1.py).

    `band_power` shares a bin at an edge instead; the two differ by at most one bin at each edge.

    Args:
        frequency, density: (K,) as `psd` gives them.
        low_hz, high_hz: [Hz].

    Raises:
        ValueError: no bin lies in the band.
    """
    inside = (frequency >= low_hz) & (frequency < high_hz)
    if not np.any(inside):
        raise ValueError(
            f"no bin of the spectrum lies in {low_hz / 1e6:g} .. {high_hz / 1e6:g} MHz (bins of "
            f"{(frequency[1] - frequency[0]) / 1e6:g} MHz); take longer segments"
        )
    return float(np.sum(density[inside]) * (frequency[1] - frequency[0]))


def occupied_band(
    x: Signal, sample_rate_hz: float, *, share: float = 0.99, nperseg: int = SEGMENT
) -> tuple[float, float]:
    """Return the band that holds `share` of the power, with equal remainders below and above (ITU-R SM.328) [Hz], [Hz].

    Returns:
        low, high [Hz]; interpolated inside bins.
    """
    frequency, density = psd(x, sample_rate_hz, nperseg=nperseg)
    width = frequency[1] - frequency[0]
    edges = np.concatenate([frequency - width / 2, [frequency[-1] + width / 2]])
    cumulated = np.concatenate([[0.0], np.cumsum(density)])
    cumulated /= cumulated[-1]
    low, high = np.interp([(1 - share) / 2, (1 + share) / 2], cumulated, edges)
    return float(low), float(high)


def channel_bandwidth_hz(x: Signal, sample_rate_hz: float, bandwidth_hz: float, *, nperseg: int = SEGMENT) -> float:
    """Return the bandwidth beyond which adjacent channels begin: the stated one, unless that cuts the signal.

    The signal reaches as far as its density is within EDGE_DB of the one that it has in a tenth of the stated band or
    more. Where that is over a bin and 0.5 % beyond the stated edge, a leakage over the stated band would count the
    carrier itself.

    Args:
        x: the wanted signal, such as the input of an amplifier, (N,) complex128.
        sample_rate_hz: [Hz].
        bandwidth_hz: as stated, all carriers together [Hz].

    Returns:
        The stated bandwidth, or twice the measured edge [Hz].
    """
    frequency, density = psd(x, sample_rate_hz, nperseg=min(nperseg, max(64, len(x) // EDGE_AVERAGES)))
    bin_hz, stated = float(frequency[1] - frequency[0]), bandwidth_hz / 2
    inside = np.abs(frequency) < stated
    if not np.any(inside):
        return bandwidth_hz
    level = np.quantile(density[inside], 0.9) * 10 ** (-EDGE_DB / 10)
    edge = float(np.max(np.abs(frequency[density > level]), initial=0.0)) + bin_hz / 2
    return 2 * edge if edge - stated > max(EDGE_BINS * bin_hz, EDGE_SHARE * edge) else bandwidth_hz


def out_of_band_db(x: Signal, sample_rate_hz: float, bandwidth_hz: float, *, nperseg: int = SEGMENT) -> float:
    """Return the power outside of +-0.55 bandwidths over the total power [dB]."""
    frequency, density = psd(x, sample_rate_hz, nperseg=nperseg)
    edge = 0.55 * bandwidth_hz
    inside = band_power(frequency, density, -edge, edge)
    return to_db(max(0.0, 1.0 - inside / band_power(frequency, density, -np.inf, np.inf)))


def image_frequency(x: Signal, sample_rate_hz: float, bandwidth_hz: float, *, nperseg: int = 512) -> float | None:
    """Return the frequency where the spectrum rises again out of band, as with poor resampling [Hz], or None.

    Regrowth and skirts only fall off with frequency. A rise counts if it is over 10 dB (`RISE_DB`) and ends less than
    60 dB (`IMAGE_DB`) below the level in the band.
    """
    frequency, density = psd(x, sample_rate_hz, nperseg=nperseg)
    in_band = band_power(frequency, density, -bandwidth_hz / 2, bandwidth_hz / 2) / bandwidth_hz
    for sign in (1, -1):
        outward = np.argsort(sign * frequency)
        side = outward[sign * frequency[outward] > 0.75 * bandwidth_hz]
        level = 10 * np.log10(np.maximum(density[side], 1e-30) / in_band)
        rise = level - np.minimum.accumulate(level) if len(level) else level
        high = np.flatnonzero((rise > RISE_DB) & (level > IMAGE_DB))
        if len(high):
            return float(frequency[side][high[0]])
    return None


def in_band_error_db(
    reference: Signal, y: Signal, sample_rate_hz: float, bandwidth_hz: float, *, nperseg: int
) -> float:
    """Return the power of y - reference in [-B/2, B/2) over the power of the reference there [dB].

    Welch densities with a Hann window, 50 % overlap and no detrending; a bin counts where its centre is inside. It is
    the `IBE` of OpenDPD 2.4.2 (core/metrics/general_v1.py), except that no error at all is -inf, not -300 dB. It is not
    an EVM: no symbol is demodulated and no gain is taken out.

    Args:
        reference: what y should be, (N,) complex128.
        y: (N,) complex128.
        sample_rate_hz: [Hz].
        bandwidth_hz: B, all carriers together [Hz].
        nperseg: Welch segment [samples]; shortened to N.

    Raises:
        ValueError: shapes differ, the band does not fit into the sample rate, or the reference has no power in it.
    """
    check_pair(reference, y)
    if bandwidth_hz > sample_rate_hz:
        raise ValueError(f"a band of {bandwidth_hz / 1e6:g} MHz does not fit into {sample_rate_hz / 1e6:g} MS/s")
    frequency, wanted = psd(reference, sample_rate_hz, nperseg=nperseg)
    _, error = psd(y - reference, sample_rate_hz, nperseg=nperseg)
    power = whole_bin_power(frequency, wanted, -bandwidth_hz / 2, bandwidth_hz / 2)
    if power == 0:
        raise ValueError("the reference has no power in its band, so an error over it is undefined")
    return to_db(whole_bin_power(frequency, error, -bandwidth_hz / 2, bandwidth_hz / 2) / power)
