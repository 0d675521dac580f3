"""SP: whether the parts of a record are apart."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts

INF = math.inf
GRU_REACH = 64  # samples after which the state of a GRU has settled, as its burn-in (FR001)
GUARD = 256  # of `guard: auto` for a record that is not short (data/splits.py)


@rule(
    "SP101",
    purpose="check",
    source="an output near a cut remembers input of the other side; OpenDPD Studio drops 256 samples there",
    evidence="assumed",
    fix="unsafe",
    about=("data.split.guard",),
    box={"guard": (0, INF)},
    needs=("context",),
    fires=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, guard=0),
    silent=lambda: PlanFacts(kind="transformer", window=32, layers=2, conv=4, guard=256),
)
def windows_overlap_across_the_split(facts: PlanFacts) -> Verdict:
    """Fewer samples are dropped at the cuts of the record than an output looks back.

    ## What it does
    Compares `data.split.guard` with the receptive field of a windowed Transformer, or with 64 samples. Advises 256, or
    the receptive field where that is longer.

    ## Why
    Frames are drawn within a part, so none sees two parts. But an amplifier's output after a cut still depends on input
    before it, and the input itself is correlated over a symbol: the end of one part tells about the start of the next.

    ## Known limits
    It concerns a few hundred samples of a part. `guard: auto` is not judged: it is 256, less for a short record.

    ## Example
    Fires for a guard of 0. Silent for 256.
    """
    context = facts.context or 0.0
    reach = GRU_REACH if math.isinf(context) else math.ceil(context)
    if (facts.guard or 0) >= reach:
        return None
    wider = max(GUARD, reach)
    return Finding(
        f"data.split.guard {facts.guard} is less than the {reach} samples that an output looks back: windows reach "
        "across the cuts",
        {"data.split.guard": wider},
        "warning",
        evidence={"value": facts.guard, "threshold": reach},
        advice=f"set data.split.guard to {wider}, or leave it out",
    )
