"""UP: how far a step moves the weights, as a share of their own size, and which parts of the network move at all."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_parts, example_run
from dpdrun.rules.facts.run import RunFacts

INF = math.inf

# Of the size that the weights had at the start, in one step; our runs: to 0.05 at good rates, to 0.17 at twice these
# and in schedules that stay high, 0.24 to 1 at ten times, above 0.7 at thirty times.
LARGE = 0.2
FAR = 0.7
LARGE_AFTER = 50  # steps after the warmup: small weights grow into their size first
LARGE_LR = 0.5  # of the highest rate; only there is a long step a matter of the rate
LOWER, LOWER_FAR = 10.0, 30.0
LEAST_LOOKS = 3

NEARLY_DONE = 0.9
WAY = 0.2  # summed updates over size of the weights; our healthy short runs: 0.65 and more
RAISE = 10.0

STILL_LOOKS = 3
DOMINATES = 0.98  # of the squared gradient norm; our healthy runs: up to 0.83
LEAST_PARTS = 3

BEGINS_LARGE = 0.75  # rms of the weights of a part: sqrt(2 / fan-in) is 0.71 at a fan-in of 4; our runs: up to 0.5
LEAST_SIZE = 50  # parameters

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
    source="Karpathy, 'A recipe for training neural networks': update to weight about 1e-3; limit from our own runs",
    evidence="assumed",
    fix="unsafe",
    needs=("group_update", "group_weight", "group_step", "lr"),
    requires=("LS201", "LR202", "SC201"),
    fires=lambda: example_run(**example_parts(ratio=0.3)),
    silent=lambda: example_run(**example_parts(ratio=0.02)),
)
def updates_large_for_the_weights(run: RunFacts) -> Verdict:
    """Long after the start a single step still is a fifth of the size that the weights began with.

    ## What it does
    Every 25 steps the change of each part of the network is divided by the norm of its weights. Takes the median over
    parts and looks from 50 steps after the warmup on, where the rate is above half of its peak, and multiplies it by
    the growth of all weights since the first step: 0.2 or more is a warning. Where our sweeps cover the network the
    advice is their rate, else a tenth of the present one (a thirtieth from 0.7 on).

    ## Why
    AdamW moves each weight by about lr, whatever the gradient. At too high a rate the weights grow until the steps are
    small beside them, so that the ratio alone looks sound (0.9 % at a hundred times the best rate of a GRU, whose
    weights had grown 73 times); a cosine cannot undo that growth. Against the size that they were drawn with it shows.

    ## Known limits
    Needs the norms of the parts (`dpdrun train` logs them). Twice the best rate is not told from it: 0.03 to 0.17.

    ## Example
    Fires at 30 %. Silent at 2 %.
    """
    rates, top = _lr_at(run), max(run.lr)
    after = (run.warmup_steps or 0) + LARGE_AFTER
    looks = [i for i, step in enumerate(run.group_step) if step > after and rates[i] >= LARGE_LR * top]
    seen = [ratio for i in looks for ratio in _ratios(run, i)]
    if len(looks) < LEAST_LOOKS or not seen:
        return Skipped(f"fewer than {LEAST_LOOKS} looks at the parts at a high lr")
    growth = _whole(run.group_weight, looks[-1]) / max(_whole(run.group_weight, 0), 1e-30)
    ratio = median(seen) * growth
    if ratio < LARGE:
        return None
    lr = run.top_lr
    lower = float(f"{lr / (LOWER_FAR if ratio >= FAR else LOWER):.2g}")
    if run.swept_lr is not None and run.swept_lr < lr:
        lower = run.swept_lr
    return Finding(
        f"a step is {ratio:.0%} of the size that the weights began with (limit {LARGE:.0%}); they have grown "
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


@rule(
    "UP206",
    purpose="diagnose",
    source="He et al. 2015; Glorot & Bengio 2010: weights are drawn with a variance of 1 to 2 over the fan-in",
    evidence="cited",
    needs=("group_weight", "group_size"),
    fires=lambda: example_run(**(example_parts() | {"group_weight": _drawn(head=1.5)})),
    silent=lambda: example_run(**(example_parts() | {"group_weight": _drawn(head=0.3)})),
)
def weights_begin_large(run: RunFacts) -> Verdict:
    """The weights of one part of the network began far larger than any usual initialisation draws them.

    ## What it does
    Divides the norm of each part of 50 parameters or more, at the first look, by the square root of their number: an
    rms above 0.75 is a warning.

    ## Why
    Weights are drawn with an rms of about sqrt(1 / fan-in), below 1, so that a layer neither amplifies nor damps. Too
    large, queries and keys make a softmax that picks one sample before anything is learned, and units saturate; AdamW,
    which moves each weight by about lr, then needs very long to change them.

    ## Known limits
    In our runs, with queries thirty times too large, it cost nothing on one amplifier and up to 6 dB on another.
    Weights that were trained before may be large for good reasons.

    ## Example
    Fires for an rms of 1.5. Silent for 0.3.
    """
    sizes = {part: run.group_size[part] for part in run.group_weight if run.group_size.get(part, 0) >= LEAST_SIZE}
    rms = {part: run.group_weight[part][0] / math.sqrt(size) for part, size in sizes.items()}
    large = [part for part, value in rms.items() if value > BEGINS_LARGE]
    if not large:
        return None
    top = max(large, key=rms.__getitem__)
    return Finding(
        f"the weights of {', '.join(large)} began with an rms of {rms[top]:.2g} (limit {BEGINS_LARGE:g})",
        severity="warning",
        step=run.group_step[0] if run.group_step else None,
        evidence={"value": rms[top], "threshold": BEGINS_LARGE, "n": sizes[top]},
        advice=f"look at how {top} is initialised, and at what multiplies its weights",
    )


def _drawn(head: float) -> dict[str, list[float]]:
    """Weights of `example_parts`, 1000 in a part: those of the head have an rms, all others one of 0.1."""
    looks = len(example_parts()["group_step"])
    rms = {part: head if part == "head" else 0.1 for part in example_parts()["group_size"]}
    return {part: [value * math.sqrt(1000)] * looks for part, value in rms.items()}


def _largest(columns: dict[str, list[float]], at: int) -> str:
    known = {part: column[at] for part, column in columns.items() if column[at] == column[at]}
    return max(known, key=known.__getitem__, default="")
