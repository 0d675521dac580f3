"""CL: what clipping did in a run."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.sources import PLAYBOOK

INF = math.inf

LEAST_STEPS = 50  # after the warmup
SATURATED_SHARE = 0.5
INERT_SHARE = 0.001
ENOUGH_FOR_INERT = 200


@rule(
    "CL201",
    purpose="diagnose",
    source=f"{PLAYBOOK}, on gradient clipping: more than half of the steps clipped; clip at the 90th percentile",
    evidence="cited",
    fix="unsafe",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "clipped", "clip_norm"),
    requires=("LS201", "LS202", "LR202"),  # norms of a run that blew up are no measure
    fires=lambda: example_run(norm=3.0, clip_norm=1.0),
    silent=lambda: example_run(norm=0.5, clip_norm=1.0),
)
def clip_saturated(run: RunFacts) -> Verdict:
    """More than half of the steps after the warmup are clipped.

    ## What it does
    Counts, and advises the 90th percentile of the norms that were seen.

    ## Why
    Clipping is meant for single bad batches. With plain SGD a clip that always acts is a hidden learning rate; AdamW
    divides it out again, so here it is mostly harmless, and info rather than a warning: what remains is that batches
    with large errors count less than they should.

    ## Known limits
    The playbook's answer, a lower learning rate, is for optimizers whose step grows with the gradient.

    ## Example
    Fires when the norm is 3 and the clip 1. Silent when the norm is 0.5.
    """
    clipped = run.after_warmup(run.clipped)
    share = sum(clipped) / len(clipped)
    if share <= SATURATED_SHARE:
        return None
    clip, raised = run.clip_norm[-1], percentile(run.after_warmup(run.grad_norm), 0.9)
    return Finding(
        f"{share:.0%} of the steps after the warmup were clipped at {clip:g} (limit {SATURATED_SHARE:.0%})",
        {"optim.clip_norm": raised},
        evidence={"value": share, "threshold": SATURATED_SHARE, "n": len(clipped), "p90_norm": raised},
        advice=f"raise optim.clip_norm from {clip:g} to {raised:g}, the 90th percentile of the norms; with AdamW this "
        "is not a higher learning rate",
    )


@rule(
    "CL202",
    purpose="diagnose",
    source="a clip above every norm leaves every gradient as it is",
    evidence="assumed",
    fix="unsafe",
    box={"settled_steps": (ENOUGH_FOR_INERT, INF)},
    needs=("grad_norm", "clipped", "clip_norm"),
    requires=("LS201",),
    fires=lambda: example_run(norm=0.05, clip_norm=200.0),
    silent=lambda: example_run(norm=1.0, clip_norm=1.2),
)
def clip_inert(run: RunFacts) -> Verdict:
    """The clip never acts: fewer than one step in a thousand reaches it.

    ## What it does
    Counts all steps; with clipping switched off it is silent.

    ## Why
    200 on norms of 0.05 is no clipping at all, whatever the recipe says. That may be just right; it should be known.

    ## Known limits
    Info only: an unused insurance is no fault.

    ## Example
    Fires at norms of 0.05 and a clip of 200. Silent when some norms pass the clip.
    """
    clip = run.clip_norm[-1]
    share = sum(run.clipped) / len(run.clipped)
    if math.isinf(clip) or share >= INERT_SHARE:
        return None
    highest, p99 = max(run.grad_norm), percentile(run.after_warmup(run.grad_norm), 0.99)
    return Finding(
        f"clip_norm {clip:g} has no effect: {sum(run.clipped)} of {len(run.clipped)} steps reached it, "
        f"the largest norm is {highest:.3g}",
        {"optim.clip_norm": p99},
        evidence={"value": share, "threshold": INERT_SHARE, "n": len(run.clipped), "p99_norm": p99},
        advice=f"leave it, or set optim.clip_norm to {p99:g}, the 99th percentile of the norms, against bad batches",
    )


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the list lies, to two digits."""
    return float(f"{sorted(values)[min(len(values) - 1, int(share * len(values)))]:.2g}")
