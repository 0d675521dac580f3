"""Adjacent channel leakage ratio under named conventions: the number depends on bands and window.

B is the bandwidth over all n carriers, W = B/n the width of a carrier. Every ratio is the power of a neighbour over a
power of the same signal, in dBc: negative, and lower is better. None is a conformance test of 3GPP, which would filter
each carrier and leave out the guard bands.

| convention | main channel | neighbours | spectrum |
|---|---|---|---|
| `general-v1` | the whole band | as wide as B | Welch, Hann, 50 % overlap |
| `opendpd-spectral-v2` | the strongest carrier | as wide as W | Welch, Hann, 50 % overlap |
| `opendpd-legacy-v1` | the strongest carrier | as wide as W, the right a bin early | Hann, side by side, mean removed |
| `channel-spacing-v1` | the strongest carrier | as wide, S from the outermost carrier | Welch, Hann, 50 % overlap |

S is the spacing of channels where it is stated: a carrier of NR occupies 98.28 MHz of a channel of 100 MHz (3GPP TS
38.104, 5.3.2 and 6.6.3.2), and carriers have centres S apart and the width B - (n - 1) S. With S = W this is
`opendpd-spectral-v2`, whose neighbours begin where the occupied band ends and so catch its skirt.

The first is `general-spectral-v1` of OpenDPD 2.4.2 (core/metrics/general_v1.py, there called ACPR), the second is its
core/metrics/spectral_v2.py and the one that its Arena ranks by, the third its utils/metrics.py, which its papers use.
`make golden` compares all three with OpenDPD's own functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, padded_segments, to_db
from dpdrun.rf.spectrum import SEGMENT, hann, psd, whole_bin_power

Band = tuple[float, float]

SPACED = "channel-spacing-v1"
OWN_DB = 3.0  # twice the power: a leakage that is less above that of the wanted signal is mostly the signal's own
SKIRT = 0.05  # of a channel, at its edge next to the signal


@dataclass(frozen=True)
class Bands:
    """The bands of a convention, each [low, high) in Hz: adjacent channels, and candidates for the main one."""

    left_hz: Band
    right_hz: Band
    channels_hz: tuple[Band, ...]


@dataclass(frozen=True)
class Aclr:
    """Adjacent channel leakage and how it was measured.

    Attributes:
        convention: a key of CONVENTIONS.
        left_dbc, right_dbc: of the neighbour below and above [dBc].
        left_hz, right_hz, main_hz: the bands, [low, high); of the main channel the strongest [Hz].
        window: the spectral estimate in words.
    """

    convention: str
    left_dbc: float
    right_dbc: float
    left_hz: Band
    right_hz: Band
    main_hz: Band
    window: str

    @property
    def worse_dbc(self) -> float:
        """The higher of the two [dBc]."""
        return max(self.left_dbc, self.right_dbc)

    @property
    def average_dbc(self) -> float:
        """Mean of the two dB values: the ACLR_AVG that OpenDPD selects by [dBc]."""
        return (self.left_dbc + self.right_dbc) / 2


Measure = Callable[[Signal, float, float, int, float | None, int], Aclr]  # the arguments of `aclr`, in this order


def aclr(
    y: Signal,
    sample_rate_hz: float,
    bandwidth_hz: float,
    *,
    convention: str | None = None,
    carriers: int = 1,
    spacing_hz: float | None = None,
    nperseg: int = SEGMENT,
) -> Aclr:
    """Compute the adjacent channel leakage of a signal under one of the named conventions.

    Args:
        y: (N,) complex128.
        sample_rate_hz: [Hz].
        bandwidth_hz: B, all carriers together [Hz].
        convention: a key of CONVENTIONS; None = `default_convention`.
        carriers: n, of equal width in B; `general-v1` does not look at it.
        spacing_hz: S, between the centres of adjacent channels; only `channel-spacing-v1` looks at it [Hz].
        nperseg: segment of the spectrum [samples]; shortened to N, except that `opendpd-legacy-v1` pads with zeros.

    Raises:
        ValueError: no such convention, or it needs a spacing; channels overlap; a neighbour lies outside the captured
            band (no number is better than a wrong one); a band holds no bin; there is no power in the main channel.
    """
    convention = convention or default_convention(spacing_hz)
    if convention not in CONVENTIONS:
        raise ValueError(f"no ACLR convention {convention!r}; there are: {', '.join(CONVENTIONS)}")
    if carriers < 1 or bandwidth_hz <= 0:
        raise ValueError(f"need a positive bandwidth and a carrier, got {bandwidth_hz:g} Hz and {carriers}")
    return CONVENTIONS[convention](y, sample_rate_hz, bandwidth_hz, carriers, spacing_hz, nperseg)


def default_convention(spacing_hz: float | None) -> str:
    """Return the convention to rank by: `channel-spacing-v1` with a stated spacing, else `opendpd-spectral-v2`."""
    return SPACED if spacing_hz else "opendpd-spectral-v2"


def caveat(wanted: Signal, y: Signal, found: Aclr, sample_rate_hz: float, *, nperseg: int = SEGMENT) -> str | None:
    """Say why a leakage measures the wanted signal rather than the amplifier; None if it does not.

    Args:
        wanted: what y would be without distortion, up to a factor, (N,) complex128.
        y: what `found` is of, (N,) complex128.
        found: under a Welch convention.
        nperseg: segment of its spectrum [samples].
    """
    frequency, own = psd(wanted, sample_rate_hz, nperseg=min(nperseg, len(wanted)))
    _, density = psd(y, sample_rate_hz, nperseg=min(nperseg, len(y)))

    def powers(low: float, high: float) -> tuple[float, float]:
        """Return the power of the wanted signal and of y in a band, over that in the main channel."""
        both = ((part, found.main_hz) for part in (own, density))
        return tuple(  # type: ignore[return-value]
            whole_bin_power(frequency, part, low, high) / whole_bin_power(frequency, part, *main) for part, main in both
        )

    reasons = []
    for side, (low, high) in (("left", found.left_hz), ("right", found.right_hz)):
        wanted_share, share = powers(low, high)
        strip = max((high - low) * SKIRT, 2.5 * float(frequency[1] - frequency[0]))
        near = (high - strip, high) if side == "left" else (low, low + strip)
        wanted_near, own_near = powers(*near)
        if to_db(share) - to_db(wanted_share) < OWN_DB:
            reasons.append(f"the {side} channel of the wanted signal is itself at {to_db(wanted_share):.1f} dBc")
        elif own_near > share / 2 and to_db(own_near) - to_db(wanted_near) < OWN_DB:
            reasons.append(f"most of the {side} leakage is the skirt of the signal at the edge of its band")
    if not reasons:
        return None
    return f"the ACLR measures the signal, not the amplifier: {'; '.join(reasons)}"


def bands(
    convention: str, sample_rate_hz: float, bandwidth_hz: float, carriers: int, spacing_hz: float | None = None
) -> Bands:
    """Return the bands of a Welch convention.

    Raises:
        ValueError: a neighbour lies outside the captured band, or channels overlap.
    """
    if convention == SPACED:
        return _spaced(sample_rate_hz, bandwidth_hz, carriers, spacing_hz)
    count = 1 if convention == "general-v1" else carriers
    edge, width = bandwidth_hz / 2, bandwidth_hz / count
    if edge + width > sample_rate_hz / 2:
        raise ValueError(_outside(edge + width, sample_rate_hz))
    channels = tuple((-edge + c * width, -edge + (c + 1) * width) for c in range(count))
    return Bands((-edge - width, -edge), (edge, edge + width), channels)


def spaced_width_hz(bandwidth_hz: float, carriers: int, spacing_hz: float) -> float:
    """Return the width of a carrier [Hz]. Raises ValueError where such carriers overlap or are not in the band."""
    width = bandwidth_hz - (carriers - 1) * spacing_hz
    if not 0 < width <= spacing_hz:
        signal = "one carrier" if carriers == 1 else f"{carriers} carriers"
        raise ValueError(
            f"a channel spacing of {spacing_hz / 1e6:g} MHz does not fit {signal} in {bandwidth_hz / 1e6:g} MHz, each "
            f"{width / 1e6:g} MHz wide"
        )
    return width


def _spaced(sample_rate_hz: float, bandwidth_hz: float, carriers: int, spacing_hz: float | None) -> Bands:
    if spacing_hz is None:
        raise ValueError(f"{SPACED} needs the channel spacing")
    width = spaced_width_hz(bandwidth_hz, carriers, spacing_hz)
    centres = [(number - (carriers - 1) / 2) * spacing_hz for number in range(-1, carriers + 1)]
    left, *channels, right = [(centre - width / 2, centre + width / 2) for centre in centres]
    if right[1] > sample_rate_hz / 2:
        raise ValueError(_outside(right[1], sample_rate_hz))
    return Bands(left, right, tuple(channels))


def _welch(convention: str) -> Measure:
    def measure(
        y: Signal, sample_rate_hz: float, bandwidth_hz: float, carriers: int, spacing_hz: float | None, nperseg: int
    ) -> Aclr:
        where = bands(convention, sample_rate_hz, bandwidth_hz, carriers, spacing_hz)
        nperseg = min(nperseg, len(y))
        frequency, density = psd(y, sample_rate_hz, nperseg=nperseg)
        left, right = (whole_bin_power(frequency, density, *band) for band in (where.left_hz, where.right_hz))
        main = [whole_bin_power(frequency, density, *band) for band in where.channels_hz]
        strongest = int(np.argmax(main))
        return Aclr(
            convention,
            *_over(left, right, main[strongest]),
            where.left_hz,
            where.right_hz,
            where.channels_hz[strongest],
            f"Welch, Hann, segments of {nperseg:,} samples, 50 % overlap, no detrending; bins whose centre is inside",
        )

    return measure


def _legacy(
    y: Signal, sample_rate_hz: float, bandwidth_hz: float, carriers: int, _: float | None, nperseg: int
) -> Aclr:
    """Compute `ACLR` of opendpd 2.4.2 (utils/metrics.py), bin by bin.

    Its main band goes from the first bin >= -B/2 to the last <= B/2, both inclusive, but its length is taken as the
    difference of the two indices, and the right neighbour begins with that last bin instead of the one after it.
    """
    if nperseg % 2:
        raise ValueError(f"the legacy ACLR of OpenDPD needs an even segment length (it halves it), not {nperseg}")
    segments, window = padded_segments(y, nperseg), hann(nperseg)
    spectra = np.fft.fft((segments - segments.mean(axis=-1, keepdims=True)) * window) / np.sum(window)
    frequency = np.fft.fftshift(np.fft.fftfreq(nperseg, 1.0 / sample_rate_hz))
    power = np.fft.fftshift(np.mean(np.abs(spectra) ** 2, axis=0))
    inside = np.flatnonzero((frequency >= -bandwidth_hz / 2) & (frequency <= bandwidth_hz / 2))
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)
    width = (last - first) // carriers
    if width == 0:
        raise ValueError(f"{carriers} carriers in {bandwidth_hz / 1e6:g} MHz are narrower than a bin; longer segments")
    if first - width < 0 or last + width > nperseg:
        raise ValueError(_outside(bandwidth_hz / 2 + bandwidth_hz / carriers, sample_rate_hz))
    main = [float(np.sum(power[a : a + width])) for a in range(first, first + carriers * width, width)]
    strongest = int(np.argmax(main))
    left, right = float(np.sum(power[first - width : first])), float(np.sum(power[last : last + width]))
    return Aclr(
        "opendpd-legacy-v1",
        *_over(left, right, main[strongest]),
        _span(frequency, first - width, width),
        _span(frequency, last, width),
        _span(frequency, first + strongest * width, width),
        f"Hann, segments of {nperseg:,} samples side by side, the last one filled up with zeros, mean removed",
    )


def _span(frequency: NDArray[np.float64], begin: int, width: int) -> Band:
    half = float(frequency[1] - frequency[0]) / 2
    return float(frequency[begin]) - half, float(frequency[begin + width - 1]) + half


def _over(left: float, right: float, main: float) -> tuple[float, float]:
    if not main > 0:
        raise ValueError("there is no power in the main channel, so a leakage over it is undefined")
    return to_db(left / main), to_db(right / main)


def _outside(reach_hz: float, sample_rate_hz: float) -> str:
    return f"the adjacent channels end at +-{reach_hz / 1e6:g} MHz, outside the captured +-{sample_rate_hz / 2e6:g} MHz"


CONVENTIONS: dict[str, Measure] = {
    "general-v1": _welch("general-v1"),
    "opendpd-spectral-v2": _welch("opendpd-spectral-v2"),
    "opendpd-legacy-v1": _legacy,
    SPACED: _welch(SPACED),
}
