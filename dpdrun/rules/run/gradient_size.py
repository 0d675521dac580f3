"""The size of the gradient, whatever its trend.

GN2xx: as it is logged, and as it gets through the network. OP2xx: beside the eps of AdamW.
"""

from __future__ import annotations

import math
from statistics import median

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import jitter
from dpdrun.rules.sources import PLAYBOOK
from dpdrun.rules.statistics import decimate, trend

INF = math.inf

LEAST_STEPS = 50  # after the warmup

AT_CLIP = 1e-3  # relative distance to the clip that counts as equal: float32 and an eps in the division
AT_CLIP_SHARE = 0.05

FALL_DECADES = 1.0
FALL_P = 0.005
LOSS_STANDS_DB = 1.0
BEHIND = 1e-4  # of the rms gradient of the largest part
LEAST_LOOKS = 3
LEAST_PARTS = 2

# Ups and downs of the norm from step to step, over those of the loss, both in decades; our runs: 0.83 and more when
# gradients are cleared, 0.4 to 0.6 (a Transformer) when they are kept.
SMOOTH = 0.65
LEAST_NOISE_DB = 0.1  # a loss without noise shows nothing
LEAST_IN_A_ROW = 100

EPS_WARNING = 0.1  # by how much eps shortens a step: eps / (g + eps)
EPS_ERROR = 0.75
DEFAULT_EPS = 1e-8


@rule(
    "GN203",
    purpose="diagnose",
    source=f"{PLAYBOOK}: log the norm of the gradient before clipping",
    evidence="cited",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "clip_norm"),
    requires=("LS201",),
    fires=lambda: example_run(norm=lambda t: min(1.0, 2.0 - 2.0 * t), spread=0.0, clip_norm=1.0),
    silent=lambda: example_run(norm=lambda t: 2.0 - 2.0 * t, clip_norm=1.0),
)
def norm_logged_after_clipping(run: RunFacts) -> Verdict:
    """The logged gradient norm is that after clipping: it never passes the clip, and often equals it.

    ## What it does
    Counts norms above the clip, and norms within 0.1 % of it. None above and 5 % or more at it is an error of the log.

    ## Why
    A norm that is cut off at the clip hides what diagnosis is about: whether the gradient grows. The function that
    clips returns the norm before (torch.nn.utils.clip_grad_norm_).

    ## Known limits
    Where the clip never acts, both norms are the same, and nothing is seen or lost.

    ## Example
    Fires when half of the norms are exactly 1.0 at a clip of 1.0, and none is above. Silent when they pass it.
    """
    pairs = [(norm, clip) for norm, clip in zip(run.grad_norm, run.clip_norm, strict=True) if math.isfinite(clip)]
    if not pairs:
        return None
    above = sum(norm > clip * (1.0 + AT_CLIP) for norm, clip in pairs)
    at = sum(abs(norm - clip) <= AT_CLIP * clip for norm, clip in pairs)
    if above or at < AT_CLIP_SHARE * len(pairs):
        return None
    return Finding(
        f"{at / len(pairs):.0%} of the logged norms equal the clip of {pairs[-1][1]:g} and none is above: they were "
        "taken after clipping",
        severity="warning",
        evidence={"value": at / len(pairs), "threshold": AT_CLIP_SHARE, "n": len(pairs)},
        advice="log what clip_grad_norm_ returns, the norm before clipping; until then no rule on norms says the truth",
    )


