"""MD: the network itself: sizes that cannot work together, and parts that amplifier models need."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.sources import WORTH, WORTH_TABLE

INF = math.inf

CONV = 4  # taps of our runs


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


@rule(
    "MD103",
    "measured",
    purpose="check",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    fix="unsafe",
    about=("model.features",),
    box={"kind": ("transformer",), "features": ("iq", "envelope")},
    fires=lambda: PlanFacts(kind="transformer", features="iq"),
    silent=lambda: PlanFacts(kind="transformer", features="envelope"),
)
def envelope_left_to_the_network(facts: PlanFacts) -> Verdict:
    """A Transformer is given I and Q alone, and has to find the envelope itself.

    ## What it does
    Warns of `features: iq`, and advises the envelope and its cube as further features.

    ## Why
    What an amplifier does to a sample depends on the envelope. It is not a linear function of I and Q, so an embedding
    cannot form it; the layers behind can, and spend themselves on it.

    ## Known limits
    Compared at d_model 16 and 64, at the learning rate that is best with the envelope. Two more products a sample;
    where those count, keep iq.

    ## Example
    Fires for iq. Silent for envelope.
    """
    if facts.features != "iq":
        return None
    return Finding(
        "the network is given I and Q alone; what an amplifier does depends on the envelope",
        {"model.features": "envelope"},
        "warning",
        evidence={"value": facts.features},
        advice="set model.features to envelope",
    )


@rule(
    "MD104",
    "measured",
    purpose="check",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    fix="unsafe",
    about=("model.conv",),
    box={"kind": ("transformer",), "conv": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", conv=0),
    silent=lambda: PlanFacts(kind="transformer", conv=4),
)
def nothing_mixes_neighbours(facts: PlanFacts) -> Verdict:
    """No convolution ahead of the attention: only attention sees more than one sample.

    ## What it does
    Warns of `conv: 0`, and advises 4 taps.

    ## Why
    Most of an amplifier's memory lies within a few samples. A convolution weighs them by place from the first step;
    attention has to learn where they are.

    ## Known limits
    Compared at d_model 16 and 64 with 4 taps; other lengths were not.

    ## Example
    Fires for 0. Silent for 4.
    """
    if facts.conv:
        return None
    return Finding(
        "nothing but attention sees more than one sample: neighbours are not weighed by place",
        {"model.conv": CONV},
        "warning",
        evidence={"value": 0, "threshold": 1},
        advice=f"set model.conv to {CONV}",
    )


@rule(
    "MD105",
    "measured",
    purpose="check",
    source=WORTH,
    evidence="measured",
    results=WORTH_TABLE,
    fix="unsafe",
    about=("model.skip", "model.residual_init"),
    box={"kind": ("transformer",), "skip": ("on", "off"), "residual_init": ("zero", "xavier")},
    fires=lambda: PlanFacts(kind="transformer", skip="off", residual_init="xavier"),
    silent=lambda: PlanFacts(kind="transformer", skip="on", residual_init="zero"),
)
def network_begins_as_noise(facts: PlanFacts) -> Verdict:
    """The network begins as noise: without the linear path past it, or with residual branches that are not silent.

    ## What it does
    Warns of `skip: off` and of `residual_init: xavier`, and advises `on` and `zero`.

    ## Why
    An amplifier is nearly linear: with the path past the network and silent branches a model begins as a linear one,
    and learns the small rest. So it bears the learning rates of LR010 from the first steps.

    ## Known limits
    Both were left out together, at d_model 16 and 64; in runs of 1600 steps it made no difference.

    ## Example
    Fires for off and xavier. Silent for on and zero.
    """
    wanted = {"model.skip": ("on", facts.skip), "model.residual_init": ("zero", facts.residual_init)}
    patch = {key: value for key, (value, now) in wanted.items() if now != value}
    if not patch:
        return None
    return Finding(
        "the network does not begin as a linear model of the amplifier",
        patch,
        "warning",
        evidence={"value": ", ".join(f"{key} {now}" for key, (value, now) in wanted.items() if now != value)},
        advice="set " + " and ".join(f"{key} to {value}" for key, value in patch.items()),
    )
