"""GN: what the gradient norm does over a run. The norms are those before clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.sources import NOTE_FURTHER
from dpdrun.rules.statistics import decimate, fit_line, may_rise, trend

INF = math.inf

LEAST_STEPS = 50  # after the warmup
LEAST_HALF = 200  # in their last half; at a high rate the norm of healthy runs wanders by a doubling within 100 steps
RISE_DECADES = 0.3  # a doubling
RISE_P = 0.005  # 0.01 over the two windows that are looked at (Bonferroni)
FALL_DECADES = 0.05  # of the loss: 0.5 dB over the window
FALL_P = 0.01

# Defazio 2025 (arXiv 2506.02285): under decoupled weight decay a normalised layer settles at |g| ~ sqrt(2 wd / lr).
EXPLAINED_SLOPE = (-0.8, -0.3)
EXPLAINED_R2 = 0.6
LR_SHARE = 0.1  # of the peak; below it the norm no longer follows the lr within the steps that are left
LR_FALL_DECADES = 0.3


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
    """The rise over all steps after the warmup, or else over the last half of them; None when there is none."""
    return run.once("rise_of_norm", lambda: _rise_of_norm(run))


def _rise_of_norm(run: RunFacts) -> Rise | None:
    settled = run.settled
    half = [settled.start + len(settled) // 2] if len(settled) >= 2 * LEAST_HALF else []
    for start in (settled.start, *half):
        window = range(start, settled.stop)
        log_norm = decimate([_log(run.grad_norm[i]) for i in window])
        if not may_rise(log_norm, RISE_P):
            continue
        seen = trend(log_norm)
        if seen.p_up > RISE_P or seen.change < RISE_DECADES:
            continue
        loss = trend(decimate([_log(run.loss[i]) for i in window]))
        slope, r2 = _norm_against_lr(run, window)
        return Rise(
            step=run.step[start],
            decades=seen.change,
            p=seen.p_up,
            n=seen.n,
            loss_decades=loss.change,
            loss_falls=loss.p_down < FALL_P and loss.change <= -FALL_DECADES,
            loss_rises=loss.p_up < FALL_P and loss.change >= FALL_DECADES,
            slope=slope,
            r2=r2,
        )
    return None


def _norm_against_lr(run: RunFacts, window: range) -> tuple[float, float]:
    """Slope and R^2 of log norm on log lr where the lr is well above zero; (0, 0) when it hardly moves there."""
    peak = max(run.lr)
    kept = [i for i in window if run.lr[i] >= LR_SHARE * peak > 0.0]
    log_lr = decimate([_log(run.lr[i]) for i in kept])
    log_norm = decimate([_log(run.grad_norm[i]) for i in kept])
    if len(kept) < LEAST_STEPS // 2 or max(log_lr) - min(log_lr) < LR_FALL_DECADES:
        return 0.0, 0.0
    return fit_line(log_lr, log_norm)


def _log(value: float) -> float:
    return math.log10(max(value, 1e-300))


def _evidence(rise: Rise) -> dict[str, float]:
    return {
        "rise_decades": rise.decades,
        "threshold": RISE_DECADES,
        "p": rise.p,
        "n": rise.n,
        "loss_decades": rise.loss_decades,
        "slope_against_lr": rise.slope,
        "r2": rise.r2,
    }


@rule(
    "GN201",
    purpose="diagnose",
    source=f"{NOTE_FURTHER}; test: Mann 1945, Sen 1968, Hamed & Rao 1998",
    evidence="assumed",
    fix="unsafe",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "loss", "lr"),
    requires=("LS201",),
    fires=lambda: example_run(norm=lambda t: 0.3 * 10.0 ** (1.5 * t), loss=0.1),
    silent=lambda: example_run(norm=0.3),
)
def gradient_norm_climbs(run: RunFacts) -> Verdict:
    """The gradient norm keeps climbing after the warmup while the loss does not fall.

    ## What it does
    Tests log10 of the norms after the warmup (medians of at most 400 pieces) for a rise: Mann-Kendall with Hamed and
    Rao's correction for autocorrelation, p below 0.005, and at least a doubling by the Theil-Sen slope. Looks at all
    steps after the warmup, then at their last half if it has 200 or more. A warning when the loss stands still, an
    error when it rises.

    ## Why
    Steps that are too long drive the weights into ever steeper places; the loss stops falling first and rises later.
    The note says: lower the learning rate or clip harder. With AdamW a harder clip alone changes little, since the
    update is the gradient divided by its own size; the learning rate is what shortens the step.

    ## Known limits
    A norm that rises while the loss falls is GN202. A norm that wanders slowly, over a tenth of the run, can look like
    a trend. A rise within the warmup is not looked at. Says nothing before 50
    steps after the warmup.

    ## Example
    Fires when the norm grows from 0.3 to 9 at a constant loss. Silent when it stays at 0.3.
    """
    rise = rise_of_norm(run)
    if rise is None or rise.loss_falls:
        return None
    lr = run.peak_lr or max(run.lr)
    lower = float(f"{lr / 2:.2g}")
    loss = "rises too" if rise.loss_rises else "does not fall"
    p = "p < 0.0001" if rise.p < 1e-4 else f"p {rise.p:.1g}"
    return Finding(
        f"the gradient norm grows {10**rise.decades:.1f} times from step {rise.step} on and the loss {loss} ({p})",
        {"optim.lr": lower},
        "error" if rise.loss_rises else "warning",
        step=rise.step,
        evidence=_evidence(rise),
        advice=f"lower optim.lr from {lr:g} to {lower:g}, or lengthen optim.warmup; with AdamW a lower clip_norm alone "
        "does not shorten the steps",
    )


@rule(
    "GN202",
    purpose="diagnose",
    source="Defazio 2025, 'Why gradients rapidly increase near the end of training', arXiv 2506.02285",
    evidence="cited",
    box={"settled_steps": (LEAST_STEPS, INF)},
    needs=("grad_norm", "loss", "lr"),
    requires=("LS201", "GN201"),
    fires=lambda: example_run(norm=lambda t: 0.1 * (0.5 * (1.0 + math.cos(math.pi * min(t, 0.97)))) ** -0.5),
    silent=lambda: example_run(norm=0.3),
)
def gradient_norm_climbs_while_loss_falls(run: RunFacts) -> Verdict:
    """The gradient norm climbs but the loss falls: no reason to lower the learning rate.

    ## What it does
    The same test as GN201 with a loss that falls by 0.5 dB or more (p below 0.01). Fits log norm on log lr: a slope of
    -0.8 to -0.3 with R^2 of 0.6 or more says that the falling learning rate is the cause.

    ## Why
    Under weight decay the weights of a normalised layer settle where decay and steps balance, and there the norm goes
    as sqrt(2 x weight_decay / lr). It rises because the schedule lowers the rate; lowering it further would raise it
    more. The note's advice (norm climbs: lower the rate) does harm here.

    ## Known limits
    Does not know whether the network has normalised layers. Without a learning rate that falls, the reason is open;
    the finding says so and only advises to watch the loss.

    ## Example
    Fires when the norm goes as 1/sqrt(lr) along a cosine while the loss falls. Silent when the norm stays at 0.3.
    """
    rise = rise_of_norm(run)
    if rise is None:
        return None
    if not rise.loss_falls:
        return Skipped("GN201 is about this rise")
    message = f"the gradient norm grows {10**rise.decades:.1f} times from step {rise.step} on while the loss falls"
    if rise.explained and (run.weight_decay or 0.0) > 0.0:
        message += f"; it follows the falling lr (norm ~ lr^{rise.slope:.2f}, R^2 {rise.r2:.2f})"
        advice = "do not lower the lr: this rise is what weight decay and a falling schedule do, and is harmless"
    else:
        advice = "keep the lr while the loss falls; if the loss stops falling, GN201 will say what to change"
    return Finding(message, severity="info", step=rise.step, evidence=_evidence(rise), advice=advice)