@rule(
    "GN204",
    purpose="diagnose",
    source="Hochreiter 1991; Glorot & Bengio 2010, 'Understanding the difficulty of training deep networks'",
    evidence="cited",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "loss"),
    requires=("LS201", "GN203", "SC202", "DM203"),
    fires=lambda: example_run(norm=lambda t: 10 ** (-3 * t), loss=0.8, loss_is_nmse=True),
    silent=lambda: example_run(norm=lambda t: 10 ** (-3 * t), loss_is_nmse=True),
)
def gradient_vanishes(run: RunFacts) -> Verdict:
    """The gradient dies out while there is still much to learn, or hardly any of it reaches some part of the network.

    ## What it does
    Fires when the norm after the warmup falls to a tenth or less (Theil-Sen, Mann-Kendall p below 0.005) while the loss
    moves by less than 1 dB; or when the rms gradient of a part of the network is below 1/10,000 of the largest, in the
    median over the looks after the warmup.

    ## Why
    A norm that falls with the loss is a network that converges. One that falls at a loss that stands is saturation:
    gates and tanh units at their limits, or blocks without a way around them. A higher learning rate cures neither.

    ## Known limits
    The first is judged where the loss is known to be a normalised error, above -10 dB: further down a loss that
    stands may be the noise floor.

    ## Example
    Fires when the norm falls to a thousandth at a constant loss. Silent when the loss falls too.
    """
    return _behind(run) or _dies_out(run)


def _dies_out(run: RunFacts) -> Verdict:
    settled = run.settled
    loss, norm = ([column[i] for i in settled] for column in (run.loss_db, run.log_norm))
    if not run.loss_is_nmse or median(loss) < -10.0:
        return None
    seen, of_loss = trend(decimate(norm, 100)), trend(decimate(loss, 100))
    if seen.change > -FALL_DECADES or seen.p_down >= FALL_P or abs(of_loss.change) >= LOSS_STANDS_DB:
        return None
    return Finding(
        f"the gradient norm falls {10**-seen.change:.0f} times from step {run.step[settled.start]} on while the loss "
        f"stands at {median(loss):.1f} dB",
        severity="warning",
        step=run.step[settled.start],
        evidence={"value": seen.change, "threshold": -FALL_DECADES, "p": seen.p_down, "n": seen.n},
        advice="the network is saturated, and a higher lr does not help: switch the linear path on (model.skip on), "
        "look at the scale of the input, use fewer layers",
    )


def _behind(run: RunFacts) -> Verdict:
    looks = [i for i, step in enumerate(run.group_step) if step > max(1, run.warmup_steps or 0)]
    if len(looks) < LEAST_LOOKS or len(run.group_grad) < LEAST_PARTS:
        return None
    rms = {
        part: median(norms[i] / math.sqrt(run.group_size[part]) for i in looks)
        for part, norms in run.group_grad.items()
        if all(norms[i] > 0.0 for i in looks)  # a part without any gradient stands still: UP203
    }
    if len(rms) < LEAST_PARTS:
        return None
    top, low = max(rms, key=rms.__getitem__), min(rms, key=rms.__getitem__)
    share = rms[low] / rms[top]
    if share >= BEHIND:
        return None
    return Finding(
        f"the gradient of {low} is {share:.1g} of that of {top} (rms of a parameter, median of {len(looks)} looks)",
        severity="warning",
        step=run.group_step[looks[0]],
        evidence={"value": share, "threshold": BEHIND, "n": len(looks)},
        advice=f"give the signal a way around what lies between {low} and {top}: residual connections, a norm, "
        "fewer layers",
    )


