"""UP: how far a step moves the weights, as a share of their own size, and which parts of the network move at all."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.catalogue import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_parts, example_run
from dpdrun.rules.run_facts import RunFacts

INF = math.inf

LARGE = 0.012  # of the weights, in one step; our healthy runs: 0.001 to 0.005
LARGE_AFTER = 50  # steps after the warmup: small weights grow into their size first
LARGE_LR = 0.5  # of the highest rate; only there is a long step a matter of the rate
GREW = 0.1  # update ratio times growth of the weights: then the rate is too high by more than a little
LOWER, LOWER_FAR = 3.0, 10.0
LEAST_LOOKS = 3

NEARLY_DONE = 0.9
WAY = 0.2  # summed updates over size of the weights; our healthy short runs: 0.65 and more
RAISE = 10.0

STILL_LOOKS = 3
DOMINATES = 0.98  # of the squared gradient norm; our healthy runs: up to 0.83
LEAST_PARTS = 3

DECAY_RATIO = 1.5  # our runs: 0.03 at the usual 0.01, 0.25 at 0.1 (no harm), 0.7 at 0.3 (hardly any), 2.5 at 1 (much)
DECAY_AIM = 0.1  # a ratio that does no harm


def _ratios(run: RunFacts, at: int) -> list[float]:
    """Update over weight of each part that moved, at one look."""
    parts = run.group_update
    pairs = [(parts[part][at], run.group_weight[part][at]) for part in parts]
    return [update / weight for update, weight in pairs if update > 0.0 and weight > 0.0]


def _whole(columns: dict[str, list[float]], at: int) -> float:
    return math.hypot(*(column[at] for column in columns.values() if column[at] == column[at]))


def _lr_at(run: RunFacts) -> list[float]:
    """Learning rate at each look."""
    rates = dict(zip(run.step, run.lr, strict=True))
    return [rates.get(step, math.nan) for step in run.group_step]


@rule(
    "UP201",
    purpose="diagnose",
    source="Karpathy, 'A recipe for training neural networks': update to weight about 1e-3; limits from our own runs",
    evidence="assumed",
    fix="unsafe",
    needs=("group_update", "group_weight", "group_step", "lr"),
    requires=("LS201", "LR202", "SC201"),
    fires=lambda: example_run(**example_parts(ratio=0.05)),
    silent=lambda: example_run(**example_parts(ratio=0.005)),
)
def updates_large_for_the_weights(run: RunFacts) -> Verdict:
    """A single step changes the weights by more than a hundredth of their size, long after the start.

    ## What it does
    Every 25 steps the change of each part of the network is divided by the norm of its weights. Looks at those from 50
    steps after the warmup on, where the rate is above half of its peak: a median over parts and steps of 0.012 or more
    is a warning.

    ## Why
    AdamW moves each weight by about lr, whatever the gradient. Weights that change by some percent in every step forget
    what they learned 50 steps ago. At too high a rate they also grow, until the steps are small beside them, and a
    cosine cannot undo that.

    ## Known limits
    Needs the norms of the parts (`dpdrun train` logs them). A GRU at ten times its best rate ended as well as at the
    best in one of our runs, with ratios of 0.05: a cosine to zero forgives much.

    ## Example
    Fires at 5 %. Silent at 0.5 %.
    """
    rates, top = _lr_at(run), max(run.lr)
    after = (run.warmup_steps or 0) + LARGE_AFTER
    looks = [i for i, step in enumerate(run.group_step) if step > after and rates[i] >= LARGE_LR * top]
    seen = [ratio for i in looks for ratio in _ratios(run, i)]
    if len(looks) < LEAST_LOOKS or not seen:
        return Skipped(f"fewer than {LEAST_LOOKS} looks at the parts at a high lr")
    ratio = median(seen)
    if ratio < LARGE:
        return None
    growth = _whole(run.group_weight, looks[-1]) / _whole(run.group_weight, 0)
    lr = run.top_lr
    lower = float(f"{lr / (LOWER_FAR if ratio * growth >= GREW else LOWER):.2g}")
    return Finding(
        f"a step changes the weights by {ratio:.1%} of their size (limit {LARGE:.1%}); they have grown "
        f"{growth:.1f} times",
        {"optim.lr": lower},
        "warning",
        step=run.group_step[looks[0]],
        evidence={"value": ratio, "threshold": LARGE, "n": len(looks), "growth": growth},
        advice=f"lower optim.lr from {lr:g} to {lower:g}",
    )


@rule(
    "UP202",
    purpose="diagnose",
    source="the triangle inequality: weights cannot have moved further than the sum of the updates",
    evidence="assumed",
    fix="unsafe",
    box={"progress": (NEARLY_DONE, 1.0)},
    needs=("group_update", "group_weight", "group_step", "step"),
    requires=("LS201", "SC201", "SC202", "DM203"),
    fires=lambda: example_run(**example_parts(ratio=1e-4)),
    silent=lambda: example_run(**example_parts(ratio=5e-3)),
)
def weights_hardly_moved(run: RunFacts) -> Verdict:
    """Over the whole run the weights cannot have changed by more than a fifth of their size.

    ## What it does
    Adds up update over weight, of the whole network, from a look every 25 steps. Below 0.2 at the end of the run is a
    warning.

    ## Why
    A network that starts from random weights has to leave them. With a way this short it is still the network that it
    was at the start, whatever its architecture can do.

    ## Known limits
    A network that starts from trained weights needs no long way; `dpdrun train` always starts anew. Judged near the end
    of a run only.

    ## Example
    Fires for 400 steps of 0.01 % each. Silent for steps of 0.5 %.
    """
    looks = range(1, len(run.group_step))  # the first step is that of a branch that starts at zero
    if len(looks) < LEAST_LOOKS:
        return Skipped(f"fewer than {LEAST_LOOKS} looks at the parts")
    shares = [_whole(run.group_update, i) / max(_whole(run.group_weight, i), 1e-30) for i in looks]
    way = sum(shares) / len(shares) * run.step[-1]
    if way >= WAY or way == 0.0:
        return None
    lr = run.top_lr
    raised = float(f"{RAISE * lr:.2g}")
    return Finding(
        f"all updates of the run together are {way:.1%} of the size of the weights (limit {WAY:.0%})",
        {"optim.lr": raised},
        "warning",
        evidence={"value": way, "threshold": WAY, "n": len(looks)},
        advice=f"raise optim.lr from {lr:g} to {raised:g}",
    )


@rule(
    "UP203",
    purpose="diagnose",
    source="a tensor without a gradient is no part of the training; Lu et al. 2020, 'Dying ReLU'",
    evidence="assumed",
    needs=("group_update", "group_step", "lr"),
    requires=("LS201", "SC202"),
    fires=lambda: example_run(**example_parts(still={"blocks.1.mlp_in.weight": range(1, 400, 25)})),
    silent=lambda: example_run(**example_parts(still={"blocks.1.mlp_in.weight": [1]})),
)
def parameters_stand_still(run: RunFacts) -> Verdict:
    """Some parameters never move, or never get a gradient.

    ## What it does
    Every 25 steps notes the tensors that the step left as they were or whose gradient is exactly zero. An error where a
    tensor stood still at every look but the first, with three looks or more.

    ## Why
    They are not trained: not given to the optimizer, switched off (requires_grad), cut off from the output, or behind
    units that are dead. The network is smaller than it seems.

    ## Known limits
    Tensors, not single units in them. At the first step everything behind a branch that starts at zero has no
    gradient; that is by design, and not looked at. A layer that is frozen on purpose is reported as well.

    ## Example
    Fires for a matrix that stands still in all 16 looks. Silent when it stood still in the first.
    """
    looks = [step for step, lr in zip(run.group_step[1:], _lr_at(run)[1:], strict=True) if lr > 0.0]
    if len(looks) < STILL_LOOKS:
        return Skipped(f"fewer than {STILL_LOOKS} looks at the parts")
    dead = [name for name, steps in run.still.items() if set(looks) <= set(steps)]
    if not dead:
        return None
    named = ", ".join(dead[:4]) + (f" and {len(dead) - 4} more" if len(dead) > 4 else "")
    return Finding(
        f"{named} stood still at all {len(looks)} looks",
        severity="error",
        step=looks[0],
        evidence={"value": len(dead), "threshold": 0, "n": len(looks)},
        advice="give these parameters to the optimizer, with requires_grad, and check that the output depends on them",
    )


@rule(
    "UP204",
    purpose="diagnose",
    source="the share of each part in the squared norm of the gradient; limit from our own runs",
    evidence="assumed",
    needs=("group_grad", "group_step"),
    requires=("LS201", "LR202", "UP201", "UP203"),
    fires=lambda: example_run(**example_parts(ratio=5e-3, shares=(0.995, 0.003, 0.002))),
    silent=lambda: example_run(**example_parts(ratio=5e-3, shares=(0.8, 0.1, 0.1))),
)
def one_part_has_the_whole_gradient(run: RunFacts) -> Verdict:
    """Nearly the whole gradient norm is that of one part of the network.

    ## What it does
    For each look after the warmup takes the largest share of one part in the squared norm; a median of 98 % or more,
    always of the same part, is a finding. Needs three parts and three looks.

    ## Why
    The norm that is clipped, and that every chart shows, is then the norm of that part alone: when it is clipped, all
    others are scaled down with it.

    ## Known limits
    Info only: AdamW divides each gradient by its own size, so the others learn all the same as long as nothing clips.

    ## Example
    Fires at shares of 99.5, 0.3 and 0.2 %. Silent at 80, 10 and 10 %.
    """
    after = run.warmup_steps or 0
    looks = [i for i, step in enumerate(run.group_step) if step > max(1, after)]
    if len(looks) < LEAST_LOOKS or len(run.group_grad) < LEAST_PARTS:
        return Skipped(f"needs {LEAST_LOOKS} looks at {LEAST_PARTS} parts")
    tops = [_largest(run.group_grad, i) for i in looks]
    totals = [_whole(run.group_grad, i) for i in looks]
    shares = [
        (run.group_grad[top][i] / total) ** 2
        for top, i, total in zip(tops, looks, totals, strict=True)
        if total > 0.0 and top
    ]
    if not shares or len(set(tops)) > 1 or median(shares) < DOMINATES:
        return None
    return Finding(
        f"{tops[0]} has {median(shares):.1%} of the squared gradient norm",
        step=run.group_step[looks[0]],
        evidence={"value": median(shares), "threshold": DOMINATES, "n": len(looks)},
        advice=f"judge the gradient norm of this run as that of {tops[0]}; keep optim.clip_norm above it",
    )


@rule(
    "UP205",
    purpose="diagnose",
    source="Loshchilov & Hutter 2019: a step takes lr x weight_decay of each weight off; limit from our own runs",
    evidence="assumed",
    fix="unsafe",
    needs=("group_update", "group_weight", "group_step", "lr", "weight_decay"),
    requires=("LS201", "SC201", "SC202", "LR202"),
    fires=lambda: example_run(**example_parts(ratio=5e-3), weight_decay=3.0),
    silent=lambda: example_run(**example_parts(ratio=5e-3), weight_decay=0.1),
)
def decay_outweighs_the_step(run: RunFacts) -> Verdict:
    """Weight decay takes more off the weights than a whole step moves them: training works against its own decay.

    ## What it does
    Every 25 steps compares what decay takes off, lr x weight_decay x the norm of the weights, with the norm of the
    update as it was made, decay in it. A median of 1.5 or more over the looks after the warmup, three or more, is a
    warning.

    ## Why
    Where the first is the larger, most of the gradient's part of a step only puts back what decay has taken: the
    weights are held at a size that the loss does not want. In balance (a network that decay does not hurt) the ratio
    is near sqrt(lr x weight_decay / 2), far below 1, and it does not depend on the learning rate.

    ## Known limits
    Norms, biases and positions are not decayed but count among the weights, which raises the ratio a little. A decay
    that costs a little (a ratio of 0.5 to 1) is not reported. Needs the norms of the parts (`dpdrun train` logs them).

    ## Example
    Fires at a decay of 3 with steps of 0.5 %. Silent at 0.1.
    """
    decay, rates = run.weight_decay or 0.0, _lr_at(run)
    after = max(1, run.warmup_steps or 0)
    ratios = [
        rates[i] * decay * _whole(run.group_weight, i) / update
        for i, step in enumerate(run.group_step)
        if step > after and (update := _whole(run.group_update, i)) > 0.0
    ]
    if len(ratios) < LEAST_LOOKS:
        return Skipped(f"fewer than {LEAST_LOOKS} looks at the parts after the warmup")
    ratio = median(ratios)
    if ratio < DECAY_RATIO:
        return None
    lower = float(f"{decay * DECAY_AIM / ratio:.1g}")
    return Finding(
        f"weight decay takes {ratio:.1f} times as much off the weights as a step moves them (limit {DECAY_RATIO:g})",
        {"optim.weight_decay": lower},
        "warning",
        evidence={"value": ratio, "threshold": DECAY_RATIO, "n": len(ratios)},
        advice=f"lower optim.weight_decay from {decay:g} to {lower:g}",
    )


def _largest(columns: dict[str, list[float]], at: int) -> str:
    known = {part: column[at] for part, column in columns.items() if column[at] == column[at]}
    return max(known, key=known.__getitem__, default="")
