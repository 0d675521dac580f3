"""MD: the network itself: sizes that cannot work together, and parts that amplifier models need."""

from __future__ import annotations

from typing import Annotated

from dpdrun.rules.conditions import OneOf, Within
from dpdrun.rules.declare import NETWORKS, Steps, check, error, warning
from dpdrun.rules.engine import Verdict
from dpdrun.rules.sources import WORTH, WORTH_TABLE

CONV = 4  # taps of our runs


@check(
    "MD101", about=("model.heads",), fix="unsafe", evidence="cited",
    source="Vaswani et al. 2017, section 3.2.2: each head works on d_model / heads features",
    fires=dict(kind="transformer", d_model=32, heads=5), silent=dict(kind="transformer", d_model=32, heads=4),
)  # fmt: skip
def heads_do_not_divide_d_model(d_model: Steps, heads: Steps) -> Verdict:
    """The attention heads do not divide d_model.

    ## Why
    All heads get the same whole number of features, so such a network cannot be built. The fix is the next smaller
    number of heads that divides d_model.

    ## Known limits
    A recipe with such sizes is already refused when it is loaded; this rule is for `dpdrun recommend` with flags.
    """
    if d_model % heads == 0:
        return None
    fitting = max(n for n in range(1, heads) if d_model % n == 0)
    return error(
        f"{heads} heads do not divide d_model {d_model}", value=d_model / heads, patch={"model.heads": fitting},
        also=f", or model.d_model to {d_model // heads * heads or heads}",
    )  # fmt: skip


@check(
    "MD102", about=("model.embedding",), kinds=("transformer",), fix="unsafe", evidence="measured",
    source="our case study: a linear embedding instead, APA_200MHz", results="docs/results.md#case-study",
    fires=dict(kind="transformer", embedding="layernorm_mlp"), silent=dict(kind="transformer", embedding="linear"),
)  # fmt: skip
def layernorm_on_raw_iq(embedding: str) -> Verdict:
    """A LayerNorm on the raw I and Q samples erases the envelope.

    ## Why
    A LayerNorm over the features of one sample divides by their magnitude. The magnitude of I and Q is the envelope, on
    which the distortion of an amplifier depends. In our case study, replacing it by a linear embedding improved the
    NMSE from -14.41 dB to -19.32 dB.

    ## Known limits
    One step of one study, with one seed. Norms inside the blocks do no such harm: there the envelope is one feature
    among many.
    """
    if embedding != "layernorm_mlp":
        return None
    return warning(
        "a LayerNorm on raw I and Q divides by the envelope, on which the distortion depends "
        "(-14.41 dB with it, -19.32 dB without, in our case study)",
        value=embedding, patch={"model.embedding": "linear"},
    )  # fmt: skip


@check(
    "MD103", about=("model.features",), profile="measured", kinds=NETWORKS, fix="unsafe",
    source=WORTH, evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", features="iq"), silent=dict(kind="transformer", features="envelope"),
)  # fmt: skip
def envelope_left_to_the_network(features: Annotated[str, OneOf("iq", "envelope")]) -> Verdict:
    """The only features of the network are I and Q, so it has to compute the envelope itself.

    ## Why
    The distortion of a sample depends on the envelope. The envelope is not a linear function of I and Q, so an
    embedding cannot compute it; the layers after it, or the gates of a GRU, can, but this takes up their capacity. The
    fix adds the envelope and its cube.

    ## Known limits
    Compared at d_model 16 and 64, at the learning rate that is best with the envelope. One GRU was compared, in 500
    steps of recipes/quickstart_gru.yaml with seeds 0 to 2: without the envelope it lost 3.63 dB (median;
    docs/results.md#envelope-of-a-gru). The envelope takes two more products per sample; if those matter, keep iq.
    """
    if features != "iq":
        return None
    return warning(
        "the only features are I and Q, but the distortion depends on the envelope",
        value=features, patch={"model.features": "envelope"},
    )  # fmt: skip


@check(
    "MD104", about=("model.conv",), profile="measured", kinds=("transformer",), fix="unsafe",
    source=WORTH, evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", conv=0), silent=dict(kind="transformer", conv=4),
)  # fmt: skip
def nothing_mixes_neighbours(conv: Annotated[int, Within(0)]) -> Verdict:
    """There is no convolution before the attention, so only the attention combines samples.

    ## Why
    Most of an amplifier's memory is within a few samples. A convolution weights them by position from the first step;
    attention has to learn the positions.

    ## Known limits
    Compared at d_model 16 and 64 with 4 taps; other lengths were not compared.
    """
    if conv:
        return None
    return warning(
        "only attention combines samples: there is no convolution to weight neighbouring samples by position",
        value=0, threshold=1, patch={"model.conv": CONV},
    )  # fmt: skip


@check(
    "MD105", about=("model.skip", "model.residual_init"), profile="measured", kinds=("transformer",), fix="unsafe",
    source=WORTH, evidence="measured", results=WORTH_TABLE,
    fires=dict(kind="transformer", skip="off", residual_init="xavier"),
    silent=dict(kind="transformer", skip="on", residual_init="zero"),
)  # fmt: skip
def network_begins_as_noise(
    skip: Annotated[str, OneOf("on", "off")], residual_init: Annotated[str, OneOf("zero", "xavier")]
) -> Verdict:
    """The network starts with random outputs: no linear path around it, or residual branches not initialised to zero.

    ## Why
    An amplifier is nearly linear. With a linear path around the network and residual branches that start at zero, the
    model starts as a linear one and learns the small remainder. It therefore tolerates the learning rates of LR010 from
    the first steps.

    ## Known limits
    Both were changed together, at d_model 16 and 64; in runs of 1600 steps it made no difference.
    """
    wanted = {"model.skip": ("on", skip), "model.residual_init": ("zero", residual_init)}
    patch = {key: value for key, (value, now) in wanted.items() if now != value}
    if not patch:
        return None
    return warning(
        "the network does not start as a linear model of the amplifier", patch=patch,
        value=", ".join(f"{key} {now}" for key, (value, now) in wanted.items() if now != value),
    )  # fmt: skip
