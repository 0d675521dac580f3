"""PK: settings of the model kinds of plug-ins, which were not swept. No rule sets their learning rate."""

from __future__ import annotations

from dpdrun.rules.declare import Family
from dpdrun.rules.facts.words import PLUG_IN
from dpdrun.rules.plan.batching import GRU_BATCH
from dpdrun.rules.plan.clipping import MEASURED_CLIP
from dpdrun.rules.sources import SWEEP_WARMUP

OURS = "the setting with which dpdrun's own GRUs and Transformers were swept (benchmarks/regret)"
UNSWEPT = "Not compared for any kind of a plug-in. `dpdrun probe` measures the learning rate and the clip of yours."

of_plug_ins = Family(kinds=(PLUG_IN,))

of_plug_ins.constant(
    "PK001", "batch_of_a_plug_in", "train.batch_size", GRU_BATCH, source=OURS, evidence="assumed",
    summary="Batches of 32 frames for a kind of model from a plug-in.",
    why="as for our GRUs",
    page="Small batches give more steps for the same work. 32 is the batch of our GRUs; our Transformers take 8.",
    limits=UNSWEPT,
)  # fmt: skip

of_plug_ins.constant(
    "PK002", "schedule_of_a_plug_in", "optim.schedule", "cosine", source=OURS, evidence="assumed",
    summary="Decrease the learning rate along a cosine to zero, for a kind of model from a plug-in.",
    why="falls to zero within the planned run, which gains the last decibels",
    page="As SC010 for our own kinds: the last decibel is gained while the rate falls.",
    limits=UNSWEPT,
)  # fmt: skip

of_plug_ins.constant(
    "PK003", "warmup_of_a_plug_in", "optim.warmup", SWEEP_WARMUP, source=OURS, evidence="assumed",
    summary="Warmup of 5 % of all optimizer steps, for a kind of model from a plug-in.",
    why="as in our sweeps",
    page="AdamW's estimate of the gradient's variance is poor in the first steps; a short warmup costs nothing.",
    limits=UNSWEPT,
)  # fmt: skip

of_plug_ins.constant(
    "PK004", "clip_of_a_plug_in", "optim.clip_norm", MEASURED_CLIP, source=OURS, evidence="assumed",
    summary="Clip the gradient at norm 1.0, for a kind of model from a plug-in.",
    why="limits the effect of a single bad batch",
    page="As CL010 and CL011 for our own kinds: signals and targets have unit rms, so that norms are of similar size.",
    limits=UNSWEPT,
)  # fmt: skip
