"""The faults: one mutation each of the recipe, the data or the training, and the findings that name it.

Several codes can be right: a learning rate that is too high may show as updates that are too large, as a loss above
its start, or as a loss that alternates; each of these pages leads to the same change. Codes that only say that
something is bad (worse than one gain) count where nothing nearer to the cause can be seen from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.pathbench import data_faults as data
from benchmarks.pathbench import patches
from benchmarks.pathbench.cells import STEPS
from benchmarks.pathbench.healthy import SHORT_SAMPLES, TWIN
from benchmarks.pathbench.variant import Variant

ONLY_T = ("transformer",)
ONLY_G = ("gru",)


@dataclass(frozen=True, kw_only=True)
class Fault(Variant):
    """A variant with a name for what is wrong.

    Attributes:
        codes: findings that name it; one of them is enough.
        twin: the healthy variant that its runs are compared with.
        info_is_right: an info finding names it too, whatever it costs: what it calls for is no repair of the recipe.
    """

    codes: frozenset[str]
    twin: str = TWIN
    info_is_right: bool = False


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOO_HIGH = _codes("LR202 LR203 LR204 LS201 LS202 LS203 UP201 GN201 SK202 WU202")
TOO_LOW = _codes("LR201 LR204 UP202")
# A record of a fifth: what repeats once an epoch has to be seen in more than three of them.
SHORT = "short-record"
MISREAD = _codes("EV203 DM201")  # validation is not what training is


def _at(*steps: int) -> Callable[[int], bool]:
    return lambda step: step in steps


FAULTS = [
    # --- learning rate
    Fault(name="lr-x10", lr=10, codes=TOO_HIGH),
    Fault(name="lr-x30", lr=30, codes=TOO_HIGH),
    Fault(name="lr-x100", lr=100, codes=TOO_HIGH),
    Fault(name="lr-by-30", lr=1 / 30, codes=TOO_LOW),
    Fault(name="lr-by-300", lr=1 / 300, codes=TOO_LOW),
    # --- schedule
    Fault(name="no-warmup", sets=("optim.warmup=off",), codes=TOO_HIGH),
    Fault(name="warmup-60", sets=("optim.warmup=60%",), codes=_codes("WU201"), info_is_right=True),
    Fault(name="no-decay", sets=("optim.schedule=constant",), codes=_codes("LS203 LR203 UP201")),
    Fault(name="scheduler-per-epoch", patch=patches.realised(patches.per_epoch), codes=_codes("SC201 SC202")),
    Fault(name="scheduler-twice", patch=patches.realised(patches.twice), codes=_codes("SC201 SC202")),
    Fault(
        name="lr-stays-zero",
        patch=patches.scheduled(lambda plan, step: plan.lr if step < STEPS // 3 else 0.0),
        codes=_codes("SC201 SC202"),
    ),
    # --- clipping, optimizer
    Fault(name="clip-1e-3", sets=("optim.clip_norm=1e-3",), codes=_codes("CL201")),
    Fault(name="clip-1e6", sets=("optim.clip_norm=1e6",), codes=_codes("CL202"), info_is_right=True),
    Fault(
        name="norm-after-clipping",
        sets=("optim.clip_norm=0.02",),
        patch=patches.norm_after_clipping,
        codes=_codes("GN203"),
    ),
    Fault(name="eps-1e-4", sets=("optim.eps=1e-4",), codes=_codes("OP201")),
    Fault(name="eps-1e-2", sets=("optim.eps=1e-2",), codes=_codes("OP201")),
    Fault(name="decay-1", sets=("optim.weight_decay=1.0",), codes=_codes("UP205 GN201 GN202")),
    Fault(name="gradients-kept", patch=patches.gradients_kept, codes=TOO_HIGH | {"GN205", "CL201"}),
    Fault(name="moments-lost", patch=patches.moments_lost, stop=200, codes=_codes("SK201 SK202 LS202 WU202")),
    # --- model
    Fault(name="frozen-block", patch=patches.left_out("blocks.0."), kinds=ONLY_T, codes=_codes("UP203")),
    Fault(name="frozen-recurrence", patch=patches.left_out("weight_hh"), kinds=ONLY_G, codes=_codes("UP203")),
    Fault(name="frozen-head", patch=patches.left_out("head."), codes=_codes("UP203 GN204 UP204")),
    Fault(
        name="deep-no-residual",
        sets=("model.layers=6", "model.residual_init=xavier", "model.skip=off"),
        patch=patches.no_residual,
        kinds=ONLY_T,
        codes=_codes("GN204 UP204 DM201 LS203"),
    ),
    Fault(
        name="sharp-attention",
        patch=patches.built(patches.sharp_attention),
        kinds=ONLY_T,
        codes=_codes("UP206 GN204 UP203 UP204 LR203 SK201 SK202 SG210"),
    ),
    Fault(name="envelope-erased", patch=patches.built(patches.input_normalised), codes=_codes("SG208 SG209 DM201")),
    Fault(name="no-memory", sets=("model.window=1", "model.conv=0"), kinds=ONLY_T, codes=_codes("SG210")),
    Fault(name="clipped-output", patch=patches.built(patches.clipped_output), codes=_codes("SG207")),
    # --- batches
    Fault(name="nan-batch", patch=patches.batches(_at(180), patches.not_a_number), codes=_codes("LS201")),
    Fault(name="outlier-batch", patch=patches.batches(_at(180), patches.outlier), codes=_codes("SK201 SK202")),
    Fault(
        name="outlier-batches",
        patch=patches.batches(lambda step: step % 23 == 0, patches.outlier),
        codes=_codes("SK202 SK203 SK201"),
    ),
    Fault(
        name="never-shuffled",
        data=data.shortened(train=SHORT_SAMPLES),
        patch=patches.order(patches.in_file_order),
        twin=SHORT,
        codes=_codes("SK203"),
    ),
    Fault(
        name="bad-shard-in-order",
        data=lambda capture: data.misaligned_shard(data.shortened(train=SHORT_SAMPLES)(capture)),
        patch=patches.order(patches.in_file_order),
        twin=SHORT,
        codes=_codes("SK201 SK202 SK203"),
    ),
    Fault(name="one-shard-again", patch=patches.order(patches.one_shard_again), codes=_codes("EV201 EV203 EV204")),
    Fault(
        name="partial-windows",
        data=data.shortened(train=SHORT_SAMPLES),
        patch=patches.partial_windows,
        twin=SHORT,
        codes=_codes("SK203"),
    ),
    # --- data and scoring
    Fault(name="val-iq-swapped", data=data.target(data.swapped, "val"), codes=MISREAD | {"SG205"}),
    Fault(name="val-delayed", data=data.target(data.late(2), "val"), codes=MISREAD | {"SG204"}),
    Fault(name="val-gain", data=data.target(data.scaled(0.8), "val"), codes=MISREAD | {"SG206"}),
    Fault(name="target-early", data=data.target(data.early(6)), codes=_codes("SG204 SG212 SG209 DM201 SG210 SG208")),
    Fault(name="noisy-target", data=data.noisy(-25.0), codes=_codes("DM203"), info_is_right=True),
    Fault(name="padded-scoring", patch=patches.padded_scoring, codes=MISREAD | {"SG203"}),
    Fault(
        name="scored-10x-longer",
        sets=("model.window=full", "model.positions=sinusoidal", "train.eval_every=50"),
        data=data.shortened(val=2560),
        kinds=ONLY_T,
        codes=_codes("SG201 SG202 EV203"),
    ),
    Fault(name="learnt-by-heart", data=data.shortened(train=300), codes=_codes("EV201 EV203 EV204")),
]
FAULT_OF = {fault.name: fault for fault in FAULTS}
