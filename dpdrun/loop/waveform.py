"""Write the waveform of a round within its limits, as a file for the generator and as computed."""

from __future__ import annotations

import numpy as np

from dpdrun.data.formats.waveform_writer import Labels, writing
from dpdrun.dpd.limiter import limit_magnitude
from dpdrun.loop.folder import LoopFolder
from dpdrun.loop.state import Limits, LoopState, PlayedWaveform
from dpdrun.rf.metrics import Signal, papr_db, rms, to_db

AT_LIMIT = 1.0 - 1e-9  # of the peak limit


def within_limits(u: Signal, limits: Limits) -> Signal:
    """Return u with its peaks limited, phase kept, then scaled down if its mean power is above the limit.

    Args:
        u: (N,) complex128.
        limits: of peak and mean power.
    """
    limited = limit_magnitude(u, limits.peak)
    level = rms(limited)
    return limited if level <= limits.average else np.asarray(limited * (limits.average / level), np.complex128)


def write_waveform(
    folder: LoopFolder,
    state: LoopState,
    number: int,
    u: Signal,
    *,
    based_on: int | None,
    original: Signal,
    step: float | None = None,
) -> PlayedWaveform:
    """Write the waveform of a round; return its description.

    In formats of integers the peak limit is full scale, in every round, so that a generator with a fixed level plays
    every waveform at its own level.

    Args:
        folder: of the loop.
        state: its settings.
        number: of the round.
        u: (N,) complex128.
        based_on: the round that it continues from.
        original: of round 0, (N,).
        step: share of the change that was applied.
    """
    u = within_limits(u, state.limits)
    folder.write_waveform(number, u)
    file = f"waveform-{number}{state.format}"
    labels = Labels(state.sample_rate_hz, state.bandwidth_hz, full_scale=state.limits.peak, alone=True)
    with writing(folder.path / file, labels) as writer:
        writer.append(u, u)
    peak = float(np.max(np.abs(u)))
    return PlayedWaveform(
        file=file,
        based_on=based_on,
        step=step,
        peak=peak,
        peak_db=to_db((peak / float(np.max(np.abs(original)))) ** 2),
        average_db=to_db((rms(u) / rms(original)) ** 2),
        papr_db=papr_db(u),
        limited_samples=int(np.sum(np.abs(u) >= state.limits.peak * AT_LIMIT)) if number else 0,
    )
