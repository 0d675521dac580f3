"""MD: sizes of the network that cannot work together."""

from __future__ import annotations

import math

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.facts import PlanFacts

INF = math.inf


@rule(
    "MD101",
    purpose="check",
    source="Vaswani et al. 2017, section 3.2.2: each head works on d_model / heads features",
    evidence="cited",
    fix="unsafe",
    box={"d_model": (1, INF), "heads": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", d_model=32, heads=5),
    silent=lambda: PlanFacts(kind="transformer", d_model=32, heads=4),
)
def heads_do_not_divide_d_model(facts: PlanFacts) -> Verdict:
    """The attention heads do not divide d_model.

    ## What it does
    Names the next smaller number of heads that does. An error: such a network cannot be built.

    ## Why
    Each head gets the same whole number of features.

    ## Known limits
    A recipe with such sizes is refused when it is read; this rule is for `dpdrun recommend` from flags.

    ## Example
    Fires for 5 heads on d_model 32. Silent for 4.
    """
    width, heads = facts.d_model or 1, facts.heads or 1
    if width % heads == 0:
        return None
    fitting = max(n for n in range(1, heads) if width % n == 0)
    return Finding(
        f"{heads} heads do not divide d_model {width}",
        {"model.heads": fitting},
        "error",
        evidence={"value": width / heads},
        advice=f"set model.heads to {fitting}, or model.d_model to {width // heads * heads or heads}",
    )
