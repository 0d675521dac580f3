"""CL: what clipping did in a run."""

from __future__ import annotations

import math

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import diagnose, info, known
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.spikes import clip_against_spikes
from dpdrun.rules.sources import PLAYBOOK
from dpdrun.rules.statistics import percentile
from dpdrun.rules.text import two_digits

LEAST_STEPS = 50  # after the warmup
SATURATED_SHARE = 0.5
INERT_SHARE = 0.001
ENOUGH_FOR_INERT = 200


@diagnose(
    "CL201", fix="unsafe", evidence="cited",
    source=f"{PLAYBOOK}, on gradient clipping: more than half of the steps clipped; clip at the 90th percentile",
    where={"settled_steps": Within(LEAST_STEPS), **known("grad_norm")},
    requires=("LS201", "LS202", "LR202", "LS205", "LS206", "GN203"),  # norms of a run that blew up are no measure
    fires=dict(norm=3.0, clip_norm=1.0), silent=dict(norm=0.5, clip_norm=1.0),
)  # fmt: skip
def clip_saturated(run: RunFacts, clipped: list[bool], clip_norm: list[float]) -> Verdict:
    """More than half of the steps after the warmup are clipped.

    ## Why
    Clipping is meant for single bad batches. With plain SGD a clip that always takes effect changes the learning rate;
    AdamW cancels it, so it is mostly harmless, and this is info rather than a warning. The remaining effect is that
    batches with large errors count less than they should. The fix is the 90th percentile of the norms.

    ## Known limits
    The playbook's advice, a lower learning rate, is for optimizers whose step grows with the gradient.
    """
    late = run.after_warmup(clipped)
    share = sum(late) / len(late)
    if share <= SATURATED_SHARE:
        return None
    clip, raised = clip_norm[-1], two_digits(percentile(run.after_warmup(run.grad_norm), 90))
    return info(
        f"{share:.0%} of the steps after the warmup were clipped at {clip:g} (limit {SATURATED_SHARE:.0%})",
        value=share, threshold=SATURATED_SHARE, n=len(late), p90_norm=raised, patch={"optim.clip_norm": raised},
        advice=f"raise optim.clip_norm from {clip:g} to {raised:g}, the 90th percentile of the norms; with AdamW this "
        "is not a higher learning rate",
    )  # fmt: skip


@diagnose(
    "CL202", fix="unsafe", source="a clip above every norm leaves all gradients unchanged", evidence="assumed",
    where={"settled_steps": Within(ENOUGH_FOR_INERT)}, requires=("LS201",),
    fires=dict(norm=0.05, clip_norm=200.0), silent=dict(norm=1.0, clip_norm=1.2),
)  # fmt: skip
def clip_inert(run: RunFacts, grad_norm: list[float], clipped: list[bool], clip_norm: list[float]) -> Verdict:
    """The clip has no effect: fewer than one step in a thousand reaches it.

    ## Why
    A clip of 200 on norms of 0.05 is no clipping at all. That may be intended, but should be a deliberate choice.

    ## Known limits
    Info only: an unused safeguard is not a fault. Does not apply if clipping is off. The clip that it names is the 99th
    percentile of the norms, or that of SK201 and SK202 where the norm spikes.
    """
    clip, reached = clip_norm[-1], sum(clipped)
    share = reached / len(clipped)
    if math.isinf(clip):
        return Skipped("clipping is off")
    if share >= INERT_SHARE:
        return None
    p99 = clip_against_spikes(run) or two_digits(percentile(run.after_warmup(grad_norm), 99))
    return info(
        f"clip_norm {clip:g} has no effect: {reached} of {len(clipped)} steps reached it, the largest norm is "
        f"{max(grad_norm):.3g}",
        value=share, threshold=INERT_SHARE, n=len(clipped), p99_norm=p99, patch={"optim.clip_norm": p99},
        advice=f"leave it, or set optim.clip_norm to {p99:g} against bad batches",
    )  # fmt: skip
