"""AM/AM and AM/PM: gain and phase over the input level, and the spread of the samples.

The curve is what an amplifier without memory would do; the spread around it is memory and noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.bootstrap import BLOCK, Interval, Sums, block_sums, interval
from dpdrun.rf.metrics import Signal, check_pair, rms, to_db

STEPS = 32
MIN_SAMPLES = 10  # in a step of the curve: fewer are noise
SMALL_SIGNAL = 0.5  # of the rms: below this an amplifier is taken as linear


@dataclass(frozen=True, eq=False)
class GainCurve:
    """Gain y/x over |x| in steps of equal width; steps with few samples are left out, so K <= STEPS.

    Attributes:
        level: of each step, over the rms of x, (K,) rising.
        gain_db: AM/AM, |y/x| by least squares in each step [dB], (K,).
        phase_deg: AM/PM, angle of the same gain, without jumps of 360 degrees [deg], (K,).
        samples: in each step, (K,).
        spread_db, spread_deg: standard deviation of gain and phase around the curve in each step [dB], [deg], (K,).
        am_am_spread_db, am_pm_spread_deg: the same over all samples, weighted by their power.
        compression_db: gain at small signal less gain in the last step [dB]; positive where the gain falls.
        phase_shift_deg: phase in the last step less phase at small signal [deg].
        p1db_level: level of the 1 dB compression point, from which on the gain is 1 dB below that at small signal,
            over the rms of x; None where it is not reached.
    """

    level: NDArray[np.float64]
    gain_db: NDArray[np.float64]
    phase_deg: NDArray[np.float64]
    samples: NDArray[np.int64]
    spread_db: NDArray[np.float64]
    spread_deg: NDArray[np.float64]
    am_am_spread_db: float
    am_pm_spread_deg: float
    compression_db: float
    phase_shift_deg: float
    p1db_level: float | None


def gain_curve(x: Signal, y: Signal, *, steps: int = STEPS, min_samples: int = MIN_SAMPLES) -> GainCurve:
    """Compute AM/AM and AM/PM of a pair.

    A step's gain is the least-squares gain of its samples, its level their mean |x|, both weighted by |x|^2; between
    the steps the curve is linear. The spread is that of y/(g x) - 1, where g is the curve: its real part in dB (times
    20/ln 10), its imaginary part in degrees, which to first order are the deviations of gain and phase. Weighted by
    |x|^2 and without a logarithm a sample near zero, whose gain is all noise, does not count.

    Args:
        x: input, or the reference, (N,) complex128.
        y: output, (N,) complex128.
        steps: of |x| from 0 to its peak.
        min_samples: fewer in a step leave it out.

    Raises:
        ValueError: shapes differ, x has no power, y has none at some level, or no step has `min_samples`.
    """
    check_pair(x, y)
    envelope = np.abs(x)
    peak = float(envelope.max(initial=0.0))
    if peak == 0:
        raise ValueError("the gain of a signal without power is undefined")
    index = np.minimum((envelope / peak * steps).astype(np.int64), steps - 1)
    power, count = np.bincount(index, envelope**2, steps), np.bincount(index, minlength=steps)
    cross = np.conj(x) * y
    cross_of_step = np.bincount(index, cross.real, steps) + 1j * np.bincount(index, cross.imag, steps)
    used = (count >= min_samples) & (power > 0)
    if not np.any(used):
        raise ValueError(f"{len(x):,} samples are too few for a gain curve of {steps} steps")
    gain = cross_of_step[used] / power[used]
    if not np.all(np.abs(gain) > 0):
        raise ValueError("the output has no power at some level of the input, so its phase is undefined")
    level = np.bincount(index, envelope**3, steps)[used] / power[used]

    on_curve = np.interp(envelope, level, gain.real) + 1j * np.interp(envelope, level, gain.imag)
    if np.min(np.abs(on_curve)) == 0:
        raise ValueError("the output has no power at some level of the input, so its phase is undefined")
    in_db, in_deg = _deviations(x, y, on_curve)
    spread_db, spread_deg = (
        np.sqrt(np.bincount(index, part**2, steps)[used] / power[used]) for part in (in_db, in_deg)
    )
    total = float(np.sum(envelope**2))
    small = envelope < SMALL_SIGNAL * rms(x)
    at_small = complex(np.sum(cross[small]) / np.sum(envelope[small] ** 2)) if np.any(x[small]) else 0j
    against_small = complex(gain[-1] / (at_small if at_small else gain[0]))
    return GainCurve(
        level=level / rms(x),
        gain_db=20 * np.log10(np.abs(gain)),
        phase_deg=np.degrees(np.unwrap(np.angle(gain))),
        samples=count[used],
        spread_db=spread_db,
        spread_deg=spread_deg,
        am_am_spread_db=float(np.sqrt(np.sum(in_db**2) / total)),
        am_pm_spread_deg=float(np.sqrt(np.sum(in_deg**2) / total)),
        compression_db=-to_db(abs(against_small) ** 2),
        phase_shift_deg=float(np.degrees(np.angle(against_small))),
        p1db_level=_last_crossing(level / rms(x), 20 * np.log10(np.abs(gain / (at_small if at_small else gain[0])))),
    )


def _last_crossing(level: NDArray[np.float64], relative_db: NDArray[np.float64]) -> float | None:
    """Return the level from which on the gain stays 1 dB or more below small signal, by linear interpolation."""
    above = np.flatnonzero(relative_db > -1.0)
    if not len(above) or above[-1] == len(level) - 1:
        return None
    last = int(above[-1])
    return float(np.interp(-1.0, relative_db[[last + 1, last]], level[[last + 1, last]]))


def spread_intervals(
    x: Signal, y: Signal, curve: GainCurve, *, block: int = BLOCK, seed: int = 0
) -> dict[str, Interval | None]:
    """Return bootstrap intervals of `am_am_spread_db` [dB] and `am_pm_spread_deg` [deg] by name. The curve is fixed.

    Args:
        x, y: the pair that the curve was taken of, (N,) complex128.
        curve: of `gain_curve(x, y)`.
        block: longer than the memory of what made y [samples].
        seed: of the draws.
    """
    envelope, level = np.abs(x), curve.level * rms(x)
    gain = 10 ** (curve.gain_db / 20) * np.exp(1j * np.radians(curve.phase_deg))
    on_curve = np.interp(envelope, level, gain.real) + 1j * np.interp(envelope, level, gain.imag)
    in_db, in_deg = _deviations(x, y, on_curve)
    sums = block_sums(in_db**2, in_deg**2, envelope**2, block=block)
    return {
        "am_am_spread_db": interval(sums[:, [0, 2]], _spread, seed=seed),
        "am_pm_spread_deg": interval(sums[:, [1, 2]], _spread, seed=seed),
    }


def _deviations(
    x: Signal, y: Signal, on_curve: NDArray[np.complex128]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return deviations from the curve times |x|, (y / (g x) - 1) |x|, (N,), without a division by x."""
    turned = (y / on_curve - x) * np.conj(x) / np.maximum(np.abs(x), np.finfo(np.float64).tiny)
    return 20 / np.log(10) * turned.real, np.degrees(turned.imag)


def _spread(sums: Sums) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(sums[..., 0] / sums[..., 1]), np.float64)
