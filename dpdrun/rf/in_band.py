"""The error inside the band of the signal, which a linear receiver cannot filter out."""

from __future__ import annotations

from dpdrun.rf.metrics import Signal, to_db
from dpdrun.rf.spectrum import psd, whole_bin_power


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
    if reference.shape != y.shape or y.ndim != 1:
        raise ValueError(f"need two (N,) signals of equal length, got {reference.shape} and {y.shape}")
    if bandwidth_hz > sample_rate_hz:
        raise ValueError(f"a band of {bandwidth_hz / 1e6:g} MHz does not fit into {sample_rate_hz / 1e6:g} MS/s")
    frequency, wanted = psd(reference, sample_rate_hz, nperseg=nperseg)
    _, error = psd(y - reference, sample_rate_hz, nperseg=nperseg)
    power = whole_bin_power(frequency, wanted, -bandwidth_hz / 2, bandwidth_hz / 2)
    if power == 0:
        raise ValueError("the reference has no power in its band, so an error over it is undefined")
    return to_db(whole_bin_power(frequency, error, -bandwidth_hz / 2, bandwidth_hz / 2) / power)
