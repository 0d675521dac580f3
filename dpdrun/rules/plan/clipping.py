"""CL: the largest gradient norm that is applied. Decided by `model.kind`, never by the name of a class."""

from __future__ import annotations

import math

from dpdrun.rules.advice import recommended_value
from dpdrun.rules.engine import Finding, Severity, Skipped, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import outside_sweep
from dpdrun.rules.sources import MEASURED_UNITS, MEASURED_WIDTHS, NOTE, OPENDPD, WORTH, WORTH_TABLE

INF = math.inf

TRANSFORMER_CLIP = 1.0
RNN_CLIP = 200.0
MEASURED_CLIP = 1.0

# Gradient norms before clipping, with signals at unit rms and a mean squared error: in the first steps 3 (GRU) to 7
# (Transformer), late in training about 0.01, the least 0.002 (metrics.jsonl of recipes/quickstart*.yaml, seed 0).
FIRST_NORM = 7.0
LATE_NORM = 0.01
LEAST_NORM = 0.002
FAR_ABOVE = 10.0  # times the first norms: a clip that only a broken batch reaches


@rule(
    "CL001",
    sets="optim.clip_norm",
    source=NOTE,
    evidence="cited",
    box={"kind": ("transformer",)},
    requires=("CL010",),
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gru", hidden=16),
)
def clip_of_a_transformer(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Clip the gradient of a Transformer at norm 1.0.

    ## What it does
    Sets 1.0.

    ## Why
    The note: 200, the default of the code it was written for, never acts on a Transformer; 1.0 is usual.

    ## Known limits
    AdamW divides the gradient by its own size, so clipping every step by the same factor changes nothing; it only
    damps single large gradients. In our case study 200 instead of 1.0 made +0.39 dB at d_model 16, within the 0.46 dB
    that seeds differ by (CL010).

    ## Example
    Fires for a Transformer. Silent for a GRU.
    """
    return Finding("the note: 1.0 for a Transformer", {"optim.clip_norm": TRANSFORMER_CLIP})


@rule(
    "CL002",
    sets="optim.clip_norm",
    source=NOTE,
    evidence="cited",
    box={"kind": ("gru",)},
    requires=("CL011",),
    fires=lambda: PlanFacts(kind="gru"),
    silent=lambda: PlanFacts(kind="transformer"),
)
def clip_of_an_rnn(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Clip the gradient of an RNN at norm 200, which is in effect no clipping.

    ## What it does
    Sets 200.

    ## Why
    The note: 200 is for RNNs. It is the default of OpenDPD, whose GRUs train well with it.

    ## Known limits
    With signals of unit rms and a mean squared error the norm stays far below 200: CL202 says so after a run.

    ## Example
    Fires for a GRU. Silent for a Transformer.
    """
    return Finding("the note: 200 for an RNN", {"optim.clip_norm": RNN_CLIP})


@rule(
    "CL010",
    "measured",
    sets="optim.clip_norm",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": ("transformer",), "d_model": MEASURED_WIDTHS},
    fires=lambda: PlanFacts(kind="transformer", d_model=16),
    silent=lambda: PlanFacts(kind="transformer", d_model=512),
)
def clip_measured(facts: PlanFacts) -> Verdict:
    """Clip a Transformer at norm 1.0: some tenths of a dB in a short run, and insurance against a single bad batch.

    ## What it does
    Sets 1.0.

    ## Why
    Compared with no clipping at the best learning rate of each job; in runs of 1600 steps it made no difference. In our
    case study clip 200 instead of 1.0 made +0.39 dB in the mean of three seeds, which differ by 0.46 dB. One outlier in
    the capture makes one large gradient, which AdamW would remember for 1/(1 - beta2) steps; 1.0 bounds it.

    ## Known limits
    Compared at d_model 16 and 64. Not a remedy for a learning rate that is too high: under AdamW a lower clip is not a
    lower learning rate.

    ## Example
    Fires for d_model 16. Silent for d_model 512: the note's rule answers, with the same value.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    return Finding("bounds what a single bad batch can do", {"optim.clip_norm": MEASURED_CLIP})


@rule(
    "CL011",
    "measured",
    sets="optim.clip_norm",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    box={"kind": ("gru",), "hidden": MEASURED_UNITS},
    fires=lambda: PlanFacts(kind="gru", hidden=16),
    silent=lambda: PlanFacts(kind="gru", hidden=512),
)
def clip_of_a_small_gru(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Clip a small GRU at norm 1.0 as well, the setting with which its learning rates were measured.

    ## What it does
    Sets 1.0 from 8 to 64 units.

    ## Why
    As for a Transformer (CL010): it bounds what a single bad batch can do, and 200 would never act.

    ## Known limits
    Compared with no clipping at 16 units and 400 steps, not with other norms.

    ## Example
    Fires for a GRU of 16 units. Silent for 512 units: the note's rule answers.
    """
    return Finding("bounds what a single bad batch can do", {"optim.clip_norm": MEASURED_CLIP})


@rule(
    "CL101",
    purpose="check",
    source=f"{NOTE}: 200 never acts on a Transformer; gradient norms of our runs",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="unsafe",
    about=("optim.clip_norm",),
    box={"kind": ("transformer",), "clip_norm": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", clip_norm=200.0),
    silent=lambda: PlanFacts(kind="transformer", clip_norm=1.0),
)
def clip_out_of_reach(facts: PlanFacts) -> Verdict:
    """The clip of a Transformer lies far above any gradient norm that is to be expected.

    ## What it does
    Compares it with 70, ten times the norms of the first steps of our runs.

    ## Why
    With signals at unit rms the norm is 3 to 7 in the first steps and falls with the error. A clip of 200
    is then no clip, whatever the recipe says: the note names that as a cause of its failure. In our case study 200
    instead of 1.0 made +0.39 dB, where seeds differ by 0.46 dB.

    ## Known limits
    Says nothing where clipping is `off`, which is honest. A GRU's is CL103's. What a run really met, CL202 says.

    ## Example
    Fires for 200. Silent for 1.0.
    """
    return _out_of_reach(facts, "warning")


@rule(
    "CL102",
    purpose="check",
    source="gradient norms of our runs; AdamW divides a constant factor out again",
    evidence="assumed",
    fix="unsafe",
    about=("optim.clip_norm",),
    box={"kind": ("transformer", "gru"), "clip_norm": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", clip_norm=1e-3),
    silent=lambda: PlanFacts(kind="transformer", clip_norm=0.1),
)
def clip_below_every_norm(facts: PlanFacts) -> Verdict:
    """The clip lies below every gradient norm that is to be expected: every step is clipped.

    ## What it does
    Compares it with 0.002, the least norm of our runs, late in training; advises what the rules would set.

    ## Why
    All gradients then have the same norm. AdamW divides by the gradient's own size, so this is no lower learning rate;
    what remains is that batches with large errors count no more than others.

    ## Known limits
    Info only, for that reason. What a run really met, CL201 says.

    ## Example
    Fires for 0.001. Silent for 0.1.
    """
    clip = facts.clip_norm or 0.0
    if clip >= LEAST_NORM:
        return None
    ours = recommended_value("optim.clip_norm", facts) or MEASURED_CLIP
    return Finding(
        f"optim.clip_norm {clip:g} is below every gradient norm to be expected ({FIRST_NORM:g} in the first steps, "
        f"{LEAST_NORM:g} at the least): every step is clipped",
        {"optim.clip_norm": ours},
        evidence={"value": clip, "threshold": LEAST_NORM},
        advice=f"set optim.clip_norm to {ours:g}; a lower clip is not a lower learning rate under AdamW",
    )


@rule(
    "CL103",
    "measured",
    purpose="check",
    source=f"{OPENDPD} has 200 for its GRUs; gradient norms of our runs",
    evidence="cited",
    fix="unsafe",
    about=("optim.clip_norm",),
    box={"kind": ("gru",), "hidden": MEASURED_UNITS, "clip_norm": (0, INF)},
    fires=lambda: PlanFacts(kind="gru", hidden=16, clip_norm=200.0),
    silent=lambda: PlanFacts(kind="gru", hidden=16, clip_norm=1.0),
)
def clip_of_a_gru_out_of_reach(facts: PlanFacts) -> Verdict:
    """The clip of a GRU lies far above any gradient norm that is to be expected.

    ## What it does
    As CL101, but only as information.

    ## Why
    GRUs train well without clipping: OpenDPD's 200 is in effect none. That may be just right; it should be known.

    ## Known limits
    Silent where 200 is set by a rule (CL002): with `rules: note`, and outside 8 to 64 units.

    ## Example
    Fires for 200. Silent for 1.0.
    """
    return _out_of_reach(facts, "info")


def _out_of_reach(facts: PlanFacts, severity: Severity) -> Finding | None:
    clip = facts.clip_norm or 0.0
    if math.isinf(clip) or clip <= FAR_ABOVE * FIRST_NORM:
        return None
    return Finding(
        f"optim.clip_norm {clip:g} will not act: gradient norms are about {FIRST_NORM:g} at the start of training and "
        f"fall to {LATE_NORM:g}",
        {"optim.clip_norm": MEASURED_CLIP},
        severity,
        evidence={"value": clip, "threshold": FAR_ABOVE * FIRST_NORM},
        advice=f"set optim.clip_norm to {MEASURED_CLIP:g}, which bounds a single bad batch, or write off",
    )
