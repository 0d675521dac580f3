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
    """Batches of 256 frames, the minimum in the founding Transformer note.

    ## Why
    The note: as large as possible, 256 or more. OpenDPD's default is 256 too. A smaller batch in a recipe is kept and
    reported (BT101).

    ## Known limits
    The note counts frames that overlap by all but one sample; 256 of them hold far less than 256 independent ones, and
    here the frames of one pass do not overlap. If a pass has fewer than 256 frames, the reason says so: a step then
    sees the record more than once. The note is about Transformers; for a GRU, OpenDPD's default is the same.
    """
    why = "the note: 256 or more"
    if frames_per_epoch is not None and frames_per_epoch < NOTE_BATCH:
        passes = f"{NOTE_BATCH / frames_per_epoch:.1f} passes of {frames_per_epoch} frames"
        why += f". Unlike the note's, these frames do not overlap: a step takes {passes}"
    return Choice(NOTE_BATCH, why, {"low": NOTE_BATCH, "high": None})


constant(
    "BT010", "batch_of_our_sweep", "train.batch_size", MEASURED_BATCH, profile="measured", source=WORTH,
    evidence="measured", results=WORTH_TABLE, kinds=("transformer",), where=SWEPT_WIDTHS, premise=outside_sweep,
    summary="Small batches for a Transformer: for the same compute, more steps are better than less noisy ones.",
    why="8 non-overlapping frames; with the same compute, 32 in a quarter of the steps did worse",
    page="""
    8 frames of 256 are 2048 samples. In the founding Transformer note (docs/note.md), frames overlap by all but one
    sample, so a batch of 256 holds about as much signal as two of these frames. With 32 frames in a quarter of the
    steps, the NMSE was worse by several dB in short runs and by tenths of a dB in long ones; 4 frames in twice the
    steps made no difference. With fewer than 8 frames, a step is too small to be efficient.
    """,
    limits="""
    Compared at d_model 16 and 64, with the learning rate for 8 frames; the best rate hardly depends on the batch size
    (LR010). On a GPU a larger batch may take no more time; then increase it.
    """,
    fires=dict(kind="transformer", d_model=16), silent=dict(kind="transformer", d_model=512),
)  # fmt: skip

constant(
    "BT011", "batch_of_a_small_gru", "train.batch_size", GRU_BATCH, profile="measured", evidence="assumed",
    source="the setting of our learning-rate sweeps of GRUs; batch sizes were not compared",
    kinds=("gru",), where=SWEPT_UNITS,
    summary="Batches of 32 frames for a small GRU, as in our learning-rate sweeps.",
    why="the setting of our sweeps; frames do not overlap",
    page="A GRU processes a frame sample by sample, so a step takes about as long with 32 frames as with 8.",
    limits="Not compared with other batch sizes.",
    fires=dict(kind="gru", hidden=16), silent=dict(kind="gru", hidden=512),
)  # fmt: skip


@check(
    "BT101", about=("train.batch_size",), profile="note", kinds=NETWORKS, source=NOTE, evidence="cited", fix="unsafe",
    fires=dict(kind="transformer", batch=64), silent=dict(kind="transformer", batch=256),
)  # fmt: skip
def batch_below_the_note(batch: Steps) -> Verdict:
    """The batch is smaller than 256, the minimum in the founding Transformer note.

    ## Why
    The note recommends batches as large as possible, 256 or more, for a less noisy gradient.

    ## Known limits
    Only with `rules: note`. The best published networks of this kind use 64 (OpenDPDv2), our sweeps 8 (BT010).
    """
    if batch >= NOTE_BATCH:
        return None
    return warning(
        f"train.batch_size is {batch}; the note recommends {NOTE_BATCH} or more",
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
    """A batch of the size in the founding Transformer note, but of frames that do not overlap.

    ## Why
    The note's 256 frames overlap by all but one sample and hold about as much signal as two frames of dpdrun. For the
    same compute, fewer but less noisy steps gave a worse NMSE: 32 instead of 8 frames in a quarter of the steps
    (BT010).

    ## Known limits
    Info only: with the same number of steps a larger batch is no worse, and on a GPU it may take no more time. Measured
    for 32 and 8 frames, not for 256. Does not apply outside of our sweeps: full attention, other widths, GRUs.
    """
    if batch < NOTE_BATCH:
        return None
    size = "" if frame is None else f" ({batch * frame:,} samples)"
    return info(
        f"a step takes {batch} non-overlapping frames{size}; the note's {NOTE_BATCH} overlap, and hold about as much "
        "signal as two of these",
        value=batch, threshold=NOTE_BATCH,
        advice=f"for the same compute, prefer {MEASURED_BATCH} frames in {batch // MEASURED_BATCH} times the steps "
        f"(train.batch_size {MEASURED_BATCH} with the same epochs)",
    )  # fmt: skip
