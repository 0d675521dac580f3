"""SC: the learning rate of a run, compared with the planned one."""

from __future__ import annotations

from itertools import pairwise
from statistics import mean, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import diagnose, error
from dpdrun.rules.engine import Verdict
from dpdrun.rules.facts.run import RunFacts

LR_TOLERANCE = 1e-3  # relative; a schedule computed in single precision is off by 1e-7
EARLY_ZERO = 0.02  # of the planned peak: below it a schedule may be over
ZERO_SHARE = 0.05
LEAST_LINES = 5
FEW_LINES, FEW_SHARE = 20, 0.3  # lines, and share where there are fewer, or where the zeros are the first lines
MOSTLY = 0.9
FALLS_TO = 0.8  # of the first loss: the rate was not 0
TOO_FAST = range(2, 65)  # how many times a schedule may be stepped at each step: accumulation, processes
PATTERN_TOLERANCE = 0.02


@diagnose(
    "SC201", evidence="cited", where={"logged_steps": Within(2)},
    source="minosoc/OpenDPD@637ed74: a warmup stepped once per epoch froze the lr at 1/1000 of its peak",
    fires=dict(realised=1e-5), silent={},
)  # fmt: skip
def lr_differs_from_plan(run: RunFacts, lr: list[float], lr_planned: list[float]) -> Verdict:
    """The learning rate that was used differs from the planned one by more than 0.1 %.

    ## Why
    Such runs look as if the learning rate were too low or the network could not learn, and no other setting helps. The
    runs of the founding Transformer note (docs/note.md) trained for 2000 epochs at a thousandth of their learning rate.
    The message describes the pattern: stuck at zero, zero too early, changed once per epoch, stuck at a fraction of the
    peak, schedule stepped N times too fast, a constant multiple of the plan.

    ## Known limits
    Needs both rates in the log. In `dpdrun train` the rate is a pure function of the step, so this cannot happen there.
    """
    pairs = list(zip(lr, lr_planned, strict=True))
    errors = [abs(rate - plan) / max(abs(plan), abs(rate), 1e-300) if rate != plan else 0.0 for rate, plan in pairs]
    off = [i for i, each in enumerate(errors) if not each <= LR_TOLERANCE]
    if not off:
        return None
    pattern, advice = _pattern(run)
    first = off[0]
    return error(
        f"{pattern}: at step {run.step[first]} the lr is {lr[first]:.3g}, planned {lr_planned[first]:.3g} "
        f"({len(off)} of {len(pairs)} steps differ)",
        value=max(errors), threshold=LR_TOLERANCE, n=len(pairs), steps=len(off), pattern=pattern,
        step=run.step[first], advice=advice,
    )  # fmt: skip


def _pattern(run: RunFacts) -> tuple[str, str]:
    """Return what kind of difference it is, and what to do about it."""
    peak, n = max(run.lr_planned), len(run.lr)
    if sum(lr == 0.0 for lr in run.lr) >= MOSTLY * n:
        return "the lr is stuck at zero", (
            "nothing was learned: the scheduler starts at 0 and is not stepped; compute the lr from the step number"
        )
    last = max((i for i, lr in enumerate(run.lr) if lr != 0.0), default=-1)
    if last + 1 < n and run.lr_planned[last + 1] > EARLY_ZERO * peak and _follows(run, last + 1):
        return (
            f"the lr is zero from step {run.step[last + 1]} on, of {run.total_steps or run.step[-1]} planned steps",
            ("the schedule ends too early: pass it the total number of optimizer steps"),
        )
    if (stair := _stair(run)) is not None:
        return stair
    common = median(run.lr)
    stuck = sum(abs(lr - common) <= LR_TOLERANCE * common for lr in run.lr)
    if stuck >= MOSTLY * n and max(run.lr_planned) > (1 + LR_TOLERANCE) * min(run.lr_planned):
        return f"the lr is stuck at {common:.3g}, {common / peak:.2g} of the planned peak", (
            "the scheduler is stepped once per epoch instead of once per optimizer step, or never; "
            "compute the lr from the step number"
        )
    for times in TOO_FAST:
        if _stepped(run, times):
            return f"the schedule runs {times} times too fast", (
                f"it is stepped {times} times per optimizer step (once per micro-batch or per process); "
                "step it once, or compute the lr from the step number"
            )
    ratios = [lr / plan for lr, plan in zip(run.lr, run.lr_planned, strict=True) if plan > 0.0]
    if ratios and max(ratios) - min(ratios) <= PATTERN_TOLERANCE * abs(max(ratios)):
        return f"the lr is {median(ratios):.3g} times the plan", "look for a second place that scales the learning rate"
    return (
        "the lr departs from the plan",
        "compute the lr from the step number; compare lr and lr_planned",
    )


