"""SC: how the learning rate falls after the warmup."""

from __future__ import annotations

from typing import Annotated

from dpdrun.rules.conditions import OneOf, Within
from dpdrun.rules.declare import NETWORKS, Steps, check, constant, known, warning
from dpdrun.rules.engine import Verdict
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import NOTE, WORTH, WORTH_TABLE
from dpdrun.rules.text import pluralize

HIGH_LR = 3e-3  # where rates begin at which a constant one is known to need a cooldown
LEAST_REDUCTIONS = 3  # to an eighth of the peak
SCORINGS = 40  # in a run, as EV001

constant(
    "SC001", "schedule_of_the_note", "optim.schedule", "plateau", kinds=NETWORKS, requires=("SC010",),
    source=f"{NOTE}: --lr_schedule 1, in OpenDPD ReduceLROnPlateau", evidence="cited",
    summary="Lower the learning rate when validation stops improving, as in the founding Transformer note's command.",
    why="the note: --lr_schedule 1 (reduce on plateau)",
    page="""
    The note's command has `--lr_schedule 1`, which is PyTorch's ReduceLROnPlateau in the code it was written for.
    `optim.plateau` sets when and by how much the rate is lowered.
    """,
    limits="""
    The schedule reacts to noise in the validation score, and in a run that improves slowly to its end the rate is never
    lowered. dpdrun measures progress in absolute dB; PyTorch's relative threshold has the wrong sign for negative dB
    values.
    """,
)  # fmt: skip

constant(
    "SC010", "schedule_cosine_to_zero", "optim.schedule", "cosine", profile="measured", kinds=NETWORKS,
    where=known("width"), premise=outside_sweep, evidence="measured", results=WORTH_TABLE,
    source=f"{WORTH}; Loshchilov & Hutter 2017, 'SGDR', one cycle",
    summary="Decrease the learning rate along a cosine to zero at the last step.",
    why="falls to zero within the planned run, which gains the last decibels",
    page="""
    The last decibel is gained while the rate falls, so the rate has to fall within the planned run, whatever its
    length. The schedule does not depend on validation noise. `optim.lr_end` is the final rate (0 %).
    """,
    limits="""
    For windowed Transformers of width 8 to 256 and GRUs of 8 to 64 units, which were swept; compared with a constant
    rate in Transformers of width 16 and 64 and GRUs of 16 units. A run that is stopped early never reaches the low
    rates: use a smaller `train.epochs` instead of stopping it. At the lr of 3e-4 of the founding Transformer note
    (docs/note.md) a cosine is worse, because every step matters there: in our case study, replacing a plateau schedule
    by a cosine changed the NMSE from -27.22 dB to -24.56 dB. So full attention, which trains at the note's rate, keeps
    the note's schedule.
    """,
    fires=dict(kind="transformer", d_model=16),
)  # fmt: skip


@check(
    "SC101", about=("optim.schedule",), profile="measured", kinds=NETWORKS, fix="unsafe",
    source=f"{WORTH}; Haegele et al. 2024 (arXiv 2405.18392): a constant rate needs a cooldown",
    evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", lr=2e-2, schedule="constant"),
    silent=dict(kind="transformer", lr=2e-2, schedule="cosine"),
)  # fmt: skip
def high_rate_never_falls(lr: Annotated[float, Within(HIGH_LR)], schedule: str) -> Verdict:
    """The learning rate is 3e-3 or more and stays constant to the last step.

    ## Why
    At a high rate the weights keep moving around their optimum; the last decibels are gained while the rate falls.

    ## Known limits
    Measured at the rates of LR010 and LR011. At a low rate the opposite holds, because every step matters, so the rule
    does not apply below 3e-3.
    """
    if schedule != "constant":
        return None
    return warning(
        f"lr {lr:g} stays at its peak until the last step", value=lr, threshold=HIGH_LR,
        patch={"optim.schedule": "cosine"},
    )  # fmt: skip


@check(
    "SC102", about=("train.eval_every", "optim.schedule"), fix="unsafe",
    source="a plateau is patience + 1 evaluations without progress", evidence="assumed",
    where={"schedule": OneOf("plateau")},
    fires=dict(schedule="plateau", eval_every=50, max_steps=500, patience=5),
    silent=dict(schedule="plateau", eval_every=50, max_steps=5000, patience=5),
)  # fmt: skip
def plateau_without_time_to_act(eval_every: Steps, total_steps: Steps, patience: Steps) -> Verdict:
    """The run has too few evaluations for its plateau schedule to lower the rate more than twice.

    ## Why
    Each reduction takes patience + 1 evaluations. With 10 evaluations and a patience of 5 the rate can be halved once,
    and only if validation stops improving early. The fix evaluates 40 times per run, if that is enough.

    ## Known limits
    This is an upper bound: while a run improves, the rate is not lowered. A cosine always falls (SC010).
    """
    most = total_steps // eval_every // (patience + 1)
    if most >= LEAST_REDUCTIONS:
        return None
    often = max(1, total_steps // SCORINGS)
    enough = total_steps // often // (patience + 1) >= LEAST_REDUCTIONS
    falls = ("never fall", "fall at most once", "fall at most twice")[most]
    return warning(
        f"{pluralize(total_steps // eval_every, 'evaluation')} in {pluralize(total_steps, 'step')}: with a patience of "
        f"{patience} the lr can {falls}",
        value=most, threshold=LEAST_REDUCTIONS, patch={"train.eval_every": often} if enough else {},
        advice="" if enough else "lower optim.plateau.patience", also=", or optim.schedule to cosine",
    )  # fmt: skip
