"""The noise floor of a capture, as the NMSE of a perfect model [dB].

Method: a small memory polynomial is fitted to the record by least squares and its residual is examined in the quiet
band, the outer fifth of the captured frequencies, where neither the signal nor much of its regrowth lies. If that
residual is flat there, and as strong under small as under large inputs, it is taken for white measurement noise and
extrapolated over all frequencies.

No number is given where the assumption visibly fails: the filter of the receiver cuts the band edge off (white noise
is unknown there), distortion still reaches it (the residual slopes, or follows the envelope), or the band is not
wide enough.
Where a number is given it still is an estimate from above in the quiet band, and from neither side in the signal band:
noise of the transmitter, phase noise and clock jitter sit on the signal and do not show outside of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal, to_db
from dpdrun.rf.spectrum import occupied_band, psd

QUIET_FROM = 0.4  # of the sample rate: the quiet band is QUIET_FROM..0.5 on both sides
SEGMENT = 512
MAX_SAMPLES = 32_768
MIN_SAMPLES = 4_096
CLEAR_OF_SIGNAL = 1.5  # the quiet band starts at this multiple of the band's edge, or there is none
FLAT_DB = 0.6  # 13 bins x ~100 segments: the error of a mean is about 0.15 dB
CELL = 0.025  # of the sample rate
CELLS = tuple(0.25 + CELL * i for i in range(10))
ROLL_OFF_DB = 4.0  # from cell to cell; regrowth falls off more slowly, in the captures here by 2 dB at most
LEVELS = 5  # groups of samples, from small to large envelopes
FOLLOWS_DB = 1.0  # 1300 independent values a group: the error of a mean is about 0.12 dB
SMOOTHED = 9  # samples of envelope that count together: the quiet-band filter spreads a peak over them
NOISE_FREE_DB = -90.0  # below the noise of a 16-bit converter; no measurement looks like that
POWERS = 7  # |x|^0 .. |x|^6
TAPS = range(-2, 8)  # of the memory polynomial [samples]
RIDGE = 1e-9

CAVEAT = "white noise extrapolated from the quiet band; noise that rides on the signal (phase, jitter) adds to it"


@dataclass(frozen=True)
class Floor:
    """A noise-floor estimate.

    Attributes:
        nmse_db: noise power over output power [dB], or None if unknown.
        bound_db: the level seen in the quiet band [dB]: white noise is not above it. None where the edge is cut off.
        method: how it was found, or "" if not.
        caveat: what to doubt, or why there is no number.
    """

    nmse_db: float | None
    bound_db: float | None
    method: str
    caveat: str


def quiet_band_floor(
    x: Signal,
    y: Signal,
    sample_rate_hz: float,
    *,
    bandwidth_hz: float | None = None,
    loop_samples: int | None = None,
) -> Floor:
    """Estimate the noise floor from the residual's spectrum outside the signal band; see the module's text.

    Args:
        x: input, (N,).
        y: output, (N,), aligned with x to within a few samples.
        sample_rate_hz: [Hz].
        bandwidth_hz: occupied bandwidth of x [Hz]; measured (99.9 % of the power) if not given.
        loop_samples: length of the frames that were measured in a loop each, if the record is a row of such.
    """
    if len(y) < MIN_SAMPLES:
        return _unknown(f"{len(y):,} samples are too few to tell (need {MIN_SAMPLES:,})")
    if bandwidth_hz is None:
        bandwidth_hz = 2 * max(abs(edge) for edge in occupied_band(x, sample_rate_hz, share=0.999))
    if bandwidth_hz / 2 * CLEAR_OF_SIGNAL > QUIET_FROM * sample_rate_hz:
        return _unknown(
            f"no quiet band: the signal reaches +-{bandwidth_hz / 2e6:.4g} MHz and the capture only "
            f"+-{sample_rate_hz / 2e6:.4g} MHz"
        )
    frame = loop_samples or min(len(y), MAX_SAMPLES)
    used = max(1, MAX_SAMPLES // frame) * frame
    x, y = x[:used], y[:used]
    residual = _residual(x, y, frame)
    scale = 1.0 / float(np.mean(np.abs(y) ** 2))  # levels are over the output power
    frequency, density = psd(residual, sample_rate_hz, nperseg=SEGMENT)
    verdict = _judge_spectrum(frequency / sample_rate_hz, density * sample_rate_hz * scale)
    return verdict if verdict.nmse_db is None else _judge_levels(verdict, x, residual, scale)


def _judge_spectrum(frequency: NDArray[np.float64], level: NDArray[np.float64]) -> Floor:
    """Judge a residual: `frequency` over the sample rate, `level` as if white, over the output power."""
    rings: dict[str, tuple[float, float]] = {}
    for side, sign in (("lower", -1), ("upper", 1)):
        cells = [to_db(float(np.mean(level[_between(sign * frequency, low, low + CELL)]))) for low in CELLS]
        steps = [inner - outer for inner, outer in pairwise(cells)]
        if max(steps) > ROLL_OFF_DB and cells[-1] > NOISE_FREE_DB:
            at = CELLS[steps.index(max(steps)) + 1]
            return _unknown(
                f"the receiver's filter cuts the {side} band edge off ({max(steps):.0f} dB at {at:.2f} of the sample "
                "rate), so the noise there is not what is in band"
            )
        centre = (QUIET_FROM + 0.5) / 2
        near, far = (level[_between(sign * frequency, *band)] for band in ((QUIET_FROM, centre), (centre, 0.5)))
        rings[side] = (to_db(float(np.mean(near))), to_db(float(np.mean(far))))
    bound = to_db(float(np.mean([10 ** (value / 10) for ring in rings.values() for value in ring])))
    if bound < NOISE_FREE_DB:
        return Floor(None, bound, "", f"the record looks noise-free (below {NOISE_FREE_DB:g} dB)")
    for side, (near_db, far_db) in rings.items():
        if abs(near_db - far_db) > FLAT_DB:
            return Floor(
                None,
                bound,
                "",
                f"distortion still reaches the {side} band edge (the residual is not flat there: {near_db:.1f} and "
                f"{far_db:.1f} dB); white noise is at most {bound:.1f} dB",
            )
    return Floor(bound, bound, "quiet band of a memory polynomial's residual", CAVEAT)


def _judge_levels(verdict: Floor, x: Signal, residual: Signal, scale: float) -> Floor:
    """Test the residual against the envelope: noise is independent of it, remaining distortion is not."""
    spectrum = np.fft.fft(residual)
    quiet = np.abs(np.fft.fftfreq(len(residual))) >= QUIET_FROM
    power = np.abs(np.fft.ifft(spectrum * quiet)) ** 2 * (scale / np.mean(quiet))
    envelope = np.convolve(np.abs(x) ** 2, np.ones(SMOOTHED), "same")
    by_level = [to_db(float(np.mean(power[group]))) for group in np.array_split(np.argsort(envelope), LEVELS)]
    if max(by_level) - min(by_level) <= FOLLOWS_DB:
        return verdict
    return Floor(
        None,
        min(by_level),
        "",
        f"distortion reaches the band edges (the residual there follows the envelope: {by_level[0]:.1f} dB under the "
        f"smallest and {by_level[-1]:.1f} dB under the largest inputs); white noise is at most {min(by_level):.1f} dB",
    )


def _between(frequency: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((frequency >= low - 1e-9) & (frequency < high - 1e-9))


def _unknown(why: str) -> Floor:
    return Floor(None, None, "", why)


def _residual(x: Signal, y: Signal, frame: int) -> Signal:
    """Return the residual of a memory polynomial fit to y; memory wraps around within `frame`.

    Its 70 coefficients swallow 70 / N of the noise too: 0.07 dB at the least N, so no correction is made.
    """
    x = x / np.max(np.abs(x))
    envelope = np.abs(x)
    terms = [(x * envelope**power).reshape(-1, frame) for power in range(POWERS)]
    A = np.stack([np.roll(term, tap, axis=1).ravel() for term in terms for tap in TAPS], axis=1)
    A = A / np.sqrt(np.mean(np.abs(A) ** 2, axis=0))
    gram = A.conj().T @ A
    gram += RIDGE * len(A) * np.eye(A.shape[1])
    residual = y - A @ np.linalg.solve(gram, A.conj().T @ y)
    if frame == len(x):  # one long record does not wrap: its ends are no part of it
        residual[: max(TAPS)] = 0.0
        residual[min(TAPS) :] = 0.0
    return np.asarray(residual, np.complex128)
