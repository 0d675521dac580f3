"""CL: the largest gradient norm that is applied. Decided by `model.kind`, never by the name of a class."""

from __future__ import annotations

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.facts import PlanFacts
from dpdrun.rules.sources import NOTE

TRANSFORMER_CLIP = 1.0
RNN_CLIP = 200.0
MEASURED_CLIP = 1.0


@rule(
    "CL001",
    "note",
    sets="optim.clip_norm",
    source=NOTE,
    evidence="cited",
    box={"kind": ("transformer",)},
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gru"),
)
def clip_of_a_transformer(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Clip the gradient of a Transformer at norm 1.0.

    ## What it does
    Sets 1.0.

    ## Why
    The note: 200, the default of the code it was written for, never acts on a Transformer; 1.0 is usual.

    ## Known limits
    AdamW divides the gradient by its own size, so clipping every step by the same factor changes nothing; it only
    damps single large gradients. In our runs 1.0 and 200 gave the same result (CL010).

    ## Example
    Fires for a Transformer. Silent for a GRU.
    """
    return Finding("the note: 1.0 for a Transformer", {"optim.clip_norm": TRANSFORMER_CLIP})


@rule(
    "CL002",
    "note",
    sets="optim.clip_norm",
    source=NOTE,
    evidence="cited",
    box={"kind": ("gru",)},
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
    source="our runs with clip 1.0 and 200 on APA_200MHz",
    evidence="measured",
    results="docs/results.md#what-each-rule-is-worth",
    box={"kind": ("transformer", "gru")},
    fires=lambda: PlanFacts(kind="gru"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def clip_measured(facts: PlanFacts) -> Verdict:  # noqa: ARG001 - its box is the whole condition
    """Clip at norm 1.0: no gain in a healthy run, insurance against a single bad batch.

    ## What it does
    Sets 1.0 for Transformers and GRUs.

    ## Why
    Clip 200 instead of 1.0 changed the result by less than 0.01 dB. One outlier in the capture makes one large
    gradient, which AdamW would remember for 1/(1 - beta2) steps; 1.0 bounds it.

    ## Known limits
    Not a remedy for a learning rate that is too high: under AdamW a lower clip is not a lower learning rate.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP.
    """
    return Finding("no difference to 200 in our runs; bounds a single bad batch", {"optim.clip_norm": MEASURED_CLIP})
