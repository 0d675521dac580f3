"""Is a stated rate or bandwidth a slip of units? A number that misleads every score is a question, not a fact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import DataError

SLOWEST_HZ = 1e4  # no baseband record of an amplifier is slower: 200 is 200 MHz
CONTRADICTION = 1.7  # of bandwidth and spectrum; a slip is 2, 1e3 or 1e6, an unused channel edge is at most 1.2
CORE_DB, EDGE_DB = 6.0, 20.0  # below the median in band: beyond any ripple, above leakage
FILLED = 0.98  # of the sample rate
LEAST_BINS = 8  # a narrower spectrum is a tone or nearly: nothing to compare with
PROBED = 1 << 18  # samples
SEGMENT = 2048  # samples
ACCEPT = "if it is right, give --no-check-rates (data.check_rates: off)"


def check_rates(x: NDArray[np.complex128], sample_rate_hz: float, bandwidth_hz: float | None, name: str) -> None:
    """Refuse a sample rate or bandwidth that looks like a wrong unit, or contradicts the spectrum of the input.

    Args:
        x: training input, (N,).
        sample_rate_hz, bandwidth_hz: as stated or given [Hz].
        name: of the capture, for messages.

    Raises:
        DataError: the question, with the flag to set.
    """
    if sample_rate_hz < SLOWEST_HZ:
        raise DataError(
            f"{name}: is its sample rate really {sample_rate_hz:g} Hz, or {sample_rate_hz:g} MHz? Rates are in Hz: "
            f"give --sample-rate-hz {sample_rate_hz:g}e6 (data.sample_rate_hz); {ACCEPT}"
        )
    if bandwidth_hz is None:
        return
    widths = occupied_widths(x, sample_rate_hz)
    if widths is None or widths[0] / CONTRADICTION <= bandwidth_hz <= widths[1] * CONTRADICTION:
        return
    occupied_hz = max(widths)
    raise DataError(
        f"{name}: the bandwidth is stated as {bandwidth_hz / 1e6:.6g} MHz, but the input occupies about "
        f"{occupied_hz / 1e6:.4g} MHz at {sample_rate_hz / 1e6:.6g} MS/s. Is the bandwidth wrong, or the sample rate? "
        f"Give --bandwidth-hz {occupied_hz / 1e6:.4g}e6 (data.bandwidth_hz) or --sample-rate-hz (data.sample_rate_hz), "
        f"and correct the source if it states the other; {ACCEPT}"
    )


def occupied_widths(x: NDArray[np.complex128], sample_rate_hz: float) -> tuple[float, float] | None:
    """Return the widths between the outermost points 6 and 20 dB below the level in band [Hz].

    The two agree for the steep edges of a modulated carrier; a spectrum that falls slowly contradicts no bandwidth
    between them. None for a tone, and where noise fills the record.
    """
    density = _density(x[:PROBED])
    bin_hz = sample_rate_hz / len(density)
    strong = density > density.max() * 10 ** (-EDGE_DB / 10)
    level = float(np.median(density[strong]))
    widths = []
    for fall_db in (CORE_DB, EDGE_DB):
        inside = np.flatnonzero(density > level * 10 ** (-fall_db / 10))
        widths.append(float(inside[-1] - inside[0] + 1) * bin_hz)
    if np.count_nonzero(strong) < LEAST_BINS or widths[1] > FILLED * sample_rate_hz:
        return None
    return widths[0], widths[1]


def _density(x: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the mean periodogram of Hann segments, in rising frequency; numpy, as scipy.signal is slow to import."""
    length = min(SEGMENT, len(x))
    segments = np.lib.stride_tricks.sliding_window_view(x, length)[:: length // 2]
    power = np.mean(np.abs(np.fft.fft(segments * np.hanning(length))) ** 2, axis=0)
    return np.asarray(np.fft.fftshift(power), np.float64)
