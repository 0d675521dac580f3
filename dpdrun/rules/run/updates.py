"""UP: the size of updates relative to the weights, and parts of the network that are not trained."""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, diagnose, error, info, known, moved, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.text import two_digits

# Of the size that the weights had at the start, in one step; our runs: to 0.05 at good rates, to 0.17 at twice these
# and in schedules that stay high, 0.24 to 1 at ten times, above 0.7 at thirty times.
LARGE = 0.2
FAR = 0.7
LARGE_AFTER = 50  # steps after the warmup: small weights grow into their size first
LARGE_LR = 0.5  # of the highest rate; only there is a long step a matter of the rate
LOWER, LOWER_FAR = 10.0, 30.0
LEAST_MEASURED = 3

NEARLY_DONE = 0.9
WAY = 0.2  # summed updates over size of the weights; our healthy short runs: 0.65 and more
RAISE = 10.0

STILL_MEASURED = 3
DOMINATES = 0.98  # of the squared gradient norm; our healthy runs: up to 0.83
LEAST_PARTS = 3

BEGINS_LARGE = 0.75  # rms of the weights of a part: sqrt(2 / fan-in) is 0.71 at a fan-in of 4; our runs: up to 0.5
LEAST_SIZE = 50  # parameters

DECAY_RATIO = 1.5  # our runs: 0.03 at the usual 0.01, 0.25 at 0.1 (no harm), 0.7 at 0.3 (hardly any), 2.5 at 1 (much)
DECAY_AIM = 0.1  # a ratio that does no harm

finite = Family(requires=("LS201",))


def _ratios(run: RunFacts, at: int) -> list[float]:
    """Return update over weight of each part that moved, at one measurement."""
    parts = run.group_update
    pairs = [(parts[part][at], run.group_weight[part][at]) for part in parts]
    return [update / weight for update, weight in pairs if update > 0.0 and weight > 0.0]


def _whole(columns: dict[str, list[float]], at: int) -> float:
    return math.hypot(*(column[at] for column in columns.values() if column[at] == column[at]))


def _lr_at(run: RunFacts) -> list[float]:
    """Return the learning rate at each measurement."""
    rates = dict(zip(run.step, run.lr, strict=True))
    return [rates.get(step, math.nan) for step in run.group_step]


@finite.diagnose(
    "UP201", fix="unsafe", evidence="assumed",
    source="Karpathy, 'A recipe for training neural networks': update to weight about 1e-3; limit from our own runs",
    where=known("group_update", "group_weight", "group_step", "lr"), requires=("LR202", "SC201"),
    fires=dict(parts=dict(ratio=0.3)), silent=dict(parts=dict(ratio=0.02)),
)  # fmt: skip
def updates_large_for_the_weights(run: RunFacts) -> Verdict:
    """Long after the start, a single step is still a fifth of the size of the initial weights.

    ## Why
    AdamW moves each weight by about lr, whatever the gradient. If the rate is too high, the weights grow until the
    steps are small compared with them, so that the update-to-weight ratio alone looks normal (0.9 % at a hundred times
    the best rate of a GRU, whose weights had grown 73 times); a cosine cannot undo that growth. The size relative to
    the initial weights shows the problem. The ratio is measured every 25 steps, from 50 steps after the warmup on,
    while the rate is above half of its peak; the rule uses its median over the parts of the network, times the growth
    of all weights since the first step. The fix is the rate from our sweeps, else a tenth of the current one (a
    thirtieth from 70 % on).

    ## Known limits
    Needs the norms per part of the network (`dpdrun train` logs them). Twice the best rate cannot be distinguished from
    the best one: 0.03 to 0.17.
    """
    rates, top = _lr_at(run), max(run.lr)
    after = (run.warmup_steps or 0) + LARGE_AFTER
    measured = [i for i, step in enumerate(run.group_step) if step > after and rates[i] >= LARGE_LR * top]
    seen = [ratio for i in measured for ratio in _ratios(run, i)]
    if len(measured) < LEAST_MEASURED or not seen:
        return Skipped(f"fewer than {LEAST_MEASURED} measurements of the parts at a high lr")
    growth = _whole(run.group_weight, measured[-1]) / max(_whole(run.group_weight, 0), 1e-30)
    ratio = median(seen) * growth
    if ratio < LARGE:
        return None
    lr = run.top_lr
    lower = two_digits(lr / (LOWER_FAR if ratio >= FAR else LOWER))
    if run.swept_lr is not None and run.swept_lr < lr:
        lower = run.swept_lr
    return warning(
        f"a step is {ratio:.0%} of the size of the initial weights (limit {LARGE:.0%}); the weights have grown "
        f"{growth:.1f} times",
        value=ratio, threshold=LARGE, n=len(measured), growth=growth, step=run.group_step[measured[0]],
        patch={"optim.lr": lower}, advice=moved("optim.lr", lr, lower),
    )  # fmt: skip


