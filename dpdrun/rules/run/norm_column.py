"""GN: the gradient norm of a log without a plan, possibly without loss or rate; CL: its clip, if assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import diagnose, error, finding, info, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.learning import flat
from dpdrun.rules.run.rising import lower_rate
from dpdrun.rules.sources import PLAYBOOK
from dpdrun.rules.statistics import decimate, may_rise

LEAST_LINES = 8
LEAST_ZEROS = 5  # norms of reinforcement learning that are all exactly 0
SETTLED = 50  # steps after the warmup
ZERO_SHARE = 0.9
TINY = 1e-6
QUIET = 0.15
LEARNED = 0.02  # a loss below it may have no gradient left

GROWS, GROWS_FEW, GROWS_FAR = 2.5, 10.0, 100.0
FAR_OF_FEW, FEW_P = 30.0, 0.05  # so far that less certainty about the trend is enough
ENOUGH = 50
GROWS_P = 0.01
POINTS = 20
HUGE, RISES, RISES_P, RISES_FROM = 1e4, 1.2, 0.001, 12  # a norm, times, and lines
FALLS = 0.05  # of the loss

AT_CLIP = 1e-3  # relative distance to the clip that counts as equal: float32 and an eps in the division
AT_CLIP_SHARE = 0.05
CEILING = (0.2, 0.98)  # of the norms; at most 3 % in healthy public logs, and a constant column is none

FAR_ABOVE = 10.0  # clips
OFTEN = 0.5


@diagnose(
    "GN206", evidence="cited",
    where={"logged_steps": Within(LEAST_ZEROS), **known("grad_norm", "step"), **used("loss")},
    source="torch.utils.checkpoint: without an input that requires a gradient, none is computed (microsoft/LoRA 120)",
    requires=("LS201",),
    fires=dict(norm=0.0, loss=2.3, spread=0.02, loss_unit="nats"), silent={},
)  # fmt: skip
def gradient_is_zero(run: RunFacts) -> Verdict:
    """The gradient norm is exactly 0, or negligible, while the loss does not change: nothing is trained.

    ## Why
    Either no trained parameter is connected to the loss (adapters under gradient checkpointing whose input requires no
    gradient, frozen layers, a detached output), or the gradient underflows in float16. Reported if nine norms in ten
    are exactly 0, or their median is below 1e-6, and the loss is flat by the test of LS204; in reinforcement learning,
    whose loss says nothing, if all norms (five or more) are exactly 0: the rewards of every group are equal.

    ## Known limits
    Not reported: a column of zeros next to a falling loss, which was never measured; a loss near 0, which leaves no
    gradient; single groups of equal rewards (reinforcement learning).
    """
    zeros = sum(norm == 0.0 for norm in run.grad_norm) / len(run.grad_norm)
    if run.loss_unit == "objective":
        return _no_signal(run) if zeros == 1.0 else None
    if len(run.grad_norm) < LEAST_LINES:
        return Skipped(f"needs {LEAST_LINES} lines, there are {len(run.grad_norm)}")
    middle = median(run.grad_norm)
    if zeros < ZERO_SHARE and middle >= TINY:
        return None
    if not run.loss:
        return Skipped("needs loss, to distinguish a zero gradient from a norm that was never measured")
    level = median(run.loss)
    if level <= LEARNED or flat(run.loss, QUIET) is None:
        return None
    what = f"is exactly 0 in {zeros:.0%} of the lines" if zeros >= ZERO_SHARE else f"has a median of {middle:.1g}"
    return error(
        f"the gradient norm {what}, and the loss stays at {level:.4g}: nothing is trained",
        value=middle, threshold=TINY, n=len(run.grad_norm), step=run.step[0],
        advice="check that the trained parameters are connected to the loss: requires_grad, a detached output, "
        "adapters under gradient checkpointing (enable_input_require_grads); then float16 underflow (use bf16)",
    )  # fmt: skip


def _no_signal(run: RunFacts) -> Verdict:
    """Return the finding of a run of reinforcement learning without a single gradient."""
    return error(
        f"the gradient norm is exactly 0 in all {len(run.grad_norm)} lines: nothing is trained",
        value=0.0, threshold=TINY, n=len(run.grad_norm), step=run.step[0],
        advice="check that the reward differs within a group of answers: rewards that are all equal, as those of a "
        "reward function that never fires, leave no gradient",
    )  # fmt: skip


@diagnose(
    "GN207", fix="unsafe", evidence="assumed", requires=("LS201", "GN201", "GN202", "GN203", "GN206"),
    where={"logged_steps": Within(LEAST_LINES), **known("grad_norm", "step"), **used("loss", "lr")},
    source="Mann 1945, on the medians of twenty blocks; limits from public logs",
    fires=dict(norm=lambda t: 0.3 * 10 ** (2.2 * t), loss=0.1, lr_planned=[], realised=1e-3),
    silent=dict(norm=lambda t: 0.3 * 10 ** (0.3 * t), loss=0.1),
)  # fmt: skip
def gradient_norm_grows(run: RunFacts) -> Verdict:
    """The gradient norm grows by a large factor over the run; judged by the norm alone.

    ## Why
    A norm that grows without bound is the first sign of steps that are too large, also where the loss carries no
    information (reinforcement learning). Reported if the last tenth is at least 2.5 times the second tenth, and the
    medians of twenty blocks rise (Mann-Kendall, p below 0.01); at least ten times with fewer than 50 lines
    (from thirty times on, p below 0.05). For a norm
    of ten thousand or more, 1.2 times is enough if the loss does not fall (twelve lines, p below 0.001). Info while the
    loss falls, otherwise a warning, and an error from a hundred times on.

    ## Known limits
    A larger batch or longer sequences raise the norm too. GN201 and GN202 take precedence if the log has the loss and
    the learning rate.
    """
    n = len(run.grad_norm)
    tenth = max(2, n // 10)
    before = median(run.grad_norm[:tenth] if n < ENOUGH else run.grad_norm[tenth : 2 * tenth])
    after = median(run.grad_norm[-tenth:])
    if before <= 0.0:
        return Skipped("the gradient norm starts at 0")
    times = after / before
    falls = _falls(run.loss) if run.loss and run.loss_unit != "objective" else False
    huge = bool(run.loss) and not falls and before >= HUGE and n >= RISES_FROM
    if times < (RISES if huge else GROWS if n >= ENOUGH else GROWS_FEW):
        return None
    p = RISES_P if huge else GROWS_P if times < FAR_OF_FEW else FEW_P
    if not may_rise(decimate(run.grad_norm, POINTS), p):
        return None
    patch, lower = lower_rate(run, 2.0) if not falls else ({}, "")
    return finding(
        "info" if falls else "error" if times >= GROWS_FAR else "warning",
        f"the gradient norm grows by a factor of {times:.3g}, from {before:.3g} to {after:.3g}"
        + (", while the loss falls" if falls else ", and the loss does not fall" if run.loss else ""),
        value=times, threshold=GROWS, n=n, step=run.step[min(tenth, n - 1)], patch=patch,
        advice="keep the learning rate while the loss falls" if falls else f"{lower}, or lengthen the warmup",
    )  # fmt: skip


def _falls(losses: Sequence[float]) -> bool:
    third = max(2, len(losses) // 3)
    start, end = fmean(losses[:third]), fmean(losses[-third:])
    return end <= (1.0 - FALLS) * start


@diagnose(
    "GN203", where={"settled_steps": Within(SETTLED)}, requires=("LS201",), evidence="cited",
    source=f"{PLAYBOOK}: log the norm of the gradient before clipping",
    fires=dict(norm=lambda t: min(1.0, 2.0 - 2.0 * t), spread=0.0, clip_norm=1.0),
    silent=dict(norm=lambda t: 2.0 - 2.0 * t, clip_norm=1.0),
)  # fmt: skip
def norm_logged_after_clipping(grad_norm: list[float], clip_norm: list[float] | None = None) -> Verdict:
    """The logged gradient norm was measured after clipping: it never exceeds the clip, and often equals it.

    ## Why
    A norm that is limited by the clip hides whether the gradient grows. The clipping function returns the norm before
    clipping (torch.nn.utils.clip_grad_norm_). Reported if no norm is above the clip and 5 % or more are within 0.1 % of
    it. Where a log does not have the clip, a fifth or more of the norms, but not all, within 0.1 % of the largest show
    a ceiling, which is the clip (info).

    ## Known limits
    If the clip never takes effect, both norms are equal, and nothing is reported.
    """
    if clip_norm is None:
        return _ceiling(grad_norm)
    pairs = [(norm, clip) for norm, clip in zip(grad_norm, clip_norm, strict=True) if math.isfinite(clip)]
    if not pairs:
        return Skipped("clipping is off")
    above = sum(norm > clip * (1.0 + AT_CLIP) for norm, clip in pairs)
    at = sum(abs(norm - clip) <= AT_CLIP * clip for norm, clip in pairs)
    if above or at < AT_CLIP_SHARE * len(pairs):
        return None
    return warning(
        f"{at / len(pairs):.0%} of the logged norms equal the clip of {pairs[-1][1]:g} and none is above: they were "
        "measured after clipping",
        value=at / len(pairs), threshold=AT_CLIP_SHARE, n=len(pairs),
        advice="log the return value of clip_grad_norm_, the norm before clipping; otherwise no rule on norms is "
        "reliable",
    )  # fmt: skip


def _ceiling(norms: list[float]) -> Verdict:
    """Return a finding if many norms equal a ceiling."""
    top = max(norms)
    share = sum(norm >= top * (1.0 - AT_CLIP) for norm in norms) / len(norms)
    if top <= 0.0 or not CEILING[0] <= share <= CEILING[1]:
        return None
    return info(
        f"{share:.0%} of the logged norms equal the largest, {top:.4g}: a ceiling, so they were measured after "
        "clipping",
        value=share, threshold=CEILING[0], n=len(norms),
        advice="log the norm before clipping (the return value of clip_grad_norm_); no other rule on norms is reliable",
    )  # fmt: skip


@diagnose(
    "CL203", evidence="assumed", where={"logged_steps": Within(LEAST_LINES), **known("grad_norm")},
    source="transformers, TrainingArguments.max_grad_norm: 1.0 unless it is set", requires=("LS201", "GN203"),
    fires=dict(norm=20.0, assumed_clip=1.0), silent=dict(norm=0.5, assumed_clip=1.0),
)  # fmt: skip
def norms_above_the_usual_clip(grad_norm: list[float], assumed_clip: float) -> Verdict:
    """Most gradient norms are above the clip that the program uses by default: most steps are scaled down.

    ## Why
    The log does not have the clip, so the default of the program that wrote it is assumed. Clipping is meant for single
    bad batches. Adam cancels a factor that is the same at every step, so this is info; with plain SGD it acts as a
    lower learning rate.

    ## Known limits
    The run may have used another clip, or none.
    """
    above = sum(norm > assumed_clip for norm in grad_norm) / len(grad_norm)
    if above <= OFTEN:
        return None
    middle = median(grad_norm)
    far = ", far above it" if middle > FAR_ABOVE * assumed_clip else ""
    return info(
        f"{above:.0%} of the gradient norms are above the default clip of {assumed_clip:g}{far} (median {middle:.3g}); "
        "the log does not say which clip was used",
        value=above, threshold=OFTEN, n=len(grad_norm),
        advice=f"if the default was used, clip at {sorted(grad_norm)[int(0.9 * (len(grad_norm) - 1))]:.2g}, the 90th "
        "percentile of the norms, or leave it: Adam cancels a constant factor",
    )  # fmt: skip
