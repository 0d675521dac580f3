"""LG: the order of the lines of a log: one run, one writer."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from operator import itemgetter
from statistics import median

from dpdrun.rules.conditions import Found
from dpdrun.rules.declare import diagnose, finding, known, warning
from dpdrun.rules.engine import Verdict
from dpdrun.rules.series import MEDIAN_OVER_MEAN, jitter
from dpdrun.rules.text import pluralize

LEAST_BACK = 3
REPEATED = 0.2  # of the lines
LINES_OF_AN_EPOCH = 3  # of each step, at the least
ALIKE = 0.02  # spread of the losses that several processes write of one step
FROM_THE_START = 2  # lines
LEAST_RUN = 8  # lines of a run that can be judged
AROUND, LEAST_AROUND, LONG = 5, 3, 30  # lines before and after a step back
CONTINUES, CONTINUES_NOISY = 0.05, 0.15  # of the loss; the latter where its noise is as large
LATER_STAGE = 0.9  # of the first line; a run that starts again begins near it
HIGHER, SURE = 1.25, 6.0  # times, and standard errors

ORDERED = [*range(1, 41)]


def _back(steps: list[int]) -> list[int]:
    return [at for at, (a, b) in enumerate(pairwise(steps), start=1) if b < a]


def _twice(steps: list[int], losses: list[float]) -> list[int]:
    pairs = enumerate(pairwise(zip(steps, losses, strict=False)), start=1)
    return [at for at, ((a, before), (b, now)) in pairs if a == b and before != now]


def _repeated(steps: list[int]) -> float:
    return 1.0 - len(set(steps)) / len(steps)


def _counts_epochs(steps: list[int], losses: list[float]) -> bool:
    """Return whether the steps are epochs, each with several lines: 1, 1, 1, 2, 2, 2, with losses that differ."""
    if any(b - a not in (0, 1) for a, b in pairwise(steps)) or len(losses) != len(steps):
        return False
    of_step = [[loss for _, loss in lines] for _, lines in groupby(zip(steps, losses, strict=True), itemgetter(0))]
    if min(map(len, of_step[:-1]), default=0) < LINES_OF_AN_EPOCH:  # the last epoch may not be over
        return False
    return median((max(each) - min(each)) / max(abs(median(each)), 1e-12) for each in of_step) > ALIKE


@diagnose(
    "LG201", evidence="assumed", where=known("step"),
    source="two processes that append to one file: steps go back at almost every line; limits from public logs",
    fires=dict(line_steps=[step + back for step in range(1, 200, 5) for back in (5, 0)]),
    silent=dict(line_steps=ORDERED),
)  # fmt: skip
def several_writers(line_steps: Found[list[int]], line_loss: list[float] | None = None) -> Verdict:
    """Two processes write to one log: steps go back repeatedly, and many appear twice.

    ## Why
    Each process of a distributed run that takes itself for rank 0 appends its lines, or two runs were started in the
    same folder. The columns then mix two losses, which looks like noise. Reported if steps go back at least three
    times, or at least three lines repeat the step of the line before with another loss, and a fifth of the lines repeat
    a step.

    ## Known limits
    A run that was resumed many times, each time from an older checkpoint, looks the same. Not reported if the steps
    count epochs: they never go back, rise by one, and have three or more lines each, whose losses spread by more than 2
    %.
    """
    back, repeated = _back(line_steps), _repeated(line_steps)
    twice = _twice(line_steps, line_loss or [])
    if max(len(back), len(twice)) < LEAST_BACK or repeated < REPEATED or _counts_epochs(line_steps, line_loss or []):
        return None
    how = f"steps go back {pluralize(len(back), 'time')}" if back else "lines of one step have different losses"
    return warning(
        f"{how}, and {repeated:.0%} of {len(line_steps)} lines repeat a step: several processes write to this log",
        value=repeated, threshold=REPEATED, n=len(line_steps), step=line_steps[(back or twice)[0]],
        advice="let only rank 0 write, and give each run its own folder; for a step that appears twice, the last line "
        "was judged",
    )  # fmt: skip


@diagnose(
    "LG202", evidence="assumed", where=known("step"), requires=("LG201",),
    source="a log that is opened for appending continues with the next run",
    fires=dict(line_steps=[*range(1, 41), *range(1, 31)]), silent=dict(line_steps=ORDERED),
)  # fmt: skip
def several_runs(line_steps: Found[list[int]], line_loss: list[float] | None = None) -> Verdict:
    """The steps of the log go back once or twice: a second run, or a run that was resumed.

    ## Why
    A chart of such a file shows two curves as one. If the steps start again from the beginning, only the last run is
    judged; if a run was resumed, the later lines of a step count. A warning if two of the runs have eight lines or more
    and the loss starts again (a second stage of a training continues the loss of the first, to within 5 %, or 15 % of a
    noisy loss, or starts at 90 % of the first line or lower), or if the loss of a resumed run is a quarter higher than
    before, by six standard deviations: what continues is not the run that stopped.

    ## Known limits
    Info for an aborted start of a few lines, and for a resumed run that continues as before: some programs always
    append. LG201 reports steps that go back at almost every line.
    """
    back = _back(line_steps)
    if not back:
        return None
    ahead = sorted(set(line_steps))[:FROM_THE_START]
    again = [at for at in back if line_steps[at] in ahead]
    several = _are_apart(line_loss or [], again, len(line_steps))
    other = None if again else _goes_on_higher(line_loss or [], back)
    what = (
        f"{pluralize(len(again) + 1, 'run')} in one log: the steps start again {pluralize(len(again), 'time')}"
        if again
        else f"the steps go back {pluralize(len(back), 'time')}: a resumed run"
    )
    at = other or (again or back)[-1]
    higher = f", and the loss continues at {_levels(line_loss or [], at)}" if other else ""
    return finding(
        "warning" if several or other else "info",
        f"{what}, to step {line_steps[at]} after step {line_steps[at - 1]}{higher}",
        value=len(back), threshold=1, n=len(line_steps), step=line_steps[at],
        advice="give each run its own file; the last run is judged" if again
        else "compare settings and data of both parts, and give each run its own file" if other
        else "the later lines count",
    )  # fmt: skip


def _are_apart(losses: list[float], again: list[int], n: int) -> bool:
    """Return whether two runs of a file are long enough to be judged, and the second does not go on from the first."""
    edges = [0, *again, n]
    long = [a for a, b in pairwise(edges) if b - a >= LEAST_RUN]
    if len(long) < 2:
        return False
    starts = [at for at in again if at in long]
    return not losses or any(not _continues(losses, at) for at in starts)


def _continues(losses: list[float], at: int) -> bool:
    """Return whether the steps start again with the loss of the lines before, or far below that of the first line."""
    if 0.0 < losses[at] <= LATER_STAGE * losses[0]:
        return True
    before = losses[max(0, at - AROUND) : at]
    spread = jitter(losses[max(0, at - LONG) : at])
    level = abs(before[-1])
    return abs(losses[at] - before[-1]) <= max(CONTINUES * level, min(SURE * spread, CONTINUES_NOISY * level))


def _levels(losses: list[float], at: int) -> str:
    """Return the loss after a position and that before it, in words."""
    before, after = _around(losses, at)
    return f"{median(after):.4g} instead of {median(before):.4g}"


def _around(losses: list[float], at: int) -> tuple[list[float], list[float]]:
    return losses[max(0, at - AROUND) : at], losses[at : at + AROUND]


def _goes_on_higher(losses: list[float], back: list[int]) -> int | None:
    """Return the first position at which a resumed run continues with a loss far above that before."""
    for at in back:
        before, after = _around(losses, at)
        if min(len(before), len(after)) < LEAST_AROUND or min(before + after) <= 0.0:
            continue
        spread = max(jitter([math.log(loss) for loss in losses[max(0, at - LONG) : at] if loss > 0.0]), 1e-6)
        rise = math.log(median(after) / median(before))
        if rise > max(math.log(HIGHER), SURE * spread * MEDIAN_OVER_MEAN * math.sqrt(1 / len(before) + 1 / len(after))):
            return at
    return None
