"""SC: how the learning rate falls after the warmup."""

from __future__ import annotations

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.facts import PlanFacts
from dpdrun.rules.sources import NOTE

NETWORKS = ("transformer", "gru")


@rule(
    "SC001",
    "note",
    sets="optim.schedule",
    source=f"{NOTE}: --lr_schedule 1, in OpenDPD ReduceLROnPlateau",
    evidence="cited",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def schedule_of_the_note(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Lower the learning rate when validation stops improving, as the note's command does.

    ## What it does
    Sets `plateau`; `optim.plateau` says by how much and when.

    ## Why
    The note's command has `--lr_schedule 1`, which is PyTorch's ReduceLROnPlateau in the code it was written for.

    ## Known limits
    It reacts to noise in the validation score, and a run that improves slowly to its end never lowers the rate. Here
    progress is judged in absolute dB; PyTorch's relative threshold has the wrong sign for a negative dB value.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("the note: --lr_schedule 1 (reduce on plateau)", {"optim.schedule": "plateau"})


@rule(
    "SC010",
    "measured",
    sets="optim.schedule",
    source="the setting of our runs; Loshchilov & Hutter 2017",
    evidence="measured",
    results="docs/results.md#what-each-rule-is-worth",
    box={"kind": NETWORKS},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def schedule_cosine_to_zero(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Let the learning rate fall along a cosine to zero at the last step.

    ## What it does
    Sets `cosine`; `optim.lr_end` is where it ends (0 %).

    ## Why
    The last decibel comes while the rate falls, so it has to fall within the planned run, however long that is. It
    does not depend on validation noise.

    ## Known limits
    A run that is stopped early has not seen the low rates: prefer a smaller `train.epochs` to stopping.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("falls to zero within the planned run; the setting of our runs", {"optim.schedule": "cosine"})
