"""OP: the remaining numbers of AdamW."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.advice import recommended_value
from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import NETWORKS, TRAINED, Steps, check, constant, derive, finding, known, warning
from dpdrun.rules.engine import Choice, Verdict
from dpdrun.rules.facts.plan import PlanFacts, steps_of_share
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.plan.clipping import LATE_NORM
from dpdrun.rules.sources import ADAM_SETTLES, SWEEP_WARMUP, TORCH, WORTH, WORTH_TABLE
from dpdrun.rules.text import pluralize

BETA1 = 0.9
NOTE_BETA2 = 0.999
MEASURED_BETA2 = 0.95
EPS = 1e-8

LEAST_BETA2 = 0.9  # settles after 20 steps
SETTLE_SHARE = 0.075  # of a run, in which AdamW should settle: the middle of the warmup's 5 to 10 %
LONGEST_WARMUP = 0.10  # of all steps: the note, and the playbook
EPS_SHORTENS = 0.1  # of the gradient's rms: eps of that size shortens a step by 9 %
NO_MORE = "PyTorch's default; the note specifies only AdamW"


def settling_steps(beta2: float) -> int:
    """Return the steps until AdamW's average of the squared gradient has settled, 2/(1 - beta2)."""
    return math.ceil(round(2.0 / (1.0 - beta2), 6))


def within(steps: int) -> float:
    """Return the largest beta2 of three decimals that settles within so many steps, at least 0.9."""
    return max(LEAST_BETA2, math.floor(round(1000.0 * (1.0 - 2.0 / steps), 6)) / 1000.0)


def measured_beta2(total_steps: int | None) -> float:
    """Return OP010's beta2: 0.95, less in a run that ends before that has settled."""
    if total_steps is None or total_steps >= settling_steps(MEASURED_BETA2):
        return MEASURED_BETA2
    return within(max(1, int(SETTLE_SHARE * total_steps)))


