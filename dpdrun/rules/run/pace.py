"""LR2xx: whether the learning rate of a run was too low or too high, by what its loss did and by our sweeps."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate
from statistics import median

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import cosine_lr, example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.regret import band_of, regret_of
from dpdrun.rules.series import blocks, correlation, residuals
from dpdrun.rules.sources import ADAM_SETTLES, SWEEPS
from dpdrun.rules.statistics import trend

INF = math.inf

NEARLY_DONE = 0.95
MIDDLE = (0.4, 0.8)  # shares of the summed learning rate; behind them a decay brings what it brings in every run
END = (0.75, 0.95)
STEADY = (
    0.75  # pace in the middle, over that from the start; our runs: 0.67 and less at good rates, 0.8 and more at 1/30
)
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


def _over_summed_lr(run: RunFacts, part: tuple[float, float]) -> list[float]:
    """The loss in dB at even distances of the summed learning rate: how far the weights could have gone."""
    summed = list(accumulate(run.lr))
    low, high = part[0] * summed[-1], part[1] * summed[-1]
    first, last = bisect_left(summed, low), bisect_right(summed, high)
    piled: list[list[float]] = [[] for _ in range(POINTS)]
    for total, loss in zip(summed[first:last], run.loss_db[first:last], strict=True):
        piled[min(POINTS - 1, int(POINTS * (total - low) / (high - low)))].append(loss)
    return [median(pile) for pile in piled if pile]


@rule(
    "LR201",
    purpose="diagnose",
    source="AdamW moves each weight by about lr a step, so the summed lr is the way that the weights can have gone",
    evidence="assumed",
    fix="unsafe",
    box={"progress": (NEARLY_DONE, 1.0), "logged_steps": (100, INF)},
    needs=("loss", "lr"),
    requires=("LS201", "LS202", "LR202", "UP201", "SC201", "SC202", "DM203"),
    fires=lambda: example_run(
        loss=lambda t: 10 ** (-0.5 * _share_of_lr(t)),
        peak=1e-4,
    ),
    silent=lambda: example_run(loss=lambda t: 0.001 + 10 ** (-6.0 * _share_of_lr(t))),
)
def loss_falls_steadily_to_the_end(run: RunFacts) -> Verdict:
    """The loss fell at an even pace for as long as the learning rate was above zero: the rate is too low.

    ## What it does
    Lays the loss in dB over the summed learning rate instead of the steps, so that warmup and decay do not matter.
    Fires when it falls as fast between 40 and 80 % of the sum as from the start to 80 % (75 % of that pace or more,
    and 0.3 dB or more with p below 0.005), and from 75 to 95 % at half that pace or more.

    ## Why
    Training slows down as it gets near what it can reach. One that has not slowed down has been going too slowly: three
    times the rate would have come as far in a third of the steps.

    ## Known limits
    Says `too low` where it could say `too short`: both are cured by a longer way, and a higher rate costs nothing. A
    loss with a long plateau before it falls looks alike, and needs the same. Judged near the end of a run only; silent
    at a third of the rate that our sweeps give for such a job, or above.

    ## Example
    Fires for a loss that falls by 5 dB, in proportion to the summed rate. Silent for one that has levelled off.
    """
    if sum(run.lr) <= 0.0:
        return None
    if run.swept_lr is not None and run.top_lr >= run.swept_lr / RAISE:
        return None  # known to be good: such a run is short, or late to begin
    middle, end = _over_summed_lr(run, MIDDLE), _over_summed_lr(run, END)
    if min(len(middle), len(end)) < LEAST_POINTS:
        return None
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
    raised = float(f"{RAISE * lr:.2g}")
    longer = run.longer(RAISE)
    instead = f", or train longer ({', '.join(f'{key} {value:g}' for key, value in longer.items())})" if longer else ""
    return Finding(
        f"the loss did not slow down: between 40 and 80 % of the summed lr it fell by {fall:.1f} dB, {share:.0%} of "
        f"the pace from the start; it ended at {median(run.loss_db[-ABOVE_BLOCK:]):.1f} dB",
        {"optim.lr": raised},
        "warning",
        evidence={"value": share, "threshold": STEADY, "p": seen.p_down, "n": seen.n, "fall_db": fall},
        advice=f"raise optim.lr from {lr:g} to {raised:g}{instead}",
    )


def _share_of_lr(t: float) -> float:
    """The summed rate at progress t as a share of its end, for the rate of the examples."""
    rates = [cosine_lr(step, peak=1.0, warmup=20, total=400) for step in range(1, 401)]
    return sum(rates[: round(400 * t)]) / sum(rates)


@rule(
    "LR202",
    purpose="diagnose",
    source=f"the loss of the untrained network; {ADAM_SETTLES}",
    evidence="assumed",
    fix="unsafe",
    box={"logged_steps": (START_STEPS + ABOVE_BLOCK, INF)},
    needs=("loss", "lr"),
    requires=("LS201", "SC201"),
    fires=lambda: example_run(loss=lambda t: 1.0 if t < 0.03 else 50.0 * 10 ** (-5 * t)),
    silent=lambda: example_run(loss=lambda t: 1.0 if t < 0.03 else 1.5 * 10 ** (-5 * t)),
)
def loss_above_its_start(run: RunFacts) -> Verdict:
    """Training made the network much worse than it was untrained: the learning rate is too high.

    ## What it does
    Compares medians of ten steps with the median of the first three losses. 6 dB above it, anywhere in the run, is a
    warning; an error while it lasts.

    ## Why
    An untrained network is wrong by about the power of its target. A loss far beyond it comes from weights that long
    steps have blown up; what such a run reaches later it reaches from a worse place than where it began.

    ## Known limits
    A rate that is too high by less shows in the size of the updates (UP201) or in a loss that falls only as the rate
    does (LS203). The advice is a lower rate; a warmup that is shorter than Adam's memory is named beside it.

    ## Example
    Fires when the loss jumps to 17 dB above its start after 3 % of the run. Silent at 2 dB.
    """
    start = median(run.loss_db[:START_STEPS])
    found = blocks(run.loss_db, ABOVE_BLOCK, start=START_STEPS)
    above = [block for block in found if block.level >= start + ABOVE_START_DB]
    if not above:
        return None
    top = max(above, key=lambda block: block.level)
    rise, lr = top.level - start, run.top_lr
    lower = float(f"{lr / (LOWER_FAR if rise >= FAR_DB else LOWER):.2g}")
    began = run.step[above[0].positions.start]
    memory = round(2.0 / (1.0 - run.beta2)) if run.beta2 is not None and run.beta2 < 1.0 else None
    short = memory is not None and run.warmup_steps is not None and run.warmup_steps < memory
    return Finding(
        f"the loss rose to {rise:.0f} dB above that of the untrained network (from {start:.1f} to {top.level:.1f} dB "
        f"near step {run.step[top.positions.start]})",
        {"optim.lr": lower},
        "error" if found[-1] in above else "warning",
        step=began,
        evidence={"value": rise, "threshold": ABOVE_START_DB, "n": len(above) * ABOVE_BLOCK, "lr": max(run.lr)},
        advice=f"lower optim.lr from {lr:g} to {lower:g}"
        + (f"; the warmup of {run.warmup_steps} steps is shorter than Adam's memory ({memory})" if short else ""),
    )


@rule(
    "LR203",
    purpose="diagnose",
    source="Cohen et al. 2021, 'Gradient descent on neural networks typically occurs at the edge of stability'",
    evidence="cited",
    fix="unsafe",
    box={"settled_steps": (SETTLED, INF)},
    needs=("loss", "lr", "step"),
    requires=("LS201", "LR202", "SK203"),
    fires=lambda: example_run(loss=lambda t: 0.02 if round(400 * t) % 2 else 0.01),
    silent=lambda: example_run(loss=0.01),
)
def loss_alternates(run: RunFacts) -> Verdict:
    """The loss goes up and down from each step to the next: the steps jump across a valley.

    ## What it does
    Takes out the drift of the loss (in dB) after the warmup and correlates the signs of neighbouring steps: -0.3 or
    less, by 6 standard errors.

    ## Why
    A step that is too long for the curvature lands on the other wall, and the next one comes back. The noise of batches
    has no such memory.

    ## Known limits
    Needs every step in the log. Two batches that take turns look alike (SK203). Adam's momentum hides most of it, so
    silence says little.

    ## Example
    Fires when the loss alternates between 0.01 and 0.02. Silent for noise.
    """
    first = max(run.settled.start, len(run.step) - MOST_STEPS)
    steps = run.step[first:]
    if steps[-1] - steps[0] != len(steps) - 1:
        return None
    rest = residuals(run.loss_db[first:], SETTLED // 2)
    seen = correlation(rest, 1)
    if seen > ALTERNATES or -seen * math.sqrt(len(rest)) < ALTERNATES_Z:
        return None
    lr = run.top_lr
    lower = float(f"{lr / 2:.2g}")
    return Finding(
        f"neighbouring steps fall on opposite sides of the trend of the loss (correlation {seen:.2f} over "
        f"{len(rest)} steps)",
        {"optim.lr": lower},
        "warning",
        evidence={"value": seen, "threshold": ALTERNATES, "n": len(rest)},
        advice=f"lower optim.lr from {lr:g} to {lower:g}",
    )


@rule(
    "LR204",
    purpose="diagnose",
    source=SWEEPS,
    evidence="measured",
    results="docs/results.md#regret",
    fix="unsafe",
    box={"progress": (NEARLY_DONE, 1.0)},
    needs=("lr", "swept_lr", "kind", "total_steps"),
    requires=("LS201", "LS202", "LR201", "LR202", "UP201", "UP202", "SC201", "SC202", "DM203"),
    fires=lambda: example_run(peak=1e-3, swept_lr=3e-2),
    silent=lambda: example_run(peak=1e-2, swept_lr=3e-2),
)
def rate_far_from_the_swept_one(run: RunFacts) -> Verdict:
    """The learning rate was so far from the best of our sweeps that half of the swept jobs lost 3 dB or more there.

    ## What it does
    Compares the peak with the rate that our sweeps give for such a network, batch and length (LR010, LR011), and reads
    off what the swept jobs of the nearest length lost at that distance. A warning where half of them lost 3 dB or more,
    or where the rate is above all that were tried and the highest of those lost as much.

    ## Why
    A loss that has levelled off looks alike at the best rate and at a thirtieth of it. Only knowing what such a network
    can reach tells them apart, and that is what the sweeps are for.

    ## Known limits
    Silent for networks and run lengths that were not swept, for logs that do not say what was trained, and where
    another rule has named the cause. In long runs a low rate loses less (docs/results.md#regret).

    ## Example
    Fires for 1e-3 where the sweeps found 3e-2, in 400 steps. Silent at 1e-2.
    """
    lr, best, steps = run.top_lr, run.swept_lr or 0.0, run.total_steps
    band = band_of(run.kind, steps)
    if band is None or not lr > 0.0:
        return Skipped("runs of this length were not swept")
    lowest, highest = (best * 2**octaves for octaves in band.tried)
    found = regret_of(run.kind, min(max(lr, lowest), highest), best, steps)
    if found is None or found.median_db < LOST_DB:
        return None
    jobs = f"half of {found.workloads} swept jobs" if found.workloads > 1 else "the swept job"
    where = "there" if lowest <= lr <= highest else "at the nearest rate that was tried"
    return Finding(
        f"optim.lr {lr:g} is {max(lr / best, best / lr):.0f} times {'above' if lr > best else 'below'} the best of our "
        f"sweeps ({best:g}); {jobs} lost {found.median_db:.1f} dB {where}",
        {"optim.lr": best},
        "warning",
        evidence={"value": found.median_db, "threshold": LOST_DB, "n": found.workloads, "lr": lr, "swept_lr": best},
        advice=f"set optim.lr to {best:g}",
    )
