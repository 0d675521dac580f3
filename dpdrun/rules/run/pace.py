"""LR2xx: whether the learning rate of a run was too low or too high, from its loss and from our sweeps."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from statistics import median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, finding, info, known, moved, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.examples import cosine_lr
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.regret import band_of, regret_of
from dpdrun.rules.series import blocks, correlation, residuals
from dpdrun.rules.sources import ADAM_SETTLES, SWEEPS
from dpdrun.rules.statistics import trend
from dpdrun.rules.text import two_digits

NEARLY_DONE = 0.95
MIDDLE = (0.4, 0.8)  # shares of the summed learning rate; after them, every run gains from its decay
END = (0.75, 0.95)
STEADY = 0.75  # pace in the middle, over that from the start; our runs: 0.67 and less at good rates, from 0.8 at 1/30
STEADY_END = 0.5
FALL_DB = 0.3  # in the middle
FALL_P = 0.005
RAISE = 3.0
POINTS = 120
LEAST_POINTS = 12

START_STEPS = 3
ABOVE_START_DB = 6.0
ABOVE_BLOCK = 10
LOWER = 3.0
LOWER_FAR = 10.0
FAR_DB = 15.0

LOST_DB = 3.0  # by half of the swept jobs; people halve and quarter a rate on purpose, which lost up to 1.5 dB

ALTERNATES = -0.3  # autocorrelation of signs from one step to the next
ALTERNATES_Z = 6.0
SETTLED = 100
MOST_STEPS = 20_000  # at the end of a log; more do not make it clearer

finite = Family(requires=("LS201",))


def _over_summed_lr(run: RunFacts, part: tuple[float, float]) -> list[float]:
    """Return the loss in dB at even distances of the summed learning rate: how far the weights could have gone."""
    summed = list(accumulate(run.lr))
    low, high = part[0] * summed[-1], part[1] * summed[-1]
    first, last = bisect_left(summed, low), bisect_right(summed, high)
    piled: list[list[float]] = [[] for _ in range(POINTS)]
    for total, loss in zip(summed[first:last], run.loss_db[first:last], strict=True):
        piled[min(POINTS - 1, int(POINTS * (total - low) / (high - low)))].append(loss)
    return [median(pile) for pile in piled if pile]


@finite.diagnose(
    "LR201", fix="unsafe", evidence="assumed",
    source="AdamW moves each weight by about lr per step, so the summed lr bounds the distance of the weights",
    where={"progress": Within(NEARLY_DONE, 1.0), "logged_steps": Within(100), **known("loss", "lr")},
    requires=(
        "LS202", "LR202", "UP201", "SC201", "SC202", "DM203", "LS204", "LS205", "LS206", "LS207", "LS208", "LS209",
        "EV201", "EV204", "EV205", "EV206", "SC203",
    ),
    fires=dict(loss=lambda t: 10 ** (-0.5 * _share_of_lr(t)), peak=1e-4),
    silent=dict(loss=lambda t: 0.001 + 10 ** (-6.0 * _share_of_lr(t))),
)  # fmt: skip
def loss_falls_steadily_to_the_end(run: RunFacts) -> Verdict:
    """The loss fell at a constant rate for as long as the learning rate was above zero: the learning rate is too low.

    ## Why
    Progress slows down as training approaches its limit. If it has not slowed down, the rate was too low: three times
    the rate would have reached the same loss in a third of the steps. The loss in dB is taken as a function of the
    summed learning rate instead of the steps, so that warmup and decay do not matter. Between 40 and 80 % of the sum it
    falls at 75 % or more of its initial slope (0.3 dB or more, p below 0.005), from 75 to 95 % at half of that or more.

    ## Known limits
    A run that is too short looks the same; a higher rate helps in both cases and costs nothing. A loss with a long
    plateau before it falls also looks the same and needs the same fix. Checked near the end of a run only; does not
    apply at a third of the rate from our sweeps or above. If the loss is not known to be a power, this is info: train
    longer, or at a higher rate.
    """
    if sum(run.lr) <= 0.0:
        return Skipped("the lr is zero")
    if run.swept_lr is not None and run.top_lr >= run.swept_lr / RAISE:
        return None  # known to be good: such a run is short, or starts late
    middle, end = _over_summed_lr(run, MIDDLE), _over_summed_lr(run, END)
    if min(len(middle), len(end)) < LEAST_POINTS:
        return Skipped(f"needs {LEAST_POINTS} lines in each part of the run")
    seen = trend(middle)
    fall = -seen.change
    start = median(run.loss_db[:START_STEPS])
    pace = (start - median(middle[-LEAST_POINTS // 2 :])) / MIDDLE[1]
    if pace <= 0.0 or fall < FALL_DB or seen.p_down >= FALL_P:
        return None
    share = fall / (MIDDLE[1] - MIDDLE[0]) / pace
    if share < STEADY or -trend(end).change / (END[1] - END[0]) < STEADY_END * pace:
        return None
    lr = run.top_lr
    raised = two_digits(RAISE * lr)
    if not run.loss_in_db:
        return info(
            f"the loss did not slow down: between 40 and 80 % of the summed learning rate it fell at {share:.0%} of "
            f"its initial slope, and ended at {median(run.loss[-ABOVE_BLOCK:]):.4g}",
            value=share, threshold=STEADY, p=seen.p_down, n=seen.n,
            advice=f"a longer run, or a learning rate up to {raised:g} (now {lr:g}), would lower it further; watch the "
            "validation",
        )  # fmt: skip
    longer = run.longer(RAISE)
    instead = f", or train longer ({', '.join(f'{key} {value:g}' for key, value in longer.items())})" if longer else ""
    return warning(
        f"the loss did not slow down: between 40 and 80 % of the summed lr it fell by {fall:.1f} dB, {share:.0%} of "
        f"the initial slope; it ended at {median(run.loss_db[-ABOVE_BLOCK:]):.1f} dB",
        value=share, threshold=STEADY, p=seen.p_down, n=seen.n, fall_db=fall, patch={"optim.lr": raised},
        advice=f"{moved('optim.lr', lr, raised)}{instead}",
    )  # fmt: skip


def _share_of_lr(t: float) -> float:
    """Return the summed rate at progress t as a share of its end, for the rate of the examples."""
    rates = [cosine_lr(step, peak=1.0, warmup=20, total=400) for step in range(1, 401)]
    return sum(rates[: round(400 * t)]) / sum(rates)


@finite.diagnose(
    "LR202", fix="unsafe", source=f"the loss of the untrained network; {ADAM_SETTLES}", evidence="assumed",
    where={"logged_steps": Within(START_STEPS + ABOVE_BLOCK), **known("loss", "lr")}, requires=("SC201",),
    fires=dict(loss=lambda t: 1.0 if t < 0.03 else 50.0 * 10 ** (-5 * t)),
    silent=dict(loss=lambda t: 1.0 if t < 0.03 else 1.5 * 10 ** (-5 * t)),
)  # fmt: skip
def loss_above_its_start(run: RunFacts) -> Verdict:
    """The loss rose 6 dB or more above that of the untrained network: the learning rate is too high.

    ## Why
    The error of an untrained network is about the power of its target. A loss far above that means that long steps have
    made the weights too large; even if the run recovers, it does so from a worse state than the initial one. Medians of
    ten steps are compared with that of the first three; this is an error while the loss is still that high.

    ## Known limits
    A rate that is only slightly too high shows in the size of the updates (UP201) or in a loss that falls only with the
    rate (LS203). The advice is a lower rate; it also mentions a warmup that is shorter than Adam's settling time.
    """
    if not run.loss_in_db:
        return Skipped("the loss is not known to be a power; LS206 judges it in its own unit")
    start = median(run.loss_db[:START_STEPS])
    ten_steps = blocks(run.loss_db, ABOVE_BLOCK, start=START_STEPS)
    above = [block for block in ten_steps if block.level >= start + ABOVE_START_DB]
    if not above:
        return None
    top = max(above, key=lambda block: block.level)
    rise, lr = top.level - start, run.top_lr
    lower = two_digits(lr / (LOWER_FAR if rise >= FAR_DB else LOWER))
    began = run.step[above[0].positions.start]
    memory = round(2.0 / (1.0 - run.beta2)) if run.beta2 is not None and run.beta2 < 1.0 else None
    short = memory is not None and run.warmup_steps is not None and run.warmup_steps < memory
    return finding(
        "error" if ten_steps[-1] in above else "warning",
        f"the loss rose to {rise:.0f} dB above that of the untrained network (from {start:.1f} to {top.level:.1f} dB "
        f"near step {run.step[top.positions.start]})",
        value=rise, threshold=ABOVE_START_DB, n=len(above) * ABOVE_BLOCK, lr=max(run.lr), step=began,
        patch={"optim.lr": lower},
        advice=moved("optim.lr", lr, lower)
        + (f"; the warmup of {run.warmup_steps} steps is too short for Adam ({memory})" if short else ""),
    )  # fmt: skip


@finite.diagnose(
    "LR203", fix="unsafe", evidence="cited",
    source="Cohen et al. 2021, 'Gradient descent on neural networks typically occurs at the edge of stability'",
    where={"settled_steps": Within(SETTLED), **known("loss", "lr", "step")}, requires=("LR202", "SK203"),
    fires=dict(loss=lambda t: 0.02 if round(400 * t) % 2 else 0.01), silent=dict(loss=0.01),
)  # fmt: skip
def loss_alternates(run: RunFacts) -> Verdict:
    """The loss alternates from step to step: the steps jump across a valley.

    ## Why
    A step that is too long for the curvature lands on the opposite side of the valley, and the next one returns. Batch
    noise has no such correlation. Reported if, after the warmup and without the trend, the signs of neighbouring steps
    correlate by -0.3 or less, at 6 standard errors.

    ## Known limits
    Needs every step in the log. Two alternating batches look the same (SK203). Adam's momentum hides most of the
    effect, so the absence of this finding means little.
    """
    first = max(run.settled.start, len(run.step) - MOST_STEPS)
    steps = run.step[first:]
    if steps[-1] - steps[0] != len(steps) - 1:
        return Skipped("needs every step in the log")
    rest = residuals(run.loss_db[first:], SETTLED // 2)
    seen = correlation(rest, 1)
    if seen > ALTERNATES or -seen * math.sqrt(len(rest)) < ALTERNATES_Z:
        return None
    lr = run.top_lr
    lower = two_digits(lr / 2)
    return warning(
        f"neighbouring steps are on opposite sides of the loss trend (correlation {seen:.2f} over "
        f"{len(rest)} steps)",
        value=seen, threshold=ALTERNATES, n=len(rest), patch={"optim.lr": lower}, advice=moved("optim.lr", lr, lower),
    )  # fmt: skip


@finite.diagnose(
    "LR204", fix="unsafe", source=SWEEPS, evidence="measured", results="docs/results.md#regret",
    where={"progress": Within(NEARLY_DONE, 1.0), **known("lr")},
    requires=("LS202", "LR201", "LR202", "UP201", "UP202", "SC201", "SC202", "DM203"),
    fires=dict(peak=1e-3, swept_lr=3e-2), silent=dict(peak=1e-2, swept_lr=3e-2),
)  # fmt: skip
def rate_far_from_the_swept_one(run: RunFacts, swept_lr: float, kind: str, total_steps: int) -> Verdict:
    """The learning rate was so far from the best of our sweeps that half of the swept jobs lost 3 dB or more.

    ## Why
    A loss that has levelled off looks the same at the best rate and at a thirtieth of it. They can only be
    distinguished by knowing what such a network can reach, which the sweeps measured (LR010, LR011). Rates above all
    swept ones are treated as the highest of them.

    ## Known limits
    Does not apply to networks and run lengths that were not swept, to logs that do not state what was trained, or if
    another rule has found the cause. In long runs a low rate loses less (docs/results.md#regret).
    """
    lr, band = run.top_lr, band_of(kind, total_steps)
    if band is None or not lr > 0.0:
        return Skipped("runs of this length were not swept")
    lowest, highest = (swept_lr * 2**octaves for octaves in band.tried)
    there = regret_of(kind, min(max(lr, lowest), highest), swept_lr, total_steps)
    if there is None or there.median_db < LOST_DB:
        return None
    jobs = f"half of {there.workloads} swept jobs" if there.workloads > 1 else "the swept job"
    where = "there" if lowest <= lr <= highest else "at the nearest swept rate"
    times, side = max(lr / swept_lr, swept_lr / lr), "above" if lr > swept_lr else "below"
    return warning(
        f"optim.lr {lr:g} is {times:.0f} times {side} the best of our sweeps ({swept_lr:g}); {jobs} lost "
        f"{there.median_db:.1f} dB {where}",
        value=there.median_db, threshold=LOST_DB, n=there.workloads, lr=lr, swept_lr=swept_lr,
        patch={"optim.lr": swept_lr},
    )  # fmt: skip
