"""LS: the loss of the training steps."""

from __future__ import annotations

import math

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts import RunFacts

LR_FACTOR = 0.3


@rule(
    "LS201",
    purpose="diagnose",
    source="IEEE 754: every sum with a nan is nan; pytorch issue 46849 on clipping an infinite norm",
    evidence="cited",
    fix="unsafe",
    needs=("step", "loss", "grad_norm", "lr"),
    fires=lambda: example_run(steps=100, loss=lambda t: math.inf if t > 0.8 else 0.1),
    silent=lambda: example_run(steps=100),
)
def loss_or_norm_not_finite(run: RunFacts) -> Verdict:
    """The loss or the gradient norm is nan or infinite.

    ## What it does
    Finds the first step where loss or norm is not a finite number. An error, from a single step on. Every other rule
    about loss and gradients is skipped then.

    ## Why
    One such step makes every parameter nan. Clipping is no remedy: it multiplies by clip / inf = 0, and 0 x inf is nan.

    ## Known limits
    Sees what was logged. `dpdrun train` stops before such a step changes the parameters.

    ## Example
    Fires when the loss is inf from step 81 on. Silent when all are finite.
    """
    bad = [i for i in range(len(run.step)) if not (math.isfinite(run.loss[i]) and math.isfinite(run.grad_norm[i]))]
    if not bad:
        return None
    first = bad[0]
    lr = run.peak_lr or max(run.lr)
    lower = float(f"{LR_FACTOR * lr:.2g}")
    return Finding(
        f"loss {run.loss[first]:g} and gradient norm {run.grad_norm[first]:g} at step {run.step[first]} "
        f"({len(bad)} of {len(run.step)} steps are not finite)",
        {"optim.lr": lower},
        "error",
        step=run.step[first],
        evidence={"value": len(bad), "threshold": 0, "n": len(run.step), "lr": run.lr[first]},
        advice=f"look at the data first (`dpdrun data inspect`: outliers, zeros); else lower optim.lr from {lr:g} to "
        f"{lower:g}, lengthen optim.warmup, and use train.precision fp32",
    )
