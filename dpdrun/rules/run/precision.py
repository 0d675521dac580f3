"""PR2xx: effects of the precision of a run."""

from __future__ import annotations

from dpdrun.rules.conditions import Found
from dpdrun.rules.declare import diagnose, finding, known, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts

SHARE = 0.01  # of the steps
LEAST = 3  # steps


@diagnose(
    "PR201", fix="unsafe", evidence="cited",
    source="Micikevicius et al. 2018 (loss scaling); torch.amp.GradScaler doubles its scale after 2000 good steps",
    fires=dict(loss_scale=64.0, skipped=list(range(40, 80, 5))), silent=dict(loss_scale=65536.0, skipped=[40]),
)  # fmt: skip
def steps_skipped_by_the_loss_scaler(run: RunFacts, loss_scale: float, step: list[int]) -> Verdict:
    """The gradient repeatedly overflows in float16: more than 1 % of the steps were skipped.

    ## Why
    Once a scaler has found its scale, it tries twice that scale after 2000 good steps, so it skips at most one step in
    2001. If it skips more often, the gradients vary too much, and because the scale is halved each time, small
    gradients underflow. Steps before the first successful one are excluded, because they search for the initial scale.

    ## Known limits
    Detects varying gradients, but not their cause, which can also be a high learning rate or outliers in the data. The
    limit follows from the scaler's defaults; it was not measured on runs with a known fault.
    """
    skipped = [each for each in run.skipped if each > step[0]]
    total = len(step) + len(run.skipped)
    if len(skipped) < LEAST or len(skipped) <= SHARE * total:
        return None
    return warning(
        f"{len(skipped)} of {total} steps were skipped, because the gradient overflowed in fp16; "
        f"the loss scale ended at {loss_scale:g}",
        value=len(skipped) / total, threshold=SHARE, n=total, step=skipped[0], patch={"train.precision": "bf16"},
        also=", which has the exponent range of fp32, or to fp32; otherwise lower optim.lr",
    )  # fmt: skip


@diagnose(
    "PR202", evidence="cited", where=known("grad_norm"),
    source="torch.amp.GradScaler: a step whose gradient overflows is skipped, and its norm is logged as inf or nan",
    fires=dict(skipped=[40, 200]), silent=dict(skipped=[]),
)  # fmt: skip
def norms_not_finite(run: RunFacts, step: list[int], skipped: Found[list[int]]) -> Verdict:
    """A few gradient norms are inf or nan while every loss is finite: steps that were skipped in float16.

    ## Why
    A loss scaler tries a larger scale from time to time; the gradient then overflows once, and the step is skipped.
    This is how it finds its scale, and it does no harm: info for up to 1 % of the lines. More is a warning, as in
    PR201, which knows the scale.

    ## Known limits
    Where a line stands for many steps, most skipped steps are not in the log. Norms that are not finite in half of the
    lines, or at the end, or next to a loss that is not, are reported by LS201.
    """
    if run.loss_scale is not None:
        return Skipped("PR201 judges the steps that the loss scaler skipped")
    later = [each for each in skipped if each > step[0]]
    total = len(step) + len(skipped)
    often = len(later) >= LEAST and len(later) > SHARE * total
    return finding(
        "warning" if often else "info",
        f"the gradient norm is not finite in {len(skipped)} of {total} lines, first at step {skipped[0]}, while the "
        "loss is finite: these steps were skipped in float16",
        value=len(skipped) / total, threshold=SHARE, n=total, step=skipped[0],
        advice="train in bf16, which has the exponent range of fp32, or lower the learning rate"
        if often
        else "nothing to do: this is how a loss scaler finds its scale",
    )  # fmt: skip
