"""MD: sizes of the network that cannot work together."""

from __future__ import annotations

import math

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.plan_facts import PlanFacts

INF = math.inf


@rule(
    "MD101",
    purpose="check",
    source="Vaswani et al. 2017, section 3.2.2: each head works on d_model / heads features",
    evidence="cited",
    fix="unsafe",
    about=("model.heads",),
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


@rule(
    "MD102",
    purpose="check",
    source="our case study: a plain linear embedding instead, APA_200MHz",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="unsafe",
    about=("model.embedding",),
    box={"kind": ("transformer",)},
    needs=("embedding",),
    fires=lambda: PlanFacts(kind="transformer", embedding="layernorm_mlp"),
    silent=lambda: PlanFacts(kind="transformer", embedding="linear"),
)
def layernorm_on_raw_iq(facts: PlanFacts) -> Verdict:
    """A LayerNorm on the raw I and Q samples erases the envelope.

    ## What it does
    Warns of `embedding: layernorm_mlp`, and advises the plain linear one.

    ## Why
    A LayerNorm of the features of one sample divides by their size. The size of I and Q is the envelope, which is what
    an amplifier distorts by. In our case study the step from it to a linear embedding went from -14.41 dB to -19.32 dB.

    ## Known limits
    One step of one study, with one seed. Norms inside the blocks are another matter: there the envelope has become one
    feature among many.

    ## Example
    Fires for layernorm_mlp. Silent for linear.
    """
    if facts.embedding != "layernorm_mlp":
        return None
    return Finding(
        "a LayerNorm on raw I and Q divides by the envelope, which is what an amplifier distorts by "
        "(-14.41 dB with it, -19.32 dB without, in our case study)",
        {"model.embedding": "linear"},
        "warning",
        evidence={"value": facts.embedding},
        advice="set model.embedding to linear",
    )
