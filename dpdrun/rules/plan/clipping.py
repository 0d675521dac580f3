"""CL: the largest gradient norm that is applied. Decided by `model.kind`, never by the name of a class."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.advice import recommended_value
from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import NETWORKS, check, constant, finding, info
from dpdrun.rules.engine import Severity, Verdict
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import NOTE, OPENDPD, SWEPT_UNITS, SWEPT_WIDTHS, WORTH, WORTH_TABLE

TRANSFORMER_CLIP = 1.0
RNN_CLIP = 200.0
MEASURED_CLIP = 1.0

# Gradient norms before clipping, with signals at unit rms and a mean squared error: in the first steps 3 (GRU) to 7
# (Transformer), late in training about 0.01, the least 0.002 (metrics.jsonl of recipes/quickstart*.yaml, seed 0).
FIRST_NORM = 7.0
LATE_NORM = 0.01
LEAST_NORM = 0.002
FAR_ABOVE = 10.0  # times the first norms: a clip that only a broken batch reaches

Clip = Annotated[float, Within(0)]

constant(
    "CL001", "clip_of_a_transformer", "optim.clip_norm", TRANSFORMER_CLIP, kinds=("transformer",), source=NOTE,
    evidence="cited", requires=("CL010",),
    summary="Clip the gradient of a Transformer at norm 1.0.",
    why="the note: 1.0 for a Transformer",
    page="""
    The founding Transformer note (docs/note.md): a clip of 200, the default of the code it was written for, never takes
    effect for a Transformer; 1.0 is usual.
    """,
    limits="""
    AdamW divides the gradient by its own size, so clipping every step by the same factor changes nothing; it only
    limits single large gradients. In our case study a clip of 200 instead of 1.0 changed the NMSE by +0.39 dB at
    d_model 16, within the 0.46 dB by which seeds differ (CL010).
    """,
    silent=dict(kind="gru", hidden=16),
)  # fmt: skip

constant(
    "CL002", "clip_of_an_rnn", "optim.clip_norm", RNN_CLIP, kinds=("gru",), source=NOTE, evidence="cited",
    requires=("CL011",),
    summary="Clip the gradient of an RNN at norm 200, which is effectively no clipping.",
    why="the note: 200 for an RNN",
    page="""
    The founding Transformer note (docs/note.md): 200 is for RNNs. It is the default of OpenDPD, whose GRUs train well
    with it.
    """,
    limits="With signals of unit rms and a mean squared error the norm stays far below 200 (CL202).",
    silent=dict(kind="transformer"),
)  # fmt: skip

constant(
    "CL010", "clip_measured", "optim.clip_norm", MEASURED_CLIP, profile="measured", kinds=("transformer",),
    where=SWEPT_WIDTHS, premise=outside_sweep, source=WORTH, evidence="measured", results=WORTH_TABLE,
    summary="Clip a Transformer at norm 1.0: gains tenths of a dB in a short run and limits the effect of a bad batch.",
    why="limits the effect of a single bad batch",
    page="""
    Compared with no clipping at the best learning rate of each job; in runs of 1600 steps it made no difference. In our
    case study a clip of 200 instead of 1.0 changed the NMSE by +0.39 dB on average over three seeds, which differ by
    0.46 dB. An outlier in the capture causes a large gradient, which would affect AdamW's steps for 1/(1 - beta2)
    steps; a clip of 1.0 limits it.
    """,
    limits="""
    Compared at d_model 16 and 64. Not a remedy for a learning rate that is too high: with AdamW a lower clip does not
    lower the learning rate.
    """,
    fires=dict(kind="transformer", d_model=16), silent=dict(kind="transformer", d_model=512),
)  # fmt: skip

constant(
    "CL011", "clip_of_a_small_gru", "optim.clip_norm", MEASURED_CLIP, profile="measured", kinds=("gru",),
    where=SWEPT_UNITS, source=WORTH, evidence="measured", results=WORTH_TABLE,
    summary="Clip a small GRU at norm 1.0 as well, the setting with which its learning rates were measured.",
    why="limits the effect of a single bad batch",
    page="As for a Transformer (CL010): it limits the effect of a single bad batch, which 200 would not.",
    limits="Compared with no clipping at 16 units and 400 steps, not with other norms.",
    fires=dict(kind="gru", hidden=16), silent=dict(kind="gru", hidden=512),
)  # fmt: skip


@check(
    "CL101", about=("optim.clip_norm",), kinds=("transformer",), fix="unsafe", evidence="measured",
    source=f"{NOTE}: 200 never acts on a Transformer; gradient norms of our runs", results="docs/results.md#case-study",
    fires=dict(kind="transformer", clip_norm=200.0), silent=dict(kind="transformer", clip_norm=1.0),
)  # fmt: skip
def clip_out_of_reach(clip_norm: Clip) -> Verdict:
    """The clip of a Transformer is above 70, ten times the gradient norms of the first steps, so it never takes effect.

    ## Why
    With signals at unit rms the norm is 3 to 7 in the first steps and falls with the error. A clip of 200 then has no
    effect; the founding Transformer note (docs/note.md) lists that as a cause of the failed training. In our case study
    a clip of 200 instead of 1.0 changed the NMSE by +0.39 dB, where seeds differ by 0.46 dB.

    ## Known limits
    Does not apply if clipping is `off`. CL103 checks GRUs. CL202 checks the norms of a run.
    """
    return _out_of_reach(clip_norm, "warning")


@check(
    "CL102", about=("optim.clip_norm",), kinds=NETWORKS, fix="unsafe", evidence="assumed",
    source="gradient norms of our runs; AdamW cancels a constant factor",
    fires=dict(kind="transformer", clip_norm=1e-3), silent=dict(kind="transformer", clip_norm=0.1),
)  # fmt: skip
def clip_below_every_norm(facts: PlanFacts, clip_norm: Clip) -> Verdict:
    """The clip is below the smallest gradient norm expected (0.002, late in training), so every step is clipped.

    ## Why
    All gradients then have the same norm. AdamW divides by the size of the gradient, so this does not lower the
    learning rate; the effect is that batches with large errors count no more than others. The fix is the value that the
    rules would set.

    ## Known limits
    Info only, for that reason. CL201 checks the norms of a run.
    """
    if clip_norm >= LEAST_NORM:
        return None
    ours = recommended_value("optim.clip_norm", facts) or MEASURED_CLIP
    return info(
        f"optim.clip_norm {clip_norm:g} is below all expected gradient norms ({FIRST_NORM:g} in the first steps, at "
        f"least {LEAST_NORM:g} later): every step is clipped",
        value=clip_norm, threshold=LEAST_NORM, patch={"optim.clip_norm": ours},
        also="; with AdamW a lower clip does not lower the learning rate",
    )  # fmt: skip


@check(
    "CL103", about=("optim.clip_norm",), profile="measured", kinds=("gru",), where=SWEPT_UNITS, fix="unsafe",
    source=f"{OPENDPD} has 200 for its GRUs; gradient norms of our runs", evidence="cited",
    fires=dict(kind="gru", hidden=16, clip_norm=200.0), silent=dict(kind="gru", hidden=16, clip_norm=1.0),
)  # fmt: skip
def clip_of_a_gru_out_of_reach(clip_norm: Clip) -> Verdict:
    """The clip of a GRU is far above all expected gradient norms.

    ## Why
    GRUs train well without clipping, and OpenDPD's 200 is effectively none. That may be intended, but should be a
    deliberate choice.

    ## Known limits
    Info only. Does not apply where a rule sets 200 (CL002): with `rules: note`, and outside 8 to 64 units.
    """
    return _out_of_reach(clip_norm, "info")


def _out_of_reach(clip: float, severity: Severity) -> Verdict:
    if math.isinf(clip) or clip <= FAR_ABOVE * FIRST_NORM:
        return None
    return finding(
        severity,
        f"optim.clip_norm {clip:g} will have no effect: gradient norms are about {FIRST_NORM:g} at the start of "
        f"training and fall to {LATE_NORM:g}",
        value=clip, threshold=FAR_ABOVE * FIRST_NORM, patch={"optim.clip_norm": MEASURED_CLIP},
        also=", which limits the effect of a bad batch, or to off",
    )  # fmt: skip