def _follows(run: RunFacts, until: int) -> bool:
    """Return whether the realised lr is the planned one at the positions before `until`."""
    pairs = zip(run.lr[:until], run.lr_planned[:until], strict=True)
    return all(abs(lr - plan) <= LR_TOLERANCE * max(plan, lr) for lr, plan in pairs)


def _stair(run: RunFacts) -> tuple[str, str] | None:
    """Return the pattern of an lr that holds for many steps and then moves to the next value of the plan, or None."""
    moves = [i for i in range(1, len(run.lr)) if run.lr[i] != run.lr[i - 1]]
    gaps = [run.step[b] - run.step[a] for a, b in pairwise(moves)]
    planned = sum(a != b for a, b in pairwise(run.lr_planned))
    if len(moves) < 2 or min(gaps) < 2 or max(gaps) - min(gaps) > 0.2 * max(gaps) + 1 or planned < 2 * len(moves):
        return None
    epoch, every = run.steps_per_epoch, round(mean(gaps))
    once = "once per epoch" if epoch is not None and abs(every - epoch) <= 1.0 else f"once in {every} steps"
    highest, peak = max(run.lr), max(run.lr_planned)
    return f"the lr changes {once} and reached {highest:.3g}, {highest / peak:.2g} of the planned peak", (
        f"the scheduler is stepped {once} instead of once per optimizer step; compute the lr from the step number"
    )


def _stepped(run: RunFacts, times: int) -> bool:
    """Return whether the realised lr at step s is the planned one at `times` x s, as far as the plan was logged."""
    planned = dict(zip(run.step, run.lr_planned, strict=True))
    scale = PATTERN_TOLERANCE * max(run.lr_planned)
    compared = [
        (lr, planned[times * step]) for step, lr in zip(run.step, run.lr, strict=True) if times * step in planned
    ]
    return len(compared) >= 5 and all(abs(lr - plan) <= scale for lr, plan in compared)


@diagnose(
    "SC202", evidence="cited", where={"logged_steps": Within(LEAST_LINES)}, requires=("SC201",),
    source="a step at lr 0 changes nothing; torch.optim.lr_scheduler.LambdaLR, whose lambda is 0 at the first step",
    fires=dict(realised=0.0, lr_planned=[], loss=0.1), silent=dict(lr_planned=[]),
)  # fmt: skip
def lr_stays_at_zero(lr: list[float], step: list[int], loss: list[float] | None = None) -> Verdict:
    """The learning rate is exactly zero for a twentieth of the logged steps or more.

    ## Why
    Nothing is learned in such a step. If a scheduler starts at zero and is stepped once per epoch, or was given too few
    steps, the network seems unable to learn. Up to four zeros at the start, or any of fewer than 20 lines,
    are reported from 30 % on: a warmup may begin with some.

    ## Known limits
    For logs without the planned rate; with it SC201 reports. LR201 and UP202 report rates that are tiny but not zero.
    Not reported if the loss falls at a rate that is 0 in every line: it was rounded to 0.
    """
    if not any(lr) and loss and loss[-1] < FALLS_TO * loss[0]:
        return None
    ends = {0, len(lr) - 1}  # programs log the lr of the next step: 0 after the last, and before the first
    zero = [i for i, rate in enumerate(lr) if rate == 0.0 and not (i in ends and lr[abs(i - 1)] > 0.0)]
    share = len(zero) / len(lr)
    begins = len(zero) < LEAST_LINES and zero == list(range(len(zero)))  # a warmup begins with a few
    if share < (FEW_SHARE if begins or len(lr) < FEW_LINES else ZERO_SHARE):
        return None
    return error(
        f"the lr is 0 in {share:.0%} of the logged steps, from step {step[zero[0]]} on",
        value=share, threshold=ZERO_SHARE, n=len(lr), step=step[zero[0]],
        advice="compute the lr from the step number, over all optimizer steps of the run, with a warmup that starts "
        "above 0",
    )  # fmt: skip
