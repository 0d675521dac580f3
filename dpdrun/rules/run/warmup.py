"""WU2xx: the warmup of a run."""

from __future__ import annotations

import math

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import diagnose, finding, info, known, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import blocks
from dpdrun.rules.sources import ADAM_SETTLES, PLAYBOOK

LONG = 0.2  # of the run
TOO_LONG = 0.35  # beyond the 30 % of a one-cycle schedule
USUAL_BETA2 = 0.999  # Adam's default, where a log does not say
ADVISED = 0.05
RISES = 1.01  # how much the lr has to grow for a rise

LEAST_BLOCK = 5
FIRST_STEPS = 10
UNDONE_DB = 4.0  # one step after the other, so above the noise of a batch; with a warmup: up to 2 dB at good rates
MOST_WARMUP = 0.1  # of all steps

PEAK_DB = 6.0  # above the lowest block before it
AFTER = 2.0  # warmups, or memories of Adam, in which the peak is looked for


@diagnose(
    "WU201", fix="unsafe", source=f"{PLAYBOOK}: warmup of at most 10 % of the steps", evidence="cited",
    where={"total_steps": Within(20)}, requires=("SC201", "SC202"),
    fires=dict(warmup=240), silent=dict(warmup=20),
)  # fmt: skip
def warmup_fills_the_run(run: RunFacts, lr: list[float], step: list[int]) -> Verdict:
    """The learning rate reaches its peak late in the run, after 20 % of the planned steps or more.

    ## Why
    A warmup bridges the time until Adam's estimate of the second moment settles, about 2 / (1 - beta2) steps. Later
    steps at a low rate are wasted. The usual cause is a warmup that is counted in epochs and stepped once per epoch.

    ## Known limits
    A one-cycle schedule (Smith 2018) intentionally rises for 30 % of the run, so this is a warning only from 35 % on.
    A warmup of a short run may take most of it and still be shorter than Adam's settling time (of beta2 0.999 if the
    log does not say): that is an info.
    """
    total = run.total_steps or len(step)
    peak = max(lr)
    at = next(i for i, rate in enumerate(lr) if rate * RISES >= peak)
    share = step[at] / total
    if share <= LONG or lr[0] * RISES >= peak:
        return None
    advised = max(1, round(ADVISED * total))
    settled = step[at] > 2 / (1 - (USUAL_BETA2 if run.beta2 is None else min(run.beta2, USUAL_BETA2)))
    still = "is still rising" if lr[-1] == peak > lr[-2] else "peaks"
    return finding(
        "warning" if share > TOO_LONG and settled else "info",
        f"the lr {still} at step {step[at]}, {share:.0%} of the run (limit {LONG:.0%})", value=share, threshold=LONG,
        n=len(lr), peak=peak, step=1, patch={"optim.warmup": advised},
        advice=f"shorten optim.warmup from {run.warmup_steps or step[at]} to {advised} steps",
    )  # fmt: skip


@diagnose(
    "WU202", fix="unsafe", source=ADAM_SETTLES, evidence="cited", requires=("LS201", "LR202"),
    where={"logged_steps": Within(50), **known("loss", "lr")},
    fires=dict(loss=lambda t: 10 ** (-20 * t) if t < 0.05 else 1.5 * 10 ** (-3 * t), warmup=10, beta2=0.95),
    silent=dict(warmup=10, beta2=0.95),
)  # fmt: skip
def loss_peaks_after_the_warmup(run: RunFacts, warmup_steps: int, beta2: float) -> Verdict:
    """The loss jumps at the full learning rate, after a warmup that is missing or shorter than Adam's settling time.

    ## Why
    The first estimates of the second moment come from a few batches; dividing by them gives steps of random size, so
    the network gets worse at first. Reported if the median loss of a few steps, within twice the warmup or twice Adam's
    settling time of 2 / (1 - beta2) steps, is 6 dB above an earlier one. Without a warmup, it is enough that one of the
    first ten losses is 4 dB above that of the untrained network, and this is a warning.

    ## Known limits
    Info if there was a warmup, because most runs recover. LR202 reports runs that end with a higher loss than at the
    start; its advice includes a longer warmup with the same peak.
    """
    if not run.loss_in_db:
        return Skipped("the loss is not known to be a power")
    memory = round(AFTER / (1.0 - beta2)) if beta2 < 1.0 else 0
    if warmup_steps >= memory:
        return None
    undone = max(run.loss_db[:FIRST_STEPS]) - run.loss_db[0]
    if warmup_steps <= 1 and undone >= UNDONE_DB:
        total = run.total_steps or len(run.step)
        advised = max(2, min(memory, round(MOST_WARMUP * total)))
        return warning(
            f"the first steps, at the full lr, raised the loss by {undone:.1f} dB above that of the untrained network",
            value=undone, threshold=UNDONE_DB, n=FIRST_STEPS, step=run.step[0], patch={"optim.warmup": advised},
            advice=f"set optim.warmup to {advised} steps",
        )  # fmt: skip
    early = [
        loss for step, loss in zip(run.step, run.loss_db, strict=True) if step <= AFTER * max(warmup_steps, memory)
    ]
    low, rise, began = math.inf, 0.0, 0
    for block in blocks(early, LEAST_BLOCK):
        if block.level - low > rise:
            rise, began = block.level - low, block.positions.start
        low = min(low, block.level)
    if rise < PEAK_DB:
        return None
    return info(
        f"the loss jumps by {rise:.1f} dB near step {run.step[began]}, after a warmup of {warmup_steps} steps "
        f"(Adam settles after {memory})",
        value=rise, threshold=PEAK_DB, n=len(early), step=run.step[began], patch={"optim.warmup": memory},
        advice=f"lengthen optim.warmup from {warmup_steps} to {memory} steps, 2 / (1 - beta2)",
    )  # fmt: skip