@rule(
    "GN205",
    purpose="diagnose",
    source="torch.optim.Optimizer.zero_grad: gradients add up until they are cleared; limit from our own runs",
    evidence="assumed",
    box={"settled_steps": (LEAST_IN_A_ROW, INF)},
    needs=("grad_norm", "loss", "step"),
    requires=("LS201", "LS202", "LR202", "GN203", "UP201", "UP203", "SC202"),
    fires=lambda: example_run(norm=3.0, spread=0.3, norm_spread=0.03),
    silent=lambda: example_run(norm=3.0, spread=0.3),
)
def norm_is_smoother_than_the_loss(run: RunFacts) -> Verdict:
    """The gradient norm hardly changes from step to step while the loss does: old gradients are in it.

    ## What it does
    Measures the ups and downs from one step to the next (second differences, so that no drift counts) of the norm and
    of the loss after the warmup, both on a log scale. An error where those of the norm are 0.65 of those of the loss or
    less. Needs 100 steps in a row.

    ## Why
    Each step has a batch of its own, so norm and loss are uncertain by about as much. A norm that is steadier is a sum
    over many batches: nobody calls `zero_grad`, or a window of accumulation never ends. The steps then follow where
    the gradient pointed long ago, and the norm is too large to be clipped with sense.

    ## Known limits
    Needs every step in the log; a norm that was averaged over steps looks alike. Parameters that the optimizer was not
    given are never cleared either, which UP203 names.

    ## Example
    Fires when the norm moves by 3 % and the loss by 30 %. Silent when both move alike.
    """
    window = run.settled
    steps = run.step[window.start :]
    if steps[-1] - steps[0] != len(steps) - 1:
        return Skipped("needs every step in the log")
    of_loss = jitter([run.loss_db[i] for i in window])
    if of_loss < LEAST_NOISE_DB:
        return None
    ratio = jitter([10.0 * run.log_norm[i] for i in window]) / of_loss
    if ratio > SMOOTH:
        return None
    return Finding(
        f"from one step to the next the loss moves by {of_loss:.1f} dB and the gradient norm by {ratio:.2f} times that "
        f"(limit {SMOOTH:g})",
        severity="error",
        evidence={"value": ratio, "threshold": SMOOTH, "n": len(steps)},
        advice="call optimizer.zero_grad() after each optimizer step, and look at when a window of accumulation ends",
    )


@rule(
    "OP201",
    purpose="diagnose",
    source="Kingma & Ba 2015, Algorithm 1: the step is lr m / (sqrt(v) + eps); shortened by eps / (g + eps)",
    evidence="cited",
    fix="unsafe",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "eps", "parameters"),
    requires=("LS201", "GN203"),
    fires=lambda: example_run(norm=0.01, eps=1e-3, parameters=10_000),
    silent=lambda: example_run(norm=0.01, eps=1e-8, parameters=10_000),
)
def gradient_near_eps(run: RunFacts) -> Verdict:
    """The gradient of a parameter is about as small as AdamW's eps, which then shortens every step.

    ## What it does
    Divides the norm, after clipping, by the square root of the number of parameters, and takes the median over the
    second half of the steps after the warmup. A warning where eps shortens a step of such a gradient by 10 % or more,
    an error from 75 % on.

    ## Why
    Adam's step is the gradient divided by its own size plus eps. With eps on top, it is the gradient times a
    constant: small gradients make small steps, and training stops early. Losses of a power-amplifier model are tiny
    at its end, 1e-4 at -40 dB, and so are their gradients. A clip far below the norms has the same effect.

    ## Known limits
    Knows the mean size only; single parameters have smaller gradients.

    ## Example
    Fires for a norm of 0.01 over 10,000 parameters (1e-4 each) and an eps of 1e-3. Silent for an eps of 1e-8.
    """
    eps, parameters = run.eps or 0.0, run.parameters or 1
    settled = run.settled
    late = range(settled.start + len(settled) // 2, settled.stop)
    clips = run.clip_norm or [INF] * len(run.step)
    size = median(min(run.grad_norm[i], clips[i]) for i in late) / math.sqrt(parameters)
    shortened = eps / (size + eps) if eps > 0.0 else 0.0
    if shortened < EPS_WARNING:
        return None
    if size == 0.0:
        return Skipped("the gradient is zero")
    lower = min(DEFAULT_EPS, float(f"{size / 1000.0:.0e}"))
    return Finding(
        f"a parameter's gradient is about {size:.1g}, eps is {eps:g}: steps are shortened by {shortened:.0%}",
        {"optim.eps": lower},
        "error" if shortened >= EPS_ERROR else "warning",
        step=run.step[late.start],
        evidence={"value": shortened, "threshold": EPS_WARNING, "n": len(late), "gradient": size},
        advice=f"lower optim.eps from {eps:g} to {lower:g}",
    )
