"""BT: how many frames make a step."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import MEASURED_UNITS, MEASURED_WIDTHS, NOTE, WORTH, WORTH_TABLE

NETWORKS = ("transformer", "gru")
INF = math.inf

NOTE_BATCH = 256
MEASURED_BATCH = 8
GRU_BATCH = 32


@rule(
    "BT001",
    sets="train.batch_size",
    source=NOTE,
    evidence="cited",
    box={"kind": NETWORKS},
    uses=("frames_per_epoch",),
    requires=("BT010", "BT011"),
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def batch_of_the_note(facts: PlanFacts) -> Verdict:
    """Batches of 256 frames, the least that the note advises.

    ## What it does
    Sets 256; a smaller one in a recipe is kept and reported (BT101).

    ## Why
    The note: as large as possible, 256 or more. OpenDPD's default is 256 too.

    ## Known limits
    The note counts frames that overlap by all but one sample; 256 of them hold far less than 256 independent ones, and
    here frames of one pass do not overlap. Where a pass has fewer than 256 frames the line says so: a step then sees
    the record more than once. It says this of Transformers; for a GRU, OpenDPD's default is the same number.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP, which is fitted in one pass.
    """
    why, frames = "the note: 256 or more; its least", facts.frames_per_epoch
    if frames is not None and frames < NOTE_BATCH:
        why += f". Its frames overlap, ours do not: a step takes {NOTE_BATCH / frames:.1f} passes of {frames} frames"
    return Finding(why, {"train.batch_size": NOTE_BATCH}, evidence={"low": NOTE_BATCH, "high": None})


@rule(
    "BT010",
    "measured",
    sets="train.batch_size",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": ("transformer",), "d_model": MEASURED_WIDTHS},
    fires=lambda: PlanFacts(kind="transformer", d_model=16),
    silent=lambda: PlanFacts(kind="transformer", d_model=512),
)
def batch_of_our_sweep(facts: PlanFacts) -> Verdict:
    """Small batches for a Transformer: at equal work, more steps are worth more than smoother ones.

    ## What it does
    Sets 8 frames, 2048 samples with frames of 256. Against the note's 256: its frames overlap by all but one sample, so
    a batch of them holds about as much signal as two of ours, which do not overlap.

    ## Why
    32 frames in a quarter of the steps lost decibels in short runs and tenths in long ones; 4 frames in twice the steps
    made no difference. Below 8 a step has too little work to be efficient.

    ## Known limits
    Compared at d_model 16 and 64, the learning rate being that of 8 frames; the best rate hardly moves with the batch
    (LR010). On a GPU a larger batch may cost no more time; then raise it.

    ## Example
    Fires for d_model 16. Silent for d_model 512: the note's rule answers.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    why = f"{MEASURED_BATCH} frames that do not overlap; at equal work 32 in a quarter of the steps lose"
    return Finding(why, {"train.batch_size": MEASURED_BATCH})


@rule(
    "BT011",
    "measured",
    sets="train.batch_size",
    source="the setting of our sweeps over the learning rate of GRUs; batches were not compared at equal work",
    evidence="assumed",
    box={"kind": ("gru",), "hidden": MEASURED_UNITS},
    fires=lambda: PlanFacts(kind="gru", hidden=16),
    silent=lambda: PlanFacts(kind="gru", hidden=512),
)
def batch_of_a_small_gru(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Batches of 32 frames for a small GRU, those of our sweeps over its learning rate.

    ## What it does
    Sets 32.

    ## Why
    A GRU goes through a frame sample by sample, so a step takes about as long with 32 frames as with 8.

    ## Known limits
    Not compared with other batches at equal work.

    ## Example
    Fires for 16 units. Silent for 512: the note's rule answers.
    """
    return Finding("the setting of our sweeps; frames do not overlap", {"train.batch_size": GRU_BATCH})


@rule(
    "BT101",
    "note",
    purpose="check",
    source=NOTE,
    evidence="cited",
    fix="unsafe",
    about=("train.batch_size",),
    box={"kind": NETWORKS, "batch": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", batch=64),
    silent=lambda: PlanFacts(kind="transformer", batch=256),
)
def batch_below_the_note(facts: PlanFacts) -> Verdict:
    """The batch is smaller than the note's least, 256.

    ## What it does
    Warns; the batch of the recipe is kept.

    ## Why
    The note asks for batches as large as possible, 256 or more, for a less noisy gradient.

    ## Known limits
    Only with `rules: note`. The best published networks of this kind use 64 (OpenDPDv2), our sweeps 8 (BT010).

    ## Example
    Fires for 64. Silent for 256.
    """
    if (facts.batch or 0) >= NOTE_BATCH:
        return None
    return Finding(
        f"train.batch_size is {facts.batch}; the note asks for {NOTE_BATCH} or more",
        {"train.batch_size": NOTE_BATCH},
        "warning",
        evidence={"value": facts.batch, "threshold": NOTE_BATCH},
        advice=f"set train.batch_size to {NOTE_BATCH}, or keep it and judge by validation NMSE",
    )


@rule(
    "BT102",
    "measured",
    purpose="check",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    about=("train.batch_size",),
    box={"kind": ("transformer",), "d_model": MEASURED_WIDTHS, "batch": (1, INF)},
    uses=("frame",),
    fires=lambda: PlanFacts(kind="transformer", d_model=16, batch=256, frame=256),
    silent=lambda: PlanFacts(kind="transformer", d_model=16, batch=8, frame=256),
)
def batch_as_if_frames_overlapped(facts: PlanFacts) -> Verdict:
    """A batch of the note's size, of frames that do not overlap.

    ## What it does
    Says from 256 frames on how much signal a step takes, and what as much work in small batches is.

    ## Why
    The note's 256 frames overlap by all but one sample and hold about as much as two of ours. At equal work fewer,
    smoother steps lost decibels: 32 frames against 8 in a quarter of the steps (BT010).

    ## Known limits
    Info only: at equal steps a larger batch loses nothing, and on a GPU it may cost no more time. Measured with 32
    frames against 8, not with 256. Silent where our sweeps say nothing: full attention, other widths, GRUs.

    ## Example
    Fires for 256 frames at d_model 16. Silent for 8.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    batch = facts.batch or 0
    if batch < NOTE_BATCH:
        return None
    size = "" if facts.frame is None else f" ({batch * facts.frame:,} samples)"
    return Finding(
        f"a step takes {batch} frames{size}: ours do not overlap as the note's do, whose {NOTE_BATCH} hold about as "
        "much as two of ours",
        evidence={"value": batch, "threshold": NOTE_BATCH},
        advice=f"at equal work more steps are worth more than smoother ones: {MEASURED_BATCH} frames in "
        f"{batch // MEASURED_BATCH} times the steps (train.batch_size {MEASURED_BATCH} with the same epochs)",
    )
