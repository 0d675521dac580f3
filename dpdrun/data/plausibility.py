"""Is a stated rate or bandwidth a slip of units? A number that misleads every score is a question, not a fact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import DataError
from dpdrun.rf.spectrum import psd

SLOWEST_HZ = 1e4  # no baseband record of an amplifier is slower: 200 is 200 MHz
CONTRADICTION = 1.7  # of bandwidth and spectrum; a slip is 2, 1e3 or 1e6, an unused channel edge is at most 1.2
EDGE_DB = 20.0  # below the median in band: beyond any ripple, above leakage
LEAST_BINS = 8  # a narrower spectrum is a tone or nearly: nothing to compare with
PROBED = 1 << 18  # samples
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
    occupied_hz = occupied_bandwidth(x, sample_rate_hz)
    if occupied_hz is None or occupied_hz / CONTRADICTION <= bandwidth_hz <= occupied_hz * CONTRADICTION:
        return
    raise DataError(
        f"{name}: the bandwidth is stated as {bandwidth_hz:g} Hz, but the input occupies about {occupied_hz:.3g} Hz at "
        f"{sample_rate_hz:g} S/s. Is the bandwidth wrong, or the sample rate? Give --bandwidth-hz {occupied_hz:.3g} "
        f"(data.bandwidth_hz) or --sample-rate-hz (data.sample_rate_hz), and correct the source if it states the "
        f"other; {ACCEPT}"
    )


def occupied_bandwidth(x: NDArray[np.complex128], sample_rate_hz: float) -> float | None:
    """Return the width between the outermost edges, 20 dB below the median in band [Hz]; None for a tone or noise."""
    frequency, density = psd(x[:PROBED], sample_rate_hz)
    strong = density > density.max() * 10 ** (-EDGE_DB / 10)
    level = float(np.median(density[strong]))
    occupied = np.flatnonzero(density > level * 10 ** (-EDGE_DB / 10))
    width = int(occupied[-1] - occupied[0]) + 1
    if np.count_nonzero(strong) < LEAST_BINS or width > 0.98 * len(density):
        return None
    return width * float(frequency[1] - frequency[0])