@finite.diagnose(
    "UP202", fix="unsafe", evidence="assumed",
    source="the triangle inequality: weights cannot have moved further than the sum of the updates",
    where={"progress": Within(NEARLY_DONE, 1.0), **known("group_update", "group_weight", "group_step", "step")},
    requires=("SC201", "SC202", "DM203"),
    fires=dict(parts=dict(ratio=1e-4)), silent=dict(parts=dict(ratio=5e-3)),
)  # fmt: skip
def weights_hardly_moved(run: RunFacts) -> Verdict:
    """Over the complete run the weights changed by at most a fifth of their size.

    ## Why
    A network that starts from random weights has to move away from them. If the weights hardly change, it is still
    essentially the initial network, whatever its architecture. The change is estimated by the update-to-weight ratio of
    the complete network, measured every 25 steps and summed.

    ## Known limits
    A network that starts from trained weights need not change much: a run with `train.init_from` is not checked, but
    the log of another program may not say it. Checked near the end of a run only.
    """
    if run.settings.get("train.init_from", "off") != "off":
        return Skipped("it started from the weights of another run, which need not change much")
    measured = range(1, len(run.group_step))  # the first step is that of a branch that starts at zero
    if len(measured) < LEAST_MEASURED:
        return Skipped(f"fewer than {LEAST_MEASURED} measurements of the parts")
    shares = [_whole(run.group_update, i) / max(_whole(run.group_weight, i), 1e-30) for i in measured]
    way = sum(shares) / len(shares) * run.step[-1]
    if way >= WAY or way == 0.0:
        return None
    lr = run.top_lr
    raised = two_digits(RAISE * lr)
    return warning(
        f"all updates of the run sum to {way:.1%} of the size of the weights (limit {WAY:.0%})", value=way,
        threshold=WAY, n=len(measured), patch={"optim.lr": raised}, advice=moved("optim.lr", lr, raised),
    )  # fmt: skip


@finite.diagnose(
    "UP203", evidence="assumed",
    source="a tensor without a gradient is not trained; Lu et al. 2020, 'Dying ReLU'",
    where=known("group_update", "group_step", "lr"), requires=("SC202",),
    fires=dict(parts=dict(still={"blocks.1.mlp_in.weight": range(1, 400, 25)})),
    silent=dict(parts=dict(still={"blocks.1.mlp_in.weight": [1]})),
)  # fmt: skip
def frozen_parameters(run: RunFacts) -> Verdict:
    """Some parameters never change, or never get a gradient.

    ## Why
    They are not trained: they were not passed to the optimizer, are disabled (requires_grad), do not affect the output,
    or follow dead units. The network is effectively smaller. Every 25 steps the log lists the tensors that the step did
    not change or whose gradient is exactly zero. A tensor is reported if it is in all of these lists except the first;
    at least three are needed.

    ## Known limits
    Detects tensors, not single units in them. At the first step everything in a branch that starts at zero has no
    gradient, by design. Layers that are frozen intentionally are also reported.
    """
    measured = [step for step, lr in zip(run.group_step[1:], _lr_at(run)[1:], strict=True) if lr > 0.0]
    if len(measured) < STILL_MEASURED:
        return Skipped(f"fewer than {STILL_MEASURED} measurements of the parts")
    dead = [name for name, steps in run.still.items() if set(measured) <= set(steps)]
    if not dead:
        return None
    named = ", ".join(dead[:4]) + (f" and {len(dead) - 4} more" if len(dead) > 4 else "")
    return error(
        f"{named} did not change at any of {len(measured)} measurements",
        value=len(dead), threshold=0, n=len(measured), step=measured[0],
        advice="pass these parameters to the optimizer, with requires_grad, and check that the output depends on them",
    )  # fmt: skip


@finite.diagnose(
    "UP204", evidence="assumed",
    source="the share of each part of the network in the squared gradient norm; limit from our own runs",
    where=known("group_grad", "group_step"), requires=("LR202", "UP201", "UP203"),
    fires=dict(parts=dict(ratio=5e-3, shares=(0.995, 0.003, 0.002))),
    silent=dict(parts=dict(ratio=5e-3, shares=(0.8, 0.1, 0.1))),
)  # fmt: skip
def one_part_has_the_whole_gradient(run: RunFacts) -> Verdict:
    """Nearly all of the gradient norm, 98 % of its square, comes from one part of the network.

    ## Why
    The norm that is clipped, and that every chart shows, is then the norm of that part: if it is clipped, all other
    parts are scaled down with it.

    ## Known limits
    Info only: AdamW divides each gradient by its own size, so the other parts are trained normally as long as nothing
    is clipped. Needs the norms of at least three parts, at least three times after the warmup.
    """
    after = run.warmup_steps or 0
    measured = [i for i, step in enumerate(run.group_step) if step > max(1, after)]
    if len(measured) < LEAST_MEASURED or len(run.group_grad) < LEAST_PARTS:
        return Skipped(f"needs {LEAST_MEASURED} measurements of {LEAST_PARTS} parts")
    tops = [_largest(run.group_grad, i) for i in measured]
    totals = [_whole(run.group_grad, i) for i in measured]
    shares = [
        (run.group_grad[top][i] / total) ** 2
        for top, i, total in zip(tops, measured, totals, strict=True)
        if total > 0.0 and top
    ]
    if not shares or len(set(tops)) > 1 or median(shares) < DOMINATES:
        return None
    return info(
        f"{tops[0]} has {median(shares):.1%} of the squared gradient norm", value=median(shares), threshold=DOMINATES,
        n=len(measured), step=run.group_step[measured[0]],
        advice=f"read the gradient norm of this run as that of {tops[0]}; keep optim.clip_norm above it",
    )  # fmt: skip


