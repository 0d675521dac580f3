"""What changes inside the splits of a capture: the drive level, gain and phase; and loops that it does not know of."""

from __future__ import annotations

from math import ceil

from dpdrun.data.capture import Capture, Part
from dpdrun.data.continuity import loop_length, output_runs_on
from dpdrun.data.signal_path import SignalPath
from dpdrun.data.splits import DEFAULT_RATIOS
from dpdrun.recipe.data_schema import SplitSection
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.patch import render
from dpdrun.rf.metrics import Signal
from dpdrun.rf.stationarity import Drift, drift, power_step

LEAST = 64  # samples
LEAST_LOOPS = 2  # of a split: one alone does not show that it is a loop


def aligned_part(part: Part, path: SignalPath) -> tuple[Signal, Signal] | None:
    """Return input and output of a split, aligned; None where that is not known or depends on when it begins."""
    found = path.static
    if found is None:
        return None
    first, end = found.overlap(len(part.x), len(part.y))
    if end - first < LEAST:
        return None
    return part.x[first:end], found.restore(part.y, first, end)


def changes_inside(capture: Capture, path: SignalPath) -> list[str]:
    """Return what changes inside each split, and where; sample numbers count from the start of the split."""
    if capture.loop_samples is not None:  # loops differ in level by themselves, and none is long enough for a drift
        return []
    found = _unknown_loops(capture)
    if found:
        return found
    for name, part in capture.parts.items():
        step = power_step(part.x)
        if step is not None:
            found.append(
                f"the level of the {name} input steps by {step.db:+.2f} dB at sample {step.sample:,}: two drive "
                "levels in one record; cut it there, or record each level as long in every split"
            )
        pair = aligned_part(part, path)
        if pair is None and name == "train" and path.found is not None:
            pair = path.x, path.y
        moves = None if pair is None or path.constant_envelope else drift(*pair)
        if moves is not None:
            found.append(_drift_message(name, moves, stepped=step is not None))
    return found


def _drift_message(name: str, moves: Drift, *, stepped: bool) -> str:
    what = [
        *([f"phase by {moves.phase_deg:.1f} deg"] if moves.phase_deg is not None else []),
        *([f"gain by {moves.gain_db:.2f} dB"] if moves.gain_db is not None else []),
    ]
    why = "it goes along with the drive level" if stepped else "a warm-up, or a loop of the generator that locks"
    return (
        f"the amplifier drifts inside the {name} split: {' and '.join(what)}, most of it from sample {moves.first:,} "
        f"to {moves.end:,} ({why}); cut that part off, or record after it"
    )


def split_between_loops(capture: Capture) -> tuple[int, SplitSection | None] | None:
    """Return the length of the loops that the splits of a record cut, and a split that does not.

    That split is near the default shares; None where the record is not a whole number of loops, or has too few. None
    also where the splits cut no loops.
    """
    if capture.loop_samples is not None:
        return None
    length = loop_length(capture.train.x)
    if length is None or output_runs_on(capture.train.x, capture.train.y, length):
        return None
    later = capture.train.future
    samples = len(capture.train) + (0 if later is None else len(later))
    count = samples // length
    held = max(LEAST_LOOPS, round(DEFAULT_RATIOS[1] * count))  # in val, and in test
    if samples % length or count - 2 * held < LEAST_LOOPS:
        return length, None
    train, val = (ceil(1e8 * part / count) / 1e8 for part in (count - 2 * held, held))  # cuts are rounded down
    return length, SplitSection(train=Percent(train), val=Percent(val), test=Percent(1 - train - val), guard=0)


def _unknown_loops(capture: Capture) -> list[str]:
    cut = split_between_loops(capture)
    if cut is None:
        return []
    length, split = cut
    advice = f"data.split: {render(split)}" if split else "data.split with guard: 0 and shares that cut between loops"
    return [
        f"the training input is a sequence of loops of {length:,} samples, but the splits do not consist of complete "
        f"loops, so the past of each loop cannot be its own end: set {advice}"
    ]
