"""LS: the loss of the training steps."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.declare import diagnose, error, known
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.text import two_digits

LR_FACTOR = 0.3
BEFORE = 50  # steps whose losses say whether it came with a warning
LEAST_BEFORE = 20
LAST = 5
CALM_DB = 3.0  # above their median: our runs that diverged had risen by 15 dB and more


@diagnose(
    "LS201", fix="unsafe", evidence="cited", where=known("step"),
    source="IEEE 754: every sum with a nan is nan; pytorch issue 46849 on clipping an infinite norm",
    fires=dict(steps=100, loss=lambda t: math.inf if t > 0.8 else 0.1 * 10 ** (6 * t)), silent=dict(steps=100),
)  # fmt: skip
def loss_or_norm_not_finite(run: RunFacts) -> Verdict:
    """The loss or the gradient norm is nan or infinite.

    ## Why
    One such step makes every parameter nan. Clipping does not help: it multiplies by clip / inf = 0, and 0 x inf is
    nan. All other rules about loss and gradients are then skipped. If the five losses before the step are within 3 dB
    of the median of the fifty before, the step came without warning: the cause is a sample, and no learning rate is
    recommended.

    ## Known limits
    Uses only what was logged. `dpdrun train` stops before such a step changes the parameters.
    """
    columns = {name: values for name, values in (("loss", run.loss), ("gradient norm", run.grad_norm)) if values}
    if not columns:
        return Skipped("needs loss or grad_norm")
    bad = sorted({i for values in columns.values() for i, value in enumerate(values) if not math.isfinite(value)})
    if not bad:
        return None
    first = bad[0]
    patch, advice = _cure(run, first)
    return error(
        f"{' and '.join(f'{name} {values[first]:g}' for name, values in columns.items())} at step {run.step[first]} "
        f"({len(bad)} of {len(run.step)} steps are not finite)",
        value=len(bad), threshold=0, n=len(run.step), **{"lr": run.lr[first]} if run.lr else {}, step=run.step[first],
        patch=patch, advice=advice,
    )  # fmt: skip


def _cure(run: RunFacts, first: int) -> tuple[dict[str, float], str]:
    """Return patch and advice for numbers that are none from a position on."""
    before = run.loss_db[max(0, first - BEFORE) : first]
    if len(before) >= LEAST_BEFORE and max(before[-LAST:]) <= median(before) + CALM_DB:
        return {}, (
            f"the loss was calm until then, so inspect the samples of step {run.step[first]} (`dpdrun data inspect`: "
            "nan, zeros, outliers), and divisions or logarithms in the code; a lower lr does not help"
        )
    lr = run.top_lr
    if not 0.0 < lr < math.inf:
        lower, patch = "the learning rate", {}
    else:
        patch = {"optim.lr": two_digits(LR_FACTOR * lr)}
        lower = f"optim.lr from {lr:g} to {patch['optim.lr']:g}"
    return patch, (
        f"check the data first (`dpdrun data inspect`: outliers, zeros); else lower {lower}, lengthen optim.warmup, "
        "and use train.precision fp32"
    )
