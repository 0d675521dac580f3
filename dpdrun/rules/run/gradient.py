"""GN: the gradient norm before clipping: trend, logging, flow through the network; OP: compared with eps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, error, finding, info, known, moved, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import jitter
from dpdrun.rules.sources import NOTE_FURTHER
from dpdrun.rules.statistics import decimate, fit_line, may_rise, trend
from dpdrun.rules.text import two_digits

LEAST_STEPS = 50  # after the warmup
LEAST_HALF = 200  # in their last half; at a high rate the norm of healthy runs wanders by a doubling within 100 steps
RISE_DECADES = 0.3  # a doubling
RISE_P = 0.005  # 0.01 over the two windows that are tested (Bonferroni)
FALL_DECADES = 0.05  # of the loss: 0.5 dB over the window
FALL_P = 0.01
# Of losses that are not known to be a power: a cross-entropy that is fine-tuned falls by a few percent, and norms of
# healthy public logs grow up to 1.8 times.
RISE_DECADES_UNKNOWN = 0.4
FALL_UNKNOWN = 0.01

# Defazio 2025 (arXiv 2506.02285): under decoupled weight decay a normalised layer settles at |g| ~ sqrt(2 wd / lr).
EXPLAINED_SLOPE = (-0.8, -0.3)
EXPLAINED_R2 = 0.6
LR_SHARE = 0.1  # of the peak; below it the norm no longer follows the lr within the steps that are left
LR_FALL_DECADES = 0.3


VANISH_DECADES = 1.0
VANISH_P = 0.005
LOSS_STANDS_DB = 1.0
STARVED = 1e-4  # of the rms gradient of the largest part
LEAST_MEASURED = 3
LEAST_PARTS = 2

# Ups and downs of the norm from step to step, over those of the loss, both in decades; our runs: 0.83 and more when
# gradients are cleared, 0.4 to 0.6 (a Transformer) when they are kept.
SMOOTH = 0.65
LEAST_NOISE_DB = 0.1  # a loss without noise shows nothing
LEAST_IN_A_ROW = 100

EPS_WARNING = 0.1  # by how much eps shortens a step: eps / (g + eps)
EPS_ERROR = 0.75
DEFAULT_EPS = 1e-8

settled = Family(where={"settled_steps": Within(LEAST_STEPS)}, requires=("LS201",))


@dataclass(frozen=True)
class Rise:
    """A significant rise of the norm after the warmup, and what the loss and the lr did in the same steps."""

    step: int
    decades: float
    p: float
    n: int
    loss_decades: float
    loss_falls: bool
    loss_rises: bool
    slope: float
    r2: float

    @property
    def explained(self) -> bool:
        """Whether the falling learning rate explains the rise."""
        return EXPLAINED_SLOPE[0] <= self.slope <= EXPLAINED_SLOPE[1] and self.r2 >= EXPLAINED_R2


def rise_of_norm(run: RunFacts) -> Rise | None:
    """Return the rise over all steps after the warmup, or else over the last half of them; None when there is none."""
    return run.once("rise_of_norm", lambda: _rise_of_norm(run))


def _rise_of_norm(run: RunFacts) -> Rise | None:
    late = run.settled
    half = [late.start + len(late) // 2] if len(late) >= 2 * LEAST_HALF else []
    for start in (late.start, *half):
        window = range(start, late.stop)
        log_norm = decimate([_log(run.grad_norm[i]) for i in window])
        if not may_rise(log_norm, RISE_P):
            continue
        seen = trend(log_norm)
        if seen.p_up > RISE_P or seen.change < (RISE_DECADES if run.loss_in_db else RISE_DECADES_UNKNOWN):
            continue
        loss = trend(decimate([_log(run.loss[i]) for i in window]))
        slope, r2 = _norm_against_lr(run, window)
        return Rise(
            step=run.step[start],
            decades=seen.change,
            p=seen.p_up,
            n=seen.n,
            loss_decades=loss.change,
            loss_falls=loss.p_down < FALL_P and loss.change <= -(FALL_DECADES if run.loss_in_db else FALL_UNKNOWN),
            loss_rises=loss.p_up < FALL_P and loss.change >= FALL_DECADES,
            slope=slope,
            r2=r2,
        )
    return None


def _norm_against_lr(run: RunFacts, window: range) -> tuple[float, float]:
    """Return slope and R^2 of log norm on log lr where the lr is well above zero; (0, 0) when it hardly moves there."""
    peak = max(run.lr)
    kept = [i for i in window if run.lr[i] >= LR_SHARE * peak > 0.0]
    log_lr = decimate([_log(run.lr[i]) for i in kept])
    log_norm = decimate([_log(run.grad_norm[i]) for i in kept])
    if len(kept) < LEAST_STEPS // 2 or max(log_lr) - min(log_lr) < LR_FALL_DECADES:
        return 0.0, 0.0
    return fit_line(log_lr, log_norm)


def _log(value: float) -> float:
    return math.log10(max(value, 1e-300))


def _evidence(rise: Rise) -> dict[str, Any]:
    return {
        "rise_decades": rise.decades,
        "threshold": RISE_DECADES,
        "p": rise.p,
        "n": rise.n,
        "loss_decades": rise.loss_decades,
        "slope_against_lr": rise.slope,
        "r2": rise.r2,
    }


@settled.diagnose(
    "GN201", fix="unsafe", source=f"{NOTE_FURTHER}; test: Mann 1945, Sen 1968, Hamed & Rao 1998", evidence="assumed",
    where=known("grad_norm", "loss", "lr"),
    fires=dict(norm=lambda t: 0.3 * 10.0 ** (1.5 * t), loss=0.1), silent=dict(norm=0.3),
)  # fmt: skip
def gradient_norm_climbs(run: RunFacts) -> Verdict:
    """The gradient norm keeps rising after the warmup while the loss does not fall.

    ## Why
    Steps that are too large drive the weights into ever steeper regions; the loss stops falling first and rises
    later. The founding Transformer note (docs/note.md) recommends lowering the learning rate or the clip. With AdamW a
    lower clip alone changes little, because the update is the gradient divided by its own size; a lower learning rate
    shortens the steps. A rise is at least a doubling (Theil-Sen) with p below 0.005 (Mann-Kendall, corrected for
    autocorrelation), over all steps after the warmup, or over their last half if it has 200 or more. This is an error
    if the loss rises too.

    ## Known limits
    GN202 reports a norm that rises while the loss falls. A norm that drifts slowly, over a tenth of the run, can look
    like a trend. A rise within the warmup is ignored. Needs 50 steps after the warmup.
    """
    rise = rise_of_norm(run)
    if rise is None or rise.loss_falls:
        return None
    lr = run.peak_lr or max(run.lr)
    lower = two_digits(lr / 2)
    loss = "rises too" if rise.loss_rises else "does not fall"
    p = "p < 0.0001" if rise.p < 1e-4 else f"p {rise.p:.1g}"
    return finding(
        "error" if rise.loss_rises else "warning",
        f"the gradient norm grows {10**rise.decades:.1f} times from step {rise.step} on and the loss {loss} ({p})",
        **_evidence(rise), step=rise.step, patch={"optim.lr": lower},
        advice=f"{moved('optim.lr', lr, lower)}, or lengthen optim.warmup; with AdamW a lower clip_norm alone "
        "does not shorten the steps",
    )  # fmt: skip


@settled.diagnose(
    "GN202", source="Defazio 2025, 'Why gradients rapidly increase near the end of training', arXiv 2506.02285",
    evidence="cited", where=known("grad_norm", "loss", "lr"), requires=("GN201",),
    fires=dict(norm=lambda t: 0.1 * (0.5 * (1.0 + math.cos(math.pi * min(t, 0.97)))) ** -0.5), silent=dict(norm=0.3),
)  # fmt: skip
def gradient_norm_climbs_while_loss_falls(run: RunFacts) -> Verdict:
    """The gradient norm rises but the loss falls: not a reason to lower the learning rate.

    ## Why
    With weight decay the weights of a normalised layer settle where decay and steps balance, and there the norm is
    proportional to sqrt(2 x weight_decay / lr). It rises because the schedule lowers the rate; a lower rate would raise
    it further. The advice of the founding Transformer note (docs/note.md: lower the rate if the norm rises) is harmful
    here. The test is that of GN201 with a loss that falls by 0.5 dB or more (p below 0.01); a slope of log norm against
    log lr of -0.8 to -0.3 with R^2 of 0.6 or more indicates that the falling learning rate is the cause.

    ## Known limits
    The rule does not know whether the network has normalised layers. If the learning rate does not fall, the cause is
    unknown; the finding then only recommends watching the loss.
    """
    rise = rise_of_norm(run)
    if rise is None:
        return None
    if not rise.loss_falls:
        return Skipped("GN201 reports this rise")
    message = f"the gradient norm grows {10**rise.decades:.1f} times from step {rise.step} on while the loss falls"
    if rise.explained and (run.weight_decay or 0.0) > 0.0:
        message += f"; it follows the falling lr (norm ~ lr^{rise.slope:.2f}, R^2 {rise.r2:.2f})"
        advice = "do not lower the lr: weight decay and a falling schedule cause this rise, which is harmless"
    else:
        advice = "keep the lr while the loss falls; if the loss stops falling, see GN201"
    return info(
        message, **_evidence(rise), step=rise.step, advice=advice,
    )  # fmt: skip


@settled.diagnose(
    "GN204", source="Hochreiter 1991; Glorot & Bengio 2010, 'Understanding the difficulty of training deep networks'",
    evidence="cited", where=known("grad_norm", "loss"), requires=("GN203", "SC202", "DM203"),
    fires=dict(norm=lambda t: 10 ** (-3 * t), loss=0.8, loss_is_nmse=True),
    silent=dict(norm=lambda t: 10 ** (-3 * t), loss_is_nmse=True),
)  # fmt: skip
def gradient_vanishes(run: RunFacts) -> Verdict:
    """The gradient vanishes while the loss is still high, or is extremely small in some part of the network.

    ## Why
    If the norm falls with the loss, the network converges. If it falls to a tenth or less (p below 0.005) while the
    loss changes by less than 1 dB, the network is saturated: gates and tanh units are at their limits, or blocks have
    no residual path. The same holds if the rms gradient of a part is below 1/10,000 of the largest, in the median after
    the warmup. A higher learning rate helps against neither.

    ## Known limits
    The first is checked only if the loss is known to be a normalised error, and above -10 dB: below that, a constant
    loss may be the noise floor.
    """
    return _starved(run) or _dies_out(run)


def _dies_out(run: RunFacts) -> Verdict:
    late = run.settled
    loss, norm = ([column[i] for i in late] for column in (run.loss_db, run.log_norm))
    if not run.loss_is_nmse:
        return Skipped("the loss is not known to be a normalised error")
    if median(loss) < -10.0:
        return None
    seen, of_loss = trend(decimate(norm, 100)), trend(decimate(loss, 100))
    if seen.change > -VANISH_DECADES or seen.p_down >= VANISH_P or abs(of_loss.change) >= LOSS_STANDS_DB:
        return None
    return warning(
        f"the gradient norm falls {10**-seen.change:.0f} times from step {run.step[late.start]} on while the loss "
        f"stays at {median(loss):.1f} dB",
        value=seen.change, threshold=-VANISH_DECADES, p=seen.p_down, n=seen.n, step=run.step[late.start],
        advice="the network is saturated, and a higher lr does not help: switch the linear path on (of a "
        "transformer or GRU: model.skip on), "
        "check the scale of the input, use fewer layers",
    )  # fmt: skip


def _starved(run: RunFacts) -> Verdict:
    measured = [i for i, step in enumerate(run.group_step) if step > max(1, run.warmup_steps or 0)]
    if len(measured) < LEAST_MEASURED or len(run.group_grad) < LEAST_PARTS:
        return None
    rms = {
        part: median(norms[i] / math.sqrt(run.group_size[part]) for i in measured)
        for part, norms in run.group_grad.items()
        if all(norms[i] > 0.0 for i in measured)  # a part without any gradient is frozen: UP203
    }
    if len(rms) < LEAST_PARTS:
        return None
    top, low = max(rms, key=rms.__getitem__), min(rms, key=rms.__getitem__)
    share = rms[low] / rms[top]
    if share >= STARVED:
        return None
    return warning(
        f"the gradient of {low} is {share:.1g} of that of {top} (rms of a parameter, median of {len(measured)} "
        "measurements)",
        value=share, threshold=STARVED, n=len(measured), step=run.group_step[measured[0]],
        advice=f"let the signal bypass the layers between {low} and {top}: residual connections, a norm, "
        "fewer layers",
    )  # fmt: skip


@settled.diagnose(
    "GN205", source="torch.optim.Optimizer.zero_grad: gradients add up until they are cleared; limit from our own runs",
    evidence="assumed", where={"settled_steps": Within(LEAST_IN_A_ROW), **known("grad_norm", "loss", "step")},
    requires=("LS202", "LR202", "GN203", "UP201", "UP203", "SC202"),
    fires=dict(norm=3.0, spread=0.3, norm_spread=0.03), silent=dict(norm=3.0, spread=0.3),
)  # fmt: skip
def norm_is_smoother_than_the_loss(run: RunFacts) -> Verdict:
    """The gradient norm hardly changes from step to step although the loss does: it contains old gradients.

    ## Why
    Each step has its own batch, so norm and loss vary by about the same amount from step to step, on a log scale. If
    the changes of the norm are 0.65 of those of the loss or less, the norm is a sum over many batches: `zero_grad` is
    never called, or an accumulation never ends. The steps then follow outdated gradients, and the norm is too large for
    meaningful clipping.

    ## Known limits
    Needs 100 consecutive steps in the log; a norm that was averaged over steps looks the same. The gradients of
    parameters that were not passed to the optimizer are not cleared either; UP203 reports them.
    """
    if not (run.loss_is_nmse or run.loss_unit == "power" or run.clip_norm):
        return Skipped("the limit holds for a mean square, and the unit of this loss is not known")
    window = run.settled
    steps = run.step[window.start :]
    if steps[-1] - steps[0] != len(steps) - 1:
        return Skipped("needs every step in the log")
    of_loss = jitter([run.loss_db[i] for i in window])
    if of_loss < LEAST_NOISE_DB:
        return Skipped("the loss has no noise to compare with")
    ratio = jitter([10.0 * run.log_norm[i] for i in window]) / of_loss
    if ratio > SMOOTH:
        return None
    return error(
        f"from step to step the loss changes by {of_loss:.1f} dB and the gradient norm by {ratio:.2f} times that "
        f"(limit {SMOOTH:g})",
        value=ratio, threshold=SMOOTH, n=len(steps),
        advice="call optimizer.zero_grad() after each optimizer step, and check where gradient accumulation ends",
    )  # fmt: skip


@settled.diagnose(
    "OP201", fix="unsafe", evidence="cited", requires=("GN203",),
    source="Kingma & Ba 2015, Algorithm 1: the step is lr m / (sqrt(v) + eps); shortened by eps / (g + eps)",
    fires=dict(norm=0.01, eps=1e-3, parameters=10_000), silent=dict(norm=0.01, eps=1e-8, parameters=10_000),
)  # fmt: skip
def gradient_near_eps(run: RunFacts, grad_norm: list[float], eps: float, parameters: int) -> Verdict:
    """The gradient of a parameter is about as small as AdamW's eps, which shortens every step.

    ## Why
    Adam's step is the gradient divided by its own size plus eps. If eps dominates, the step is the gradient times a
    constant: small gradients give small steps, and training slows down. The final loss of a power-amplifier model is
    tiny, 1e-4 at -40 dB, and so are its gradients. A clip far below the norms has the same effect. This is a warning if
    eps shortens a step with the mean gradient, after clipping and late in the run, by 10 % or more, and an error from
    75 % on.

    ## Known limits
    Uses the mean size only; single parameters have smaller gradients.
    """
    after = run.settled
    late = range(after.start + len(after) // 2, after.stop)
    clips = run.clip_norm or [math.inf] * len(run.step)
    size = median(min(grad_norm[i], clips[i]) for i in late) / math.sqrt(parameters)
    shortened = eps / (size + eps) if eps > 0.0 else 0.0
    if shortened < EPS_WARNING:
        return None
    if size == 0.0:
        return Skipped("the gradient is zero")
    lower = min(DEFAULT_EPS, float(f"{size / 1000.0:.0e}"))
    return finding(
        "error" if shortened >= EPS_ERROR else "warning",
        f"a parameter's gradient is about {size:.1g}, eps is {eps:g}: steps are shortened by {shortened:.0%}",
        value=shortened, threshold=EPS_WARNING, n=len(late), gradient=size, step=run.step[late.start],
        patch={"optim.eps": lower}, advice=moved("optim.eps", eps, lower),
    )  # fmt: skip
