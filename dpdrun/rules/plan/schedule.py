"""SC: how the learning rate falls after the warmup."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import NOTE, WORTH, WORTH_TABLE
from dpdrun.rules.text import pluralize

NETWORKS = ("transformer", "gru")
INF = math.inf

HIGH_LR = 3e-3  # where rates begin at which a constant one is known to need a cooldown
LEAST_REDUCTIONS = 3  # to an eighth of the peak
SCORINGS = 40  # in a run, as EV001


@rule(
    "SC001",
    sets="optim.schedule",
    source=f"{NOTE}: --lr_schedule 1, in OpenDPD ReduceLROnPlateau",
    evidence="cited",
    box={"kind": NETWORKS},
    requires=("SC010",),
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
    source=f"{WORTH}; Loshchilov & Hutter 2017, 'SGDR', one cycle",
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": NETWORKS},
    needs=("width",),
    fires=lambda: PlanFacts(kind="transformer", d_model=16),
    silent=lambda: PlanFacts(kind="gmp"),
)
def schedule_cosine_to_zero(facts: PlanFacts) -> Verdict:
    """Let the learning rate fall along a cosine to zero at the last step.

    ## What it does
    Sets `cosine`; `optim.lr_end` is where it ends (0 %).

    ## Why
    The last decibel comes while the rate falls, so it has to fall within the planned run, however long that is. It
    does not depend on validation noise.

    ## Known limits
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared with a constant
    rate in Transformers of width 16 and 64 and GRUs of 16 units. A run that is stopped early has not seen the low
    rates: prefer a smaller `train.epochs` to stopping. At the note's lr of 3e-4 it costs: there every step counts, and
    in our case study the step from a plateau schedule to a cosine went from -27.22 dB to -24.56 dB. So full attention,
    which trains at the note's rate, keeps the note's schedule.

    ## Example
    Fires for d_model 16. Silent for a GMP.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    return Finding("falls to zero within the planned run; the last decibels come then", {"optim.schedule": "cosine"})


@rule(
    "SC101",
    "measured",
    purpose="check",
    source=f"{WORTH}; Haegele et al. 2024 (arXiv 2405.18392): a constant rate needs a cooldown",
    evidence="measured",
    results=WORTH_TABLE,
    fix="unsafe",
    about=("optim.schedule",),
    box={"kind": NETWORKS, "lr": (HIGH_LR, INF)},
    needs=("schedule",),
    fires=lambda: PlanFacts(kind="transformer", lr=2e-2, schedule="constant"),
    silent=lambda: PlanFacts(kind="transformer", lr=2e-2, schedule="cosine"),
)
def high_rate_never_falls(facts: PlanFacts) -> Verdict:
    """The learning rate is high and stays so to the last step.

    ## What it does
    Looks at `schedule: constant` from lr 3e-3 on, and advises a cosine.

    ## Why
    At a high rate the weights keep wandering around their optimum; the last decibels come while the rate falls.

    ## Known limits
    Measured at the rates of LR010 and LR011. At a low rate it is the other way round, every step counts; so it is
    silent below 3e-3.

    ## Example
    Fires for a constant 2e-2. Silent for a cosine.
    """
    if facts.schedule != "constant":
        return None
    return Finding(
        f"lr {facts.lr:g} stays at its peak to the last step",
        {"optim.schedule": "cosine"},
        "warning",
        evidence={"value": facts.lr, "threshold": HIGH_LR},
        advice="set optim.schedule to cosine",
    )


@rule(
    "SC102",
    purpose="check",
    source="a plateau is patience + 1 scorings without progress",
    evidence="assumed",
    fix="unsafe",
    about=("train.eval_every", "optim.schedule"),
    box={"schedule": ("plateau",), "eval_every": (1, INF), "total_steps": (1, INF), "patience": (1, INF)},
    fires=lambda: PlanFacts(schedule="plateau", eval_every=50, max_steps=500, patience=5),
    silent=lambda: PlanFacts(schedule="plateau", eval_every=50, max_steps=5000, patience=5),
)
def plateau_without_time_to_act(facts: PlanFacts) -> Verdict:
    """The run has too few scorings for its plateau schedule to lower the rate more than twice.

    ## What it does
    Divides the scorings of the run by patience + 1. Below 3 it warns, and advises to score 40 times in the run where
    that is enough.

    ## Why
    Each reduction takes patience + 1 scorings. With 10 scorings and a patience of 5 the rate can fall once, by half,
    and only if validation stops improving early on.

    ## Known limits
    An upper bound: a run that improves never lowers the rate. A cosine falls in any case (SC010).

    ## Example
    Fires for 10 scorings and a patience of 5. Silent for 100.
    """
    total, every, patience = facts.total_steps or 1, facts.eval_every or 1, facts.patience or 1
    most = total // every // (patience + 1)
    if most >= LEAST_REDUCTIONS:
        return None
    often = max(1, total // SCORINGS)
    patch = {"train.eval_every": often} if total // often // (patience + 1) >= LEAST_REDUCTIONS else {}
    return Finding(
        f"{pluralize(total // every, 'scoring')} in {pluralize(total, 'step')}: with a patience of {patience} the lr "
        + "can "
        + ("not fall at all", "fall once at most", "fall twice at most")[most],
        patch,
        "warning",
        evidence={"value": most, "threshold": LEAST_REDUCTIONS},
        advice=(f"set train.eval_every to {often}" if patch else "lower optim.plateau.patience")
        + ", or optim.schedule to cosine",
    )