@finite.diagnose(
    "UP205", fix="unsafe", evidence="assumed",
    source="Loshchilov & Hutter 2019: a step shrinks each weight by lr x weight_decay; limit from our own runs",
    where=known("group_update", "group_weight", "group_step", "lr"), requires=("SC201", "SC202", "LR202"),
    fires=dict(parts=dict(ratio=5e-3), weight_decay=3.0), silent=dict(parts=dict(ratio=5e-3), weight_decay=0.1),
)  # fmt: skip
def decay_outweighs_the_step(run: RunFacts, weight_decay: float) -> Verdict:
    """Weight decay shrinks the weights by more than a step moves them, so training works against its own decay.

    ## Why
    If lr x weight_decay x the norm of the weights is larger than the actual update (1.5 times or more, in the median
    after the warmup), most of the gradient's contribution to a step only restores what the decay removed: the weights
    are held at a size that is not optimal for the loss. In equilibrium (a network that is not harmed by decay) the
    ratio is close to sqrt(lr x weight_decay / 2), far below 1, and it does not depend on the learning rate.

    ## Known limits
    Norms, biases and positions are not decayed but are included in the weights, which slightly raises the ratio. A
    decay with a small cost (a ratio of 0.5 to 1) is not reported. Needs the norms per part of the network (`dpdrun
    train` logs them).
    """
    rates = _lr_at(run)
    after = max(1, run.warmup_steps or 0)
    ratios = [
        rates[i] * weight_decay * _whole(run.group_weight, i) / update
        for i, step in enumerate(run.group_step)
        if step > after and (update := _whole(run.group_update, i)) > 0.0
    ]
    if len(ratios) < LEAST_MEASURED:
        return Skipped(f"fewer than {LEAST_MEASURED} measurements of the parts after the warmup")
    ratio = median(ratios)
    if ratio < DECAY_RATIO:
        return None
    lower = float(f"{weight_decay * DECAY_AIM / ratio:.1g}")
    return warning(
        f"weight decay shrinks the weights by {ratio:.1f} times as much as a step moves them (limit {DECAY_RATIO:g})",
        value=ratio, threshold=DECAY_RATIO, n=len(ratios), patch={"optim.weight_decay": lower},
        advice=moved("optim.weight_decay", weight_decay, lower),
    )  # fmt: skip


@diagnose(
    "UP206", evidence="cited", where=known("group_weight", "group_size"),
    source="He et al. 2015; Glorot & Bengio 2010: weights are drawn with a variance of 1 to 2 over the fan-in",
    fires=dict(parts=dict(head_rms=1.5)), silent=dict(parts=dict(head_rms=0.3)),
)  # fmt: skip
def weights_begin_large(run: RunFacts) -> Verdict:
    """The initial weights of one part of the network have an rms above 0.75, far larger than any usual initialisation.

    ## Why
    Weights are initialised with an rms of about sqrt(1 / fan-in), below 1, so that a layer neither amplifies nor
    attenuates. If they are too large, the softmax of queries and keys selects a single sample before anything is
    learned, and units saturate; AdamW, which moves each weight by about lr, then takes very long to change them.

    ## Known limits
    In our runs, with queries thirty times too large, it cost nothing on one amplifier and up to 6 dB on another.
    Pretrained weights may be large for good reasons. Parts with fewer than 50 parameters are ignored.
    """
    sizes = {part: run.group_size[part] for part in run.group_weight if run.group_size.get(part, 0) >= LEAST_SIZE}
    rms = {part: run.group_weight[part][0] / math.sqrt(size) for part, size in sizes.items()}
    large = [part for part, value in rms.items() if value > BEGINS_LARGE]
    if not large:
        return None
    top = max(large, key=rms.__getitem__)
    return warning(
        f"the initial weights of {', '.join(large)} have an rms of {rms[top]:.2g} (limit {BEGINS_LARGE:g})",
        value=rms[top], threshold=BEGINS_LARGE, n=sizes[top], step=run.group_step[0] if run.group_step else None,
        advice=f"check how {top} is initialised, and whether its weights are scaled",
    )  # fmt: skip


def _largest(columns: dict[str, list[float]], at: int) -> str:
    known = {part: column[at] for part, column in columns.items() if column[at] == column[at]}
    return max(known, key=known.__getitem__, default="")
