"""OP: the remaining numbers of AdamW."""

from __future__ import annotations

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.facts import PlanFacts
from dpdrun.rules.sources import TORCH

BETA1 = 0.9
NOTE_BETA2 = 0.999
MEASURED_BETA2 = 0.95
EPS = 1e-8

NETWORKS = ("transformer", "gru")


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
    "note",
    sets="optim.beta2",
    source=TORCH,
    evidence="cited",
    box={"kind": NETWORKS},
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
    source="Ma & Yarats 2021, 'On the adequacy of untuned warmup for adaptive optimization': 2/(1 - beta2) steps",
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def beta2_for_short_runs(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """AdamW's memory of the squared gradient: 0.95, for runs of a few thousand steps.

    ## What it does
    Sets 0.95, an average over about 20 steps.

    ## Why
    The shipped recipes run for 1500 to 12,000 steps; an average over 1000 of them would still hold the start of
    training when the warmup is over. 0.95 settles within 2/(1 - beta2) = 40 steps, inside the warmup that WU010 sets.

    ## Known limits
    Not compared with 0.999; 0.95 is the setting with which our learning rates were measured.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("settles within the warmup (40 steps); the setting of our sweeps", {"optim.beta2": MEASURED_BETA2})
