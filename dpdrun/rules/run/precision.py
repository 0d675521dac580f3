"""PR2xx: what the arithmetic of a run cost it."""

from __future__ import annotations

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts

SHARE = 0.01  # of the steps
LEAST = 3  # steps


@rule(
    "PR201",
    purpose="diagnose",
    source="Micikevicius et al. 2018 (loss scaling); torch.amp.GradScaler doubles its scale after 2000 good steps",
    evidence="cited",
    fix="unsafe",
    needs=("loss_scale", "step"),
    fires=lambda: example_run(loss_scale=64.0, skipped=list(range(40, 80, 5))),
    silent=lambda: example_run(loss_scale=65536.0, skipped=[40]),
)
def steps_skipped_by_the_loss_scaler(run: RunFacts) -> Verdict:
    """The gradient keeps overflowing in float16, so that steps are left out and the loss scale is halved each time.

    ## What it does
    Counts the steps that the loss scaler skipped, without those before the first one that it took: these look for the
    scale to begin with. Warns above 1 % of all steps, from three steps on.

    ## Why
    A scaler that has found its scale tries twice as much after 2000 good steps, and skips at most one step in 2001 for
    that. One that skips more often meets gradients that jump, and a scale that is halved each time lets the small ones
    vanish.

    ## Known limits
    Says that gradients jump, not why: a high learning rate and outliers in the data do it too. The limit follows from
    the scaler's defaults; it was not measured on runs with a known fault.

    ## Example
    Fires for 8 of 400 steps. Silent for one.
    """
    first = run.step[0]
    skipped = [step for step in run.skipped if step > first]
    total = len(run.step) + len(run.skipped)
    if len(skipped) < LEAST or len(skipped) <= SHARE * total:
        return None
    return Finding(
        f"{len(skipped)} of {total} steps were skipped, because the gradient overflowed in fp16; "
        f"the loss scale ended at {run.loss_scale:g}",
        {"train.precision": "bf16"},
        "warning",
        step=skipped[0],
        evidence={"value": len(skipped) / total, "threshold": SHARE, "n": total},
        advice="set train.precision to bf16, which has the exponents of fp32, or to fp32; else lower optim.lr",
    )
