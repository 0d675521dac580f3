"""OP: the remaining numbers of AdamW."""

from __future__ import annotations

import math

from dpdrun.rules.advice import recommended_value
from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts, steps_of_share
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.plan.clipping import LATE_NORM
from dpdrun.rules.sources import ADAM_SETTLES, SWEEP_WARMUP, TORCH, WORTH, WORTH_TABLE
from dpdrun.rules.text import pluralize

BETA1 = 0.9
NOTE_BETA2 = 0.999
MEASURED_BETA2 = 0.95
EPS = 1e-8

NETWORKS = ("transformer", "gru")
INF = math.inf

LEAST_BETA2 = 0.9  # settles after 20 steps
SETTLE_SHARE = 0.075  # of a run, in which AdamW should settle: the middle of the warmup's 5 to 10 %
LONGEST_WARMUP = 0.10  # of all steps: the note, and the playbook
EPS_SHORTENS = 0.1  # of the gradient's rms: eps of that size shortens a step by 9 %


def settling_steps(beta2: float) -> int:
    """Steps until AdamW's average of the squared gradient has settled, 2/(1 - beta2)."""
    return math.ceil(round(2.0 / (1.0 - beta2), 6))


def within(steps: int) -> float:
    """The largest beta2 of three decimals that settles within so many steps, at least 0.9."""
    return max(LEAST_BETA2, math.floor(round(1000.0 * (1.0 - 2.0 / steps), 6)) / 1000.0)


def measured_beta2(total_steps: int | None) -> float:
    """OP010's: 0.95, less in a run that ends before that has settled."""
    if total_steps is None or total_steps >= settling_steps(MEASURED_BETA2):
        return MEASURED_BETA2
    return within(max(1, int(SETTLE_SHARE * total_steps)))


def bridged(warmup: int | None, total_steps: int) -> tuple[int, str]:
    """The steps in which AdamW should settle, and what they are in words.

    A warmup, where it is 5 to 10 % of the run. One that is off or shorter counts as 5 %, a longer one as the 7.5 % that
    the note would make of it (WU101).
    """
    least = steps_of_share(SWEEP_WARMUP, total_steps)
    if warmup is None or warmup < least:
        return least, f"5 % of the run ({pluralize(least, 'step')})"
    if warmup > max(1.0, LONGEST_WARMUP * total_steps):
        middle = steps_of_share(SETTLE_SHARE, total_steps)
        return middle, f"a warmup of 7.5 % ({pluralize(middle, 'step')})"
    return warmup, f"the warmup ({pluralize(warmup, 'step')})"


