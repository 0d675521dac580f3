"""WU2xx: the warmup as a run went through it."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import blocks
from dpdrun.rules.sources import ADAM_SETTLES, PLAYBOOK

INF = math.inf

LONG = 0.2  # of the run
TOO_LONG = 0.35  # beyond the 30 % of a one-cycle schedule
ADVISED = 0.05
RISES = 1.01  # how much the lr has to grow for a rise

LEAST_BLOCK = 5
FIRST_STEPS = 10
UNDONE_DB = 4.0  # one step after the other, so above the noise of a batch; with a warmup: up to 2 dB at good rates
MOST_WARMUP = 0.1  # of all steps

PEAK_DB = 6.0  # above the lowest block before it
AFTER = 2.0  # warmups, or memories of Adam, in which the peak is looked for


@rule(
    "WU201",
    purpose="diagnose",
    source=f"{PLAYBOOK}: warmup of at most 10 % of the steps",
    evidence="cited",
    fix="unsafe",
    box={"total_steps": (20, INF)},
    needs=("lr", "step"),
    requires=("SC201", "SC202"),
    fires=lambda: example_run(warmup=240),
    silent=lambda: example_run(warmup=20),
)
def warmup_fills_the_run(run: RunFacts) -> Verdict:
    """The learning rate reaches its peak late in the run.

    ## What it does
    Finds the step at which the realised rate was highest, or the last step while it still rises. More than 20 % of
    the planned steps is information, more than 35 % a warning.

    ## Why
    A warmup is there for the first estimates of Adam's second moment, some 2 / (1 - beta2) steps. Steps behind that
    at a low rate are lost. The usual reason is a warmup that is counted in epochs and stepped once an epoch.

    ## Known limits
    A one-cycle schedule (Smith 2018) rises for 30 % of the run on purpose, hence no warning there.

    ## Example
    Fires for a warmup of 240 of 400 steps. Silent for 20.
    """
    total = run.total_steps or len(run.step)
    peak = max(run.lr)
    at = next(i for i, lr in enumerate(run.lr) if lr * RISES >= peak)
    share = run.step[at] / total
    if share <= LONG or run.lr[0] * RISES >= peak:
        return None
    advised = max(1, round(ADVISED * total))
    still = "still rises" if run.lr[-1] == peak > run.lr[-2] else "peaks"
    return Finding(
        f"the lr {still} at step {run.step[at]}, {share:.0%} of the run (limit {LONG:.0%})",
        {"optim.warmup": advised},
        "warning" if share > TOO_LONG else "info",
        step=1,
        evidence={"value": share, "threshold": LONG, "n": len(run.lr), "peak": peak},
        advice=f"shorten optim.warmup from {run.warmup_steps or run.step[at]} to {advised} steps",
    )


@rule(
    "WU202",
    purpose="diagnose",
    source=ADAM_SETTLES,
    evidence="cited",
    fix="unsafe",
    box={"logged_steps": (50, INF)},
    needs=("loss", "lr", "warmup_steps", "beta2"),
    requires=("LS201", "LR202"),
    fires=lambda: example_run(
        loss=lambda t: 10 ** (-20 * t) if t < 0.05 else 1.5 * 10 ** (-3 * t), warmup=10, beta2=0.95
    ),
    silent=lambda: example_run(warmup=10, beta2=0.95),
)
def loss_peaks_after_the_warmup(run: RunFacts) -> Verdict:
    """The loss jumps up at the full learning rate, after a warmup shorter than Adam's memory or none at all.

    ## What it does
    Within twice the warmup, or twice Adam's memory of 2 / (1 - beta2) steps where that is longer, looks for medians
    of a few steps that lie 6 dB above an earlier one. Fires only where the warmup is shorter than that memory. Without
    any warmup, one of the first ten losses that lies 4 dB above that of the untrained network is enough, and a warning.

    ## Why
    The first second moments are those of a few batches; dividing by them makes steps of random size, and the network
    first unlearns what it had.

    ## Known limits
    Info where there was a warmup: most runs recover from it. One that ends above where it began is LR202; a longer
    warmup with the same peak is LR202's advice too.

    ## Example
    Fires when the loss jumps from -10 to +1 dB after a warmup of 10 steps. Silent when it falls through.
    """
    memory = round(AFTER / (1.0 - run.beta2)) if run.beta2 is not None and run.beta2 < 1.0 else 0
    warmup = run.warmup_steps or 0
    if warmup >= memory:
        return None
    undone = max(run.loss_db[:FIRST_STEPS]) - run.loss_db[0]
    if warmup <= 1 and undone >= UNDONE_DB:
        total = run.total_steps or len(run.step)
        advised = max(2, min(memory, round(MOST_WARMUP * total)))
        return Finding(
            f"the first steps, at the full lr, raised the loss by {undone:.1f} dB above that of the untrained network",
            {"optim.warmup": advised},
            "warning",
            step=run.step[0],
            evidence={"value": undone, "threshold": UNDONE_DB, "n": FIRST_STEPS},
            advice=f"set optim.warmup to {advised} steps",
        )
    early = [loss for step, loss in zip(run.step, run.loss_db, strict=True) if step <= AFTER * max(warmup, memory)]
    low, rise, began = INF, 0.0, 0
    for block in blocks(early, LEAST_BLOCK):
        if block.level - low > rise:
            rise, began = block.level - low, block.positions.start
        low = min(low, block.level)
    if rise < PEAK_DB:
        return None
    return Finding(
        f"the loss jumps up by {rise:.1f} dB near step {run.step[began]}, after a warmup of {warmup} steps (Adam's "
        f"memory: {memory})",
        {"optim.warmup": memory},
        step=run.step[began],
        evidence={"value": rise, "threshold": PEAK_DB, "n": len(early)},
        advice=f"lengthen optim.warmup from {warmup} to {memory} steps, 2 / (1 - beta2)",
    )
