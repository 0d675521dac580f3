"""BT: how many frames make a step."""

from __future__ import annotations

from dpdrun.rules.declare import NETWORKS, Steps, check, constant, derive, info, warning
from dpdrun.rules.engine import Choice, Verdict
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import NOTE, SWEPT_UNITS, SWEPT_WIDTHS, WORTH, WORTH_TABLE

NOTE_BATCH = 256
MEASURED_BATCH = 8
GRU_BATCH = 32


@derive(
    "BT001", sets="train.batch_size", kinds=NETWORKS, source=NOTE, evidence="cited", requires=("BT010", "BT011"),
    fires=dict(kind="transformer"), silent=dict(kind="gmp"),
)  # fmt: skip
def batch_of_the_note(frames_per_epoch: int | None = None) -> Choice:
    """Batches of 256 frames, the least that the founding Transformer note advises.

    ## Why
    The note: as large as possible, 256 or more. OpenDPD's default is 256 too. A smaller batch in a recipe is kept and
    reported (BT101).

    ## Known limits
    The note counts frames that overlap by all but one sample; 256 of them hold far less than 256 independent ones, and
    here the frames of one pass do not overlap. Where a pass has fewer than 256 frames the reason says so: a step then
    sees the record more than once. The note says this of Transformers; for a GRU, OpenDPD's default is the same.
    """
    why = "the note: 256 or more; its least"
    if frames_per_epoch is not None and frames_per_epoch < NOTE_BATCH:
        passes = f"{NOTE_BATCH / frames_per_epoch:.1f} passes of {frames_per_epoch} frames"
        why += f". Its frames overlap, ours do not: a step takes {passes}"
    return Choice(NOTE_BATCH, why, {"low": NOTE_BATCH, "high": None})


constant(
    "BT010", "batch_of_our_sweep", "train.batch_size", MEASURED_BATCH, profile="measured", source=WORTH,
    evidence="measured", results=WORTH_TABLE, kinds=("transformer",), where=SWEPT_WIDTHS, premise=outside_sweep,
    summary="Small batches for a Transformer: at equal work, more steps are worth more than smoother ones.",
    why="8 frames that do not overlap; at equal work 32 in a quarter of the steps lose",
    page="""
    8 frames of 256 are 2048 samples; a batch of 256 frames of the founding Transformer note (docs/note.md), which
    overlap by all but one sample, holds about as much signal as two of them. 32 frames in a quarter of the steps lost
    decibels in short runs and tenths in long ones; 4 frames in twice the steps made no difference. Below 8 a step has
    too little work to be efficient.
    """,
    limits="""
    Compared at d_model 16 and 64, with the learning rate of 8 frames; the best rate hardly moves with the batch
    (LR010). On a GPU a larger batch may cost no more time; then raise it.
    """,
    fires=dict(kind="transformer", d_model=16), silent=dict(kind="transformer", d_model=512),
)  # fmt: skip

constant(
    "BT011", "batch_of_a_small_gru", "train.batch_size", GRU_BATCH, profile="measured", evidence="assumed",
    source="the setting of our sweeps over the learning rate of GRUs; batches were not compared at equal work",
    kinds=("gru",), where=SWEPT_UNITS,
    summary="Batches of 32 frames for a small GRU, as in our sweeps over its learning rate.",
    why="the setting of our sweeps; frames do not overlap",
    page="A GRU processes a frame sample by sample, so a step takes about as long with 32 frames as with 8.",
    limits="Not compared with other batches at equal work.",
    fires=dict(kind="gru", hidden=16), silent=dict(kind="gru", hidden=512),
)  # fmt: skip


@check(
    "BT101", about=("train.batch_size",), profile="note", kinds=NETWORKS, source=NOTE, evidence="cited", fix="unsafe",
    fires=dict(kind="transformer", batch=64), silent=dict(kind="transformer", batch=256),
)  # fmt: skip
def batch_below_the_note(batch: Steps) -> Verdict:
    """The batch is smaller than 256, the least that the founding Transformer note advises.

    ## Why
    The note asks for batches as large as possible, 256 or more, for a less noisy gradient.

    ## Known limits
    Only with `rules: note`. The best published networks of this kind use 64 (OpenDPDv2), our sweeps 8 (BT010).
    """
    if batch >= NOTE_BATCH:
        return None
    return warning(
        f"train.batch_size is {batch}; the note asks for {NOTE_BATCH} or more",
        value=batch, threshold=NOTE_BATCH, patch={"train.batch_size": NOTE_BATCH},
        also=", or keep it and judge by validation NMSE",
    )  # fmt: skip


@check(
    "BT102", about=("train.batch_size",), profile="measured", kinds=("transformer",), where=SWEPT_WIDTHS,
    premise=outside_sweep, source=WORTH, evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", d_model=16, batch=256, frame=256),
    silent=dict(kind="transformer", d_model=16, batch=8, frame=256),
)  # fmt: skip
def batch_as_if_frames_overlapped(batch: Steps, frame: int | None = None) -> Verdict:
    """A batch of the size that the founding Transformer note advises, of frames that do not overlap.

    ## Why
    The note's 256 frames overlap by all but one sample and hold about as much as two of ours. At equal work fewer,
    smoother steps lost decibels: 32 frames against 8 in a quarter of the steps (BT010).

    ## Known limits
    Info only: at equal steps a larger batch loses nothing, and on a GPU it may cost no more time. Measured with 32
    frames against 8, not with 256. Silent where our sweeps say nothing: full attention, other widths, GRUs.
    """
    if batch < NOTE_BATCH:
        return None
    size = "" if frame is None else f" ({batch * frame:,} samples)"
    return info(
        f"a step takes {batch} frames{size}: ours do not overlap as the note's do, whose {NOTE_BATCH} hold about as "
        "much as two of ours",
        value=batch, threshold=NOTE_BATCH,
        advice=f"at equal work more steps are worth more than smoother ones: {MEASURED_BATCH} frames in "
        f"{batch // MEASURED_BATCH} times the steps (train.batch_size {MEASURED_BATCH} with the same epochs)",
    )  # fmt: skip