@rule(
    "OP001",
    sets="optim.beta1",
    source=TORCH,
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def beta1_of_adamw(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """AdamW's memory of the gradient: 0.9.

    ## What it does
    Sets 0.9, an average over about 10 steps.

    ## Why
    The note asks for AdamW and says nothing about its numbers, so PyTorch's default holds.

    ## Known limits
    The tuning playbook tunes it only when there are more than 10 trials to spend.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("PyTorch's default; the note asks for AdamW and no more", {"optim.beta1": BETA1})


@rule(
    "OP002",
    sets="optim.beta2",
    source=TORCH,
    evidence="cited",
    box={"kind": NETWORKS},
    requires=("OP010", "OP011"),
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def beta2_of_adamw(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """AdamW's memory of the squared gradient: 0.999, PyTorch's default.

    ## What it does
    Sets 0.999, an average over about 1000 steps.

    ## Why
    The note asks for AdamW and says nothing about its numbers.

    ## Known limits
    The average settles after 2/(1 - beta2) = 2000 steps (Ma & Yarats 2021), the whole of the note's example run.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("PyTorch's default; the note asks for AdamW and no more", {"optim.beta2": NOTE_BETA2})


@rule(
    "OP003",
    sets="optim.eps",
    source=TORCH,
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def eps_of_adamw(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """AdamW's floor of the denominator: 1e-8, PyTorch's default.

    ## What it does
    Sets 1e-8.

    ## Why
    Signals and targets are scaled to unit rms, so gradients stay above it at the NMSE that PA models reach.

    ## Known limits
    A gradient whose rms per weight is 10 eps is shortened by 9 %, at eps by half; below about -60 dB lower it.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("PyTorch's default; signals are scaled to unit rms", {"optim.eps": EPS})


@rule(
    "OP010",
    "measured",
    sets="optim.beta2",
    source=f"{WORTH}; {ADAM_SETTLES}",
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": NETWORKS},
    needs=("width",),
    uses=("total_steps",),
    fires=lambda: PlanFacts(kind="transformer", d_model=16),
    silent=lambda: PlanFacts(kind="gmp"),
)
def beta2_for_short_runs(facts: PlanFacts) -> Verdict:
    """AdamW's memory of the squared gradient: 0.95, for runs of a few thousand steps.

    ## What it does
    Sets 0.95, an average over about 20 steps, which settles after 2/(1 - beta2) = 40 steps. Where all of the run is
    shorter than that, the value that settles within 7.5 % of it, down to 0.9. The line says how the 40 steps compare
    with a warmup of 5 % (WU010): in a run of less than 800 steps the warmup is the shorter of the two, and stays so.

    ## Why
    An average over 1000 steps would still hold the large gradients of the start when the warmup is over. Compared with
    PyTorch's 0.999 it gained in every job, most in the shortest; so it did in runs of 400 steps, whose warmup of 20
    steps is shorter than its memory.

    ## Known limits
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared in Transformers
    of width 16 and 64 and GRUs of 16 units, in 400 and 1600 steps. Longer runs care less.

    ## Example
    Fires for d_model 16. Silent for a GMP.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    total = facts.total_steps
    settles = settling_steps(MEASURED_BETA2)
    if total is not None and total < settles:
        why = f"settles within a run of {pluralize(total, 'step')}, if any does"
        return Finding(why, {"optim.beta2": measured_beta2(total)})
    why = f"settles in {settles} steps"
    if total is not None:
        warmup = steps_of_share(SWEEP_WARMUP, total)
        longer = f", longer than a warmup of 5 % ({warmup}); neither gives way, they were measured so"
        why += ", within a warmup of 5 %" if warmup >= settles else longer
    return Finding(why, {"optim.beta2": MEASURED_BETA2})


@rule(
    "OP011",
    "measured",
    sets="optim.beta2",
    source=ADAM_SETTLES,
    evidence="cited",
    box={"kind": NETWORKS},
    needs=("total_steps",),
    uses=("warmup_steps",),
    requires=("OP010",),
    fires=lambda: PlanFacts(kind="transformer", d_model=512, max_steps=2000),
    silent=lambda: PlanFacts(kind="transformer", d_model=512),
)
def beta2_that_settles_in_the_warmup(facts: PlanFacts) -> Verdict:
    """AdamW's memory of the squared gradient, where ours was not measured: as long as the warmup bridges.

    ## What it does
    Sets the beta2 whose 2/(1 - beta2) steps are the warmup, from 0.9 up to PyTorch's 0.999. Where warmup is off or
    less than 5 % of the run, those 5 %; where it is more than 10 %, 7.5 %.

    ## Why
    Two rules pull here: a warmup of at most 10 % (WU101), and one of at least 2/(1 - beta2) steps (Ma & Yarats 2021).
    The warmup is the note's; beta2, of which it says nothing, gives way.

    ## Known limits
    Arithmetic, not measured. For the networks of our sweeps OP010 answers.

    ## Example
    Fires for d_model 512 and 2000 steps: 0.98. Silent while the length of the run is not known.
    """
    room, said = bridged(facts.warmup_steps, facts.total_steps or 1)
    beta2 = min(NOTE_BETA2, within(room))
    settles = settling_steps(beta2)
    why = f"settles within {said}" if settles <= room else f"settles in {settles} steps, the least; {said} is shorter"
    return Finding(why, {"optim.beta2": beta2})


@rule(
    "OP101",
    "measured",
    purpose="check",
    source=ADAM_SETTLES,
    evidence="cited",
    fix="unsafe",
    about=("optim.beta2", "train.max_steps", "train.epochs"),
    box={"beta2": (0, 1), "total_steps": (20, INF)},
    fires=lambda: PlanFacts(kind="transformer", beta2=0.999, max_steps=500),
    silent=lambda: PlanFacts(kind="transformer", beta2=0.95, max_steps=500),
)
def run_shorter_than_adams_memory(facts: PlanFacts) -> Verdict:
    """The run ends before AdamW's average of the squared gradient has settled.

    ## What it does
    Compares all steps with 2/(1 - beta2), and advises the beta2 that the rules would set (OP010, OP011).

    ## Why
    With beta2 0.999 the average reaches back 1000 steps: to the end of a run of 500 it holds the large gradients of the
    beginning, and divides every later step by them.

    ## Known limits
    In runs of 400 steps beta2 0.999 lost decibels against 0.95 (OP010). Silent with `rules: note`, whose example of
    1954 steps goes with PyTorch's 0.999 (OP002).

    ## Example
    Fires for beta2 0.999 and 500 steps. Silent for 0.95.
    """
    beta2, total = facts.beta2 or 0.0, facts.total_steps or 0
    wanted = settling_steps(beta2)
    if total >= wanted:
        return None
    shorter = recommended_value("optim.beta2", facts) or measured_beta2(total)
    return Finding(
        f"the run has {pluralize(total, 'step')}; AdamW with beta2 {beta2:g} settles after {wanted}",
        {"optim.beta2": shorter},
        "warning",
        evidence={"value": total, "threshold": wanted},
        advice=f"set optim.beta2 to {shorter:g}, which settles after {settling_steps(shorter)} steps, or train longer",
    )


@rule(
    "OP102",
    purpose="check",
    source="AdamW divides by sqrt(v) + eps: where eps is a tenth of the gradient's rms, a step is 9 % shorter",
    evidence="assumed",
    fix="unsafe",
    about=("optim.eps",),
    box={"kind": NETWORKS, "eps": (0, INF), "matrix_weights": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", d_model=16, layers=2, eps=1e-4),
    silent=lambda: PlanFacts(kind="transformer", d_model=16, layers=2, eps=1e-8),
)
def eps_near_the_gradient(facts: PlanFacts) -> Verdict:
    """AdamW's eps is not small against the gradients that are expected late in training.

    ## What it does
    Expects a gradient norm of 0.01 at the end (signals at unit rms), divides it by the square root of the number of
    weights, and compares eps with a tenth of that. A warning where eps is as large as the gradient itself.

    ## Why
    As the error falls, so do the gradients; where they reach eps, AdamW's steps shrink with them, as plain gradient
    descent's do, and the last decibels take ever longer.

    ## Known limits
    Gradients differ between layers; the weights are counted from the sizes of the large matrices alone. A large eps
    can be wanted, as a brake on weights with tiny gradients.

    ## Example
    Fires for 1e-4 and about 6,000 weights. Silent for 1e-8.
    """
    eps, weights = facts.eps or 0.0, facts.matrix_weights or 1
    rms = LATE_NORM / math.sqrt(weights)
    if eps <= EPS_SHORTENS * rms:
        return None
    smaller = min(EPS, float(f"{EPS_SHORTENS * rms / 10:.0e}"))
    return Finding(
        f"optim.eps {eps:g} against an expected gradient of {rms:.1g} a weight (rms, late in training): steps become "
        f"{1 - rms / (rms + eps):.0%} shorter",
        {"optim.eps": smaller},
        "warning" if eps >= rms else "info",
        evidence={"value": eps, "threshold": EPS_SHORTENS * rms},
        advice=f"set optim.eps to {smaller:g}",
    )
