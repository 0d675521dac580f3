"""SC: how the learning rate falls after the warmup, and whether it did."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts import PlanFacts, RunFacts
from dpdrun.rules.sources import NOTE

NETWORKS = ("transformer", "gru")
INF = math.inf

LR_TOLERANCE = 1e-3  # relative; a schedule computed in single precision is off by 1e-7
MOSTLY = 0.9
TOO_FAST = range(2, 65)  # how many times a schedule may be stepped at each step: accumulation, processes
PATTERN_TOLERANCE = 0.02


@rule(
    "SC001",
    "note",
    sets="optim.schedule",
    source=f"{NOTE}: --lr_schedule 1, in OpenDPD ReduceLROnPlateau",
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def schedule_of_the_note(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Lower the learning rate when validation stops improving, as the note's command does.

    ## What it does
    Sets `plateau`; `optim.plateau` says by how much and when.

    ## Why
    The note's command has `--lr_schedule 1`, which is PyTorch's ReduceLROnPlateau in the code it was written for.

    ## Known limits
    It reacts to noise in the validation score, and a run that improves slowly to its end never lowers the rate. Here
    progress is judged in absolute dB; PyTorch's relative threshold has the wrong sign for a negative dB value.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("the note: --lr_schedule 1 (reduce on plateau)", {"optim.schedule": "plateau"})


@rule(
    "SC010",
    "measured",
    sets="optim.schedule",
    source="Loshchilov & Hutter 2017, 'SGDR', one cycle; the setting of our runs",
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def schedule_cosine_to_zero(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Let the learning rate fall along a cosine to zero at the last step.

    ## What it does
    Sets `cosine`; `optim.lr_end` is where it ends (0 %).

    ## Why
    The last decibel comes while the rate falls, so it has to fall within the planned run, however long that is. It
    does not depend on validation noise.

    ## Known limits
    A run that is stopped early has not seen the low rates: prefer a smaller `train.epochs` to stopping.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("falls to zero within the planned run; the setting of our runs", {"optim.schedule": "cosine"})


@rule(
    "SC201",
    purpose="diagnose",
    source="minosoc/OpenDPD@637ed74: a warmup stepped once an epoch froze the lr at 1/1000 of its peak for whole runs",
    evidence="cited",
    box={"logged_steps": (2, INF)},
    needs=("lr", "lr_planned"),
    fires=lambda: example_run(realised=1e-5),
    silent=lambda: example_run(),
)
def lr_differs_from_plan(run: RunFacts) -> Verdict:
    """The learning rate that was used is not the one that was planned.

    ## What it does
    Compares the two at every step; an error when they differ by more than 0.1 %. Then names the pattern: stuck at zero,
    stuck at a fraction of the peak, schedule stepped N times too fast, a constant multiple of the plan.

    ## Why
    Such runs look like a learning rate that is too low or a network that cannot learn, and no other setting helps. The
    runs behind the founding note went through 2000 epochs at a thousandth of their learning rate.

    ## Known limits
    Needs both rates in the log. In `dpdrun train` the rate is a pure function of the step, so this stays silent there.

    ## Example
    Fires when the rate stays at 1/1000 of its peak. Silent when it follows the plan.
    """
    pairs = list(zip(run.lr, run.lr_planned, strict=True))
    errors = [abs(lr - plan) / max(abs(plan), abs(lr), 1e-300) if lr != plan else 0.0 for lr, plan in pairs]
    off = [i for i, error in enumerate(errors) if not error <= LR_TOLERANCE]
    if not off:
        return None
    pattern, advice = _pattern(run)
    first = off[0]
    return Finding(
        f"{pattern}: at step {run.step[first]} the lr is {run.lr[first]:.3g}, planned {run.lr_planned[first]:.3g} "
        f"({len(off)} of {len(pairs)} steps differ)",
        severity="error",
        step=run.step[first],
        evidence={
            "value": max(errors),
            "threshold": LR_TOLERANCE,
            "n": len(pairs),
            "steps": len(off),
            "pattern": pattern,
        },
        advice=advice,
    )


def _pattern(run: RunFacts) -> tuple[str, str]:
    """What kind of difference it is, and what to do about it."""
    peak, n = max(run.lr_planned), len(run.lr)
    if sum(lr == 0.0 for lr in run.lr) >= MOSTLY * n:
        return "the lr is stuck at zero", (
            "nothing was learned: the scheduler starts at 0 and is not stepped; compute the lr from the step number"
        )
    common = median(run.lr)
    stuck = sum(abs(lr - common) <= LR_TOLERANCE * common for lr in run.lr)
    if stuck >= MOSTLY * n and max(run.lr_planned) > (1 + LR_TOLERANCE) * min(run.lr_planned):
        return f"the lr is stuck at {common:.3g}, {common / peak:.2g} of the planned peak", (
            "the scheduler is stepped once an epoch instead of once an optimizer step, or not at all; "
            "compute the lr from the step number"
        )
    for times in TOO_FAST:
        if _stepped(run, times):
            return f"the schedule runs {times} times too fast", (
                f"it is stepped {times} times per optimizer step (once a micro-batch or once a process); "
                "step it once, or compute the lr from the step number"
            )
    ratios = [lr / plan for lr, plan in zip(run.lr, run.lr_planned, strict=True) if plan > 0.0]
    if ratios and max(ratios) - min(ratios) <= PATTERN_TOLERANCE * abs(max(ratios)):
        return f"the lr is {median(ratios):.3g} times the plan", "look for a second place that scales the learning rate"
    return (
        "the lr departs from the plan",
        "compute the lr from the step number; compare lr and lr_planned",
    )


def _stepped(run: RunFacts, times: int) -> bool:
    """Whether the realised lr at step s is the planned one at `times` x s, as far as the plan was logged."""
    planned = dict(zip(run.step, run.lr_planned, strict=True))
    scale = PATTERN_TOLERANCE * max(run.lr_planned)
    compared = [
        (lr, planned[times * step]) for step, lr in zip(run.step, run.lr, strict=True) if times * step in planned
    ]
    return len(compared) >= 5 and all(abs(lr - plan) <= scale for lr, plan in compared)
