"""PR2xx: what the arithmetic of a run cost it."""

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
    """The gradient keeps overflowing in float16: more than 1 % of the steps are left out, and halve the loss scale.

    ## Why
    A scaler that has found its scale tries twice as much after 2000 good steps, and skips at most one step in 2001 for
    that. One that skips more often meets gradients that jump, and a scale that is halved each time lets the small ones
    vanish. Steps before the first one that was taken do not count: these look for the scale to begin with.

    ## Known limits
    Says that gradients jump, not why: a high learning rate and outliers in the data do it too. The limit follows from
    the scaler's defaults; it was not measured on runs with a known fault.
    """
    skipped = [each for each in run.skipped if each > step[0]]
    total = len(step) + len(run.skipped)
    if len(skipped) < LEAST or len(skipped) <= SHARE * total:
        return None
    return warning(
        f"{len(skipped)} of {total} steps were skipped, because the gradient overflowed in fp16; "
        f"the loss scale ended at {loss_scale:g}",
        value=len(skipped) / total, threshold=SHARE, n=total, step=skipped[0], patch={"train.precision": "bf16"},
        also=", which has the exponents of fp32, or to fp32; else lower optim.lr",
    )  # fmt: skip
