"""PR2xx: effects of the precision of a run."""

from __future__ import annotations

from dpdrun.rules.declare import diagnose, warning
from dpdrun.rules.engine import Verdict
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
        also=", which has the exponent range of fp32, or to fp32; else lower optim.lr",
    )  # fmt: skip
