"""SC: the learning rate of a log without a plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, finding, info, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import noise
from dpdrun.rules.text import pluralize

LEAST_LINES = 10
AGAIN = 0.1  # of the peak: a rise, and a fall, that count
SMOOTH = 0.6  # of a rise in a single line at most
SWINGS = 3
REGULAR = 0.1  # spread of the periods over their mean
NEAR_ZERO = 0.05  # of the peak
BEFORE, AFTER = 10, 5
JUMP_Z = 3.0
JUMP = 0.05  # of the level

LOWER_AGAIN = 1.1  # times the rate before the rise
LOST, LOST_Z = 1.01, 6.0  # times the lowest loss before it, and standard deviations

AT_FLOOR = 0.05  # of the peak
FLOOR_TIES = 1.01
FLOOR_SHARE = 0.75  # of the lines: the rate reached its floor in the first quarter
FELL_SINCE = 0.1  # of the loss
LONG = 30

CONSTANT = 1.01
COVERED = 0.95

alone = Family(where={"logged_steps": Within(LEAST_LINES), **known("lr", "step"), **used("loss")},
               requires=("SC201",))  # fmt: skip


@dataclass(frozen=True)
class Climb:
    """One rise of the rate after a fall: positions of its valley and its top."""

    valley: int
    top: int


def climbs(lr: Sequence[float]) -> list[Climb]:
    """Return the rises of a rate by a tenth of its peak, each after a fall by a tenth of it."""
    least = AGAIN * max(lr)
    found: list[Climb] = []
    high = low = 0
    falling = False
    for at in range(1, len(lr)):
        if falling:
            if lr[at] < lr[low]:
                low = at
            elif lr[at] >= lr[low] + least:
                found.append(Climb(low, at))
                falling, high = False, at
        else:
            if lr[at] > lr[high]:
                high = at
                if found:
                    found[-1] = Climb(found[-1].valley, at)
            elif lr[at] <= lr[high] - least:
                falling, low = True, at
    return found


@alone.diagnose(
    "SC203", evidence="cited",
    source="accelerate issues 2708, 2773: a prepared scheduler is stepped once per process; limits from public logs",
    fires=dict(realised=lambda step: 1e-3 * (1.0 - (step % 200) / 200), loss=lambda t: 2.0 if 0.5 < t < 0.6 else 1.0,
               lr_planned=[]),
    silent=dict(lr_planned=[]),
)  # fmt: skip
def lr_rises_again(run: RunFacts) -> Verdict:
    """The learning rate rises again after it had fallen: its schedule restarts, or oscillates.

    ## Why
    A decay is meant to end a run. A cosine that repeatedly swings all the way down and back up is stepped too often
    (once per process or micro-batch), or its length is in another unit: the run is back at its peak rate when it should
    end. A rate that returns to its peak in a single line means a resume that did not restore the schedule, or a second
    stage. A rise counts from a tenth of the peak on, after a fall of a tenth of the peak. Oscillation is a warning; so
    is a restart at which the loss jumps (by three standard deviations and 5 %), or after which no line, of ten or more,
    comes down to the lowest loss before it (1 %; six standard deviations at the end), at a rate that is no higher.

    ## Known limits
    Deliberate restarts (SGDR, cyclic, one cycle per phase) are info: they repeat with equal or doubling periods, or do
    not affect the loss.
    """
    lr = run.lr
    if run.lr_planned:
        return Skipped("SC201 compares the lr with its plan")
    if max(lr) <= 0.0:
        return Skipped("the lr is zero")
    rises = climbs(lr)
    if not rises:
        return None
    tops = [lr.index(max(lr[: rises[0].valley + 1])), *(each.top for each in rises)]
    periods = [run.step[b] - run.step[a] for a, b in pairwise(tops)]
    regular = len(rises) >= SWINGS and max(periods) - min(periods) <= 2.0 * REGULAR * fmean(periods)
    smooth = all(_largest_step(lr, each) <= SMOOTH * (lr[each.top] - lr[each.valley]) for each in rises)
    low = max(lr[each.valley] for each in rises) <= NEAR_ZERO * max(lr)
    first = rises[0]
    if regular and smooth and low:
        times = 2 * (len(rises) + (lr[-1] < NEAR_ZERO * max(lr)))
        return warning(
            f"the learning rate oscillates: it falls to {lr[first.valley]:.2g} and rises again to {lr[first.top]:.2g}, "
            f"{pluralize(len(rises), 'time')}, every {fmean(periods):.0f} steps",
            value=len(rises), threshold=SWINGS, n=len(lr), step=run.step[first.valley],
            advice=f"the schedule runs through its length about {times} times: step it once per optimizer step (not "
            "once per process or micro-batch), or give it the number of optimizer steps as its length",
        )  # fmt: skip
    lost = [each for each in rises if _is_lost(run, each)]
    jumps = [each for each in rises if _loss_jumps(run, each)]
    doubling = len(periods) >= 2 and all(0.8 <= b / max(a, 1) <= 2.5 for a, b in pairwise(periods))
    harmful = bool(lost) or (bool(jumps) and not (regular or doubling))
    shown = (lost or jumps)[0] if harmful else first
    effect = f", and the loss {'never comes back' if lost else 'jumps there'}" if harmful else ""
    return finding(
        "warning" if harmful else "info",
        f"the learning rate rises again from {lr[shown.valley]:.2g} to {lr[shown.top]:.2g} at step "
        f"{run.step[min(shown.valley + 1, len(lr) - 1)]}" + effect
        + (f" ({len(rises)} times in all)" if len(rises) > 1 else ""),
        value=len(rises), threshold=1, n=len(lr), step=run.step[min(shown.valley + 1, len(lr) - 1)],
        advice="if the run was resumed there, restore the schedule and the optimizer as well as the weights; "
        "intended restarts need no change",
    )  # fmt: skip


def _largest_step(lr: Sequence[float], rise: Climb) -> float:
    return max(lr[at] - lr[at - 1] for at in range(rise.valley + 1, rise.top + 1))


def _is_lost(run: RunFacts, rise: Climb) -> bool:
    """Return whether the loss ends far above that before a rise, at a rate that is no higher than then."""
    if len(run.loss) != len(run.lr) or rise.valley < 1 or run.lr[-1] > LOWER_AGAIN * run.lr[rise.valley]:
        return False
    before, after = min(run.loss[: rise.valley + 1]), run.loss[rise.valley + 1 :]
    if len(after) < BEFORE or min(after) <= LOST * before:
        return False
    return median(after[-AFTER:]) - before > LOST_Z * noise(after[-LONG:])


def _loss_jumps(run: RunFacts, rise: Climb) -> bool:
    if len(run.loss) != len(run.lr) or rise.valley < AFTER:
        return False
    before = run.loss[max(0, rise.valley - BEFORE) : rise.valley + 1]
    after = run.loss[rise.valley + 1 : rise.valley + 1 + AFTER]
    if len(after) < AFTER:
        return False
    size = median(after) - median(before)
    return size > JUMP_Z * noise(before + run.loss[max(0, rise.valley - 5 * BEFORE) : rise.valley - BEFORE]) and (
        size > JUMP * median(before)
    )


@alone.diagnose(
    "SC204", evidence="assumed", requires=("SC202", "SC203"),
    source="OpenDPD 2.4.2, ReduceLROnPlateau: its rate is negligible after seven halvings; limits from public logs",
    where=known("loss"),
    fires=dict(realised=lambda step: 5e-3 if step < 40 else 5e-5, lr_planned=[],
               loss=lambda t: 0.1 + 0.9 * 10 ** (-30 * t), spread=0.02),
    silent=dict(lr_planned=[]),
)  # fmt: skip
def lr_at_its_floor(run: RunFacts) -> Verdict:
    """The learning rate is at its floor for most of the run, and the loss hardly falls there.

    ## Why
    A schedule that lowers the rate when the score is on a plateau reaches its floor within a few epochs if its patience
    is too short for the noise of the scores. Reported if the last 75 % of the lines are at the lowest rate, at 5 % of
    the peak or less, and the loss fell by less than 10 % over them.

    ## Known limits
    A loss that has reached the noise of the data looks the same; the validation score distinguishes the two. Needs 30
    lines.
    """
    if len(run.lr) < LONG:
        return Skipped(f"needs {LONG} lines with a learning rate, there are {len(run.lr)}")
    floor, peak = run.lr[-1], max(run.lr)
    if floor <= 0.0 or floor > AT_FLOOR * peak:
        return None
    since = next(
        (i + 1 for i in reversed(range(len(run.lr))) if not floor / FLOOR_TIES <= run.lr[i] <= FLOOR_TIES * floor), 0
    )
    share = 1.0 - since / len(run.lr)
    losses = run.loss[since:]
    if share < FLOOR_SHARE or len(losses) < AFTER:
        return None
    third = max(2, len(losses) // 3)
    fell = 1.0 - fmean(losses[-third:]) / max(fmean(losses[:third]), 1e-30)
    if fell >= FELL_SINCE:
        return None
    return warning(
        f"the learning rate is at its floor of {floor:.2g}, {floor / peak:.1%} of its peak, from step "
        f"{run.step[since]} on, {share:.0%} of the run; the loss has fallen by {max(0.0, fell):.1%} since",
        value=share, threshold=FLOOR_SHARE, n=len(run.lr), step=run.step[since],
        advice="decay the rate over the length of the run (cosine), or increase the patience; if the validation "
        "score has reached the noise of the data, stop there",
    )  # fmt: skip


@alone.diagnose(
    "SC205", evidence="assumed", source="the logged learning rate of the complete run",
    where=used("total_steps", "finished"),
    fires=dict(realised=1e-3, lr_planned=[], warmup=1), silent=dict(lr_planned=[]),
)  # fmt: skip
def lr_never_decays(run: RunFacts) -> Verdict:
    """The learning rate is the same from the first line to the last of a finished run.

    ## Why
    At a constant rate the weights keep moving around the minimum; a decay to zero at the end usually lowers the loss
    further, at no cost. Whether a warmup or a decay was intended, it was not applied.

    ## Known limits
    Info only: a constant rate is a choice too. Does not apply if the log has the planned rate.
    """
    if run.lr_planned or run.schedule == "constant":
        return Skipped("the plan of the learning rate is known")
    progress = run.progress
    if progress is None:
        return Skipped("whether the run is finished is not known")
    if progress < COVERED or max(run.lr) >= CONSTANT * min(run.lr):
        return None
    return info(
        f"the learning rate is {run.lr[0]:.3g} in all {len(run.lr)} lines",
        value=max(run.lr) / max(min(run.lr), 1e-300), threshold=CONSTANT, n=len(run.lr),
        advice="a decay to zero by the end of the run usually lowers the loss further",
    )  # fmt: skip