def bridged(warmup: int | None, total_steps: int) -> tuple[int, str]:
    """Return the steps in which AdamW should settle, and their description.

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


constant(
    "OP001", "beta1_of_adamw", "optim.beta1", BETA1, kinds=TRAINED, source=TORCH, evidence="cited", why=NO_MORE,
    summary="Beta1 of AdamW: 0.9, which averages the gradient over about 10 steps.",
    page="""
    The founding Transformer note (docs/note.md) recommends AdamW and does not give its parameters, so PyTorch's default
    is used.
    """,
    limits="The tuning playbook recommends tuning it only with a budget of more than 10 trials.",
)  # fmt: skip

constant(
    "OP002", "beta2_of_adamw", "optim.beta2", NOTE_BETA2, kinds=TRAINED, source=TORCH, evidence="cited", why=NO_MORE,
    requires=("OP010", "OP011"),
    summary="Beta2 of AdamW: 0.999, PyTorch's default, which averages the squared gradient over about 1000 steps.",
    page="The founding Transformer note (docs/note.md) recommends AdamW and does not give its parameters.",
    limits="""
    The average settles after 2/(1 - beta2) = 2000 steps (Ma & Yarats 2021), as long as the note's example run.
    """,
)  # fmt: skip

constant(
    "OP003", "eps_of_adamw", "optim.eps", EPS, kinds=TRAINED, source=TORCH, evidence="cited",
    summary="Eps of AdamW: 1e-8, PyTorch's default.",
    why="PyTorch's default; signals are scaled to unit rms",
    page="Signals and targets are scaled to unit rms, so gradients stay above eps at the NMSE that PA models reach.",
    limits="""
    If the rms of the gradient per weight is 10 eps, a step is 9 % shorter; if it is eps, half as long. For an NMSE
    below about -60 dB, set a lower eps.
    """,
)  # fmt: skip


@derive(
    "OP010", sets="optim.beta2", profile="measured", kinds=NETWORKS, where=known("width"),
    premise=outside_sweep, source=f"{WORTH}; {ADAM_SETTLES}", evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", d_model=16), silent=dict(kind="gmp"),
)  # fmt: skip
def beta2_for_short_runs(total_steps: int | None = None) -> Choice:
    """Beta2 of AdamW: 0.95, for runs of a few thousand steps.

    ## Why
    An average over 1000 steps would still contain the large gradients of the start when the warmup is over. A beta2 of
    0.95 averages over about 20 steps and settles after 2/(1 - beta2) = 40 steps. It was better than PyTorch's 0.999 in
    every job, most in the shortest, including runs of 400 steps, whose warmup of 20 steps (WU010) is shorter than the
    settling time. For runs shorter than 40 steps, beta2 is the value that settles within 7.5 % of the run, at least
    0.9.

    ## Known limits
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared in Transformers of
    width 16 and 64 and GRUs of 16 units, in 400 and 1600 steps. In longer runs it matters less.
    """
    settles = settling_steps(MEASURED_BETA2)
    if total_steps is not None and total_steps < settles:
        why = f"settles within a run of {pluralize(total_steps, 'step')}, if any does"
        return Choice(measured_beta2(total_steps), why)
    why = f"settles in {settles} steps"
    if total_steps is not None:
        warmup = steps_of_share(SWEEP_WARMUP, total_steps)
        longer = f", longer than a warmup of 5 % ({warmup}); this combination was measured"
        why += ", within a warmup of 5 %" if warmup >= settles else longer
    return Choice(MEASURED_BETA2, why)


@derive(
    "OP011", sets="optim.beta2", profile="measured", kinds=TRAINED, requires=("OP010",), source=ADAM_SETTLES,
    evidence="cited", fires=dict(kind="transformer", d_model=512, max_steps=2000),
    silent=dict(kind="transformer", d_model=512),
)  # fmt: skip
def beta2_that_settles_in_the_warmup(total_steps: int, warmup_steps: int | None = None) -> Choice:
    """Beta2 of AdamW for networks outside our sweeps: the largest value that settles within the warmup.

    ## Why
    Two rules conflict here: a warmup of at most 10 % of the run (WU101), and one of at least 2/(1 - beta2) steps (Ma &
    Yarats 2021). The warmup is that of the founding Transformer note (docs/note.md), which does not specify beta2, so
    beta2 is adjusted, from 0.9 up to PyTorch's 0.999. If the warmup is off or less than 5 % of the run, 5 % is used; if
    it is more than 10 %, 7.5 %.

    ## Known limits
    Calculated, not measured. OP010 sets beta2 for the networks of our sweeps.
    """
    room, words = bridged(warmup_steps, total_steps)
    beta2 = min(NOTE_BETA2, within(room))
    settles = settling_steps(beta2)
    shorter = f"settles in {settles} steps, the minimum; {words} is shorter"
    return Choice(beta2, f"settles within {words}" if settles <= room else shorter)


@check(
    "OP101", about=("optim.beta2", "train.max_steps", "train.epochs"), profile="measured", fix="unsafe",
    source=ADAM_SETTLES, evidence="cited",
    fires=dict(kind="transformer", beta2=0.999, max_steps=500),
    silent=dict(kind="transformer", beta2=0.95, max_steps=500),
)  # fmt: skip
def run_shorter_than_adams_memory(
    facts: PlanFacts, beta2: Annotated[float, Within(0, 1)], total_steps: Annotated[int, Within(20)]
) -> Verdict:
    """The run ends before AdamW's average of the squared gradient has settled, after 2/(1 - beta2) steps.

    ## Why
    With a beta2 of 0.999 the average extends over 1000 steps: throughout a run of 500 steps it contains the large
    gradients of the start, which shorten every later step. The fix is the beta2 that the rules would set (OP010,
    OP011).

    ## Known limits
    In runs of 400 steps a beta2 of 0.999 was several dB worse than 0.95 (OP010). Does not apply with `rules: note`: the
    example run of the founding Transformer note (docs/note.md), with 1954 steps, uses PyTorch's 0.999 (OP002).
    """
    settles = settling_steps(beta2)
    if total_steps >= settles:
        return None
    shorter = recommended_value("optim.beta2", facts) or measured_beta2(total_steps)
    return warning(
        f"the run has {pluralize(total_steps, 'step')}; AdamW with beta2 {beta2:g} settles after {settles}",
        value=total_steps, threshold=settles, patch={"optim.beta2": shorter},
        also=f", which settles after {settling_steps(shorter)} steps, or train longer",
    )  # fmt: skip


@check(
    "OP102", about=("optim.eps",), kinds=NETWORKS, fix="unsafe", evidence="assumed",
    source="AdamW divides by sqrt(v) + eps: where eps is a tenth of the gradient's rms, a step is 9 % shorter",
    fires=dict(kind="transformer", d_model=16, layers=2, eps=1e-4),
    silent=dict(kind="transformer", d_model=16, layers=2, eps=1e-8),
)  # fmt: skip
def eps_near_the_gradient(eps: Annotated[float, Within(0)], matrix_weights: Steps) -> Verdict:
    """AdamW's eps is not small compared with the gradients expected late in training.

    ## Why
    As the error falls, so do the gradients. When they approach eps, AdamW's steps shrink with them, as in plain
    gradient descent, and the last decibels take longer and longer. The expected gradient norm at the end is 0.01
    (signals at unit rms), spread over the weights; eps is compared with a tenth of that. This is a warning if eps is as
    large as the gradient itself.

    ## Known limits
    Gradients differ between layers, and only the weights of the large matrices are counted. A large eps may be
    intended, to limit updates of weights with tiny gradients.
    """
    rms = LATE_NORM / math.sqrt(matrix_weights)
    if eps <= EPS_SHORTENS * rms:
        return None
    return finding(
        "warning" if eps >= rms else "info",
        f"optim.eps {eps:g}, expected gradient {rms:.1g} per weight (rms, late in training): steps become "
        f"{1 - rms / (rms + eps):.0%} shorter",
        value=eps, threshold=EPS_SHORTENS * rms, patch={"optim.eps": min(EPS, float(f"{EPS_SHORTENS * rms / 10:.0e}"))},
    )  # fmt: skip
