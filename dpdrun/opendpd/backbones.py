"""Choose the model of dpdrun that is closest to a backbone of OpenDPD, and list the differences.

Source: backbones/*.py of OpenDPD 2.4.2 and of the fork minosoc/OpenDPD (arguments.py names the commits).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dpdrun.errors import RecipeError
from dpdrun.opendpd.arguments import Arguments


@dataclass
class RecipeLines:
    """The lines of one section of a recipe: (key, value, comment); `remarks` are for the head of the recipe."""

    lines: list[tuple[str, Any, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, key: str, value: Any, comment: str = "built in") -> None:
        """Add a line."""
        self.lines.append((key, value, comment))

    def take(self, arguments: Arguments, **flags: str) -> None:
        """Add lines with the values of flags, by key of the recipe."""
        for key, flag in flags.items():
            self.add(key, arguments[flag], origin(arguments, flag))


# Recurrent backbones that a GRU stands for: (features, skip, how the original differs).
_GRU_LIKE: dict[str, tuple[str, str, str]] = {
    "gru": ("iq", "off", ""),
    "dgru": ("envelope", "on", "also sees the phase (sin, cos) and has one more layer after its state"),
    "qgru": ("envelope", "off", "sees |x|^2 and |x|^4 instead of |x| and |x|^3, and is designed for quantization"),
    "qgru_amp1": ("envelope", "off", "is designed for quantization"),
    "deltagru": ("envelope", "off", "also sees the phase, and skips changes below --thx and --thh"),
    "deltagru_tcnskip": (
        "envelope",
        "on",
        "skips changes below --thx and --thh; its parallel path is a convolution",
    ),
    "tres_gru": ("envelope", "on", "also sees the next sample, and its parallel path is a dilated convolution"),
    "tres_deltagru": ("envelope", "on", "skips changes below --thx and --thh; its parallel path is a convolution"),
}
_HAS = "dpdrun has transformer, gru and gmp"


def origin(arguments: Arguments, *flags: str) -> str:
    """Return the origin of a value: the flags that gave it, or `default`."""
    given = [f"--{flag}" for flag in flags if flag in arguments.given]
    return ", ".join(given) or "default"


def model_of(arguments: Arguments, where: str) -> RecipeLines:
    """Return the `model` section.

    Raises:
        RecipeError: no model of dpdrun is close to this backbone.
    """
    backbone = arguments["PA_backbone"]
    if backbone == "transformer_encoder":
        return _encoder(arguments)
    if backbone == "transformer":
        return _later_transformer(arguments)
    if backbone in _GRU_LIKE:
        return _gru(arguments)
    if backbone == "gmp":
        return _gmp(arguments)
    raise RecipeError(
        f"{where}: --PA_backbone {backbone} has no counterpart: {_HAS}\n"
        f"  backbones that can be translated: {', '.join((*_GRU_LIKE, 'transformer_encoder', 'transformer', 'gmp'))}"
    )


def _gru(arguments: Arguments) -> RecipeLines:
    backbone, section = arguments["PA_backbone"], RecipeLines()
    features, skip, differs = _GRU_LIKE[backbone]
    comment = origin(arguments, "PA_backbone")
    if differs:
        section.remarks.append(f"{backbone} becomes a gru, the closest model of dpdrun: {backbone} {differs}")
        comment += f" {backbone}: the closest model, see above"
    section.add("kind", "gru", comment)
    section.take(arguments, hidden="PA_hidden_size", layers="PA_num_layers")
    section.add("features", features, f"input of {backbone}" + (", approximately" if differs else ""))
    section.add("skip", skip, f"{backbone} has {'a' if skip == 'on' else 'no'} parallel path")
    return section


def _gmp(arguments: Arguments) -> RecipeLines:
    section = RecipeLines()
    section.remarks.append(
        "OpenDPD trains its gmp by gradients; dpdrun fits it by least squares: the flags of training do not apply"
    )
    if {"K", "gmp_memory_length"} & arguments.given:
        section.remarks.append("--K and --gmp_memory_length: OpenDPD ignores them; its gmp has 5 powers, 11 taps")
    section.add("kind", "gmp", origin(arguments, "PA_backbone"))
    section.add("order", 5, "powers 0 to 4, as built into OpenDPD")
    section.add("delays", 11, "as built into OpenDPD")
    section.add("cross", 10, "OpenDPD has all 10 lagging envelopes; dpdrun adds as many leading ones")
    return section


def _encoder(arguments: Arguments) -> RecipeLines:
    """Translate the fork's transformer_encoder.py: full attention, and the LayerNorm that erases the envelope."""
    section, d_model = RecipeLines(), arguments["d_model"]
    section.add("kind", "transformer", origin(arguments, "PA_backbone"))
    section.take(arguments, d_model="d_model", layers="PA_num_layers", heads="n_heads")
    section.add("ff_mult", arguments["d_ff"] / d_model, f"{origin(arguments, 'd_ff')}: {arguments['d_ff']} / {d_model}")
    section.add("activation", "relu")
    section.add("window", "full", "built in: attention without a mask")
    section.add("positions", "sinusoidal")
    section.add("features", "iq")
    section.add("embedding", "layernorm_mlp", "built in; erases the envelope (docs/results.md, case study)")
    section.add("conv", 0)
    section.add("skip", "off")
    dropouts = (arguments["dropout_ff"], arguments["dropout_attn"])
    comment = origin(arguments, "dropout_ff", "dropout_attn")
    if dropouts[0] != dropouts[1]:
        comment += f"; --dropout_attn {dropouts[1]:g} cannot differ here"
    section.add("dropout", dropouts[0] or "off", comment)
    section.add("residual_init", "xavier")
    if "PA_hidden_size" in arguments.given:
        section.remarks.append("--PA_hidden_size: not used by the transformer_encoder; its width is --d_model")
    return section


def _later_transformer(arguments: Arguments) -> RecipeLines:
    """Translate the fork's later transformer.py; its width is PA_hidden_size."""
    section, d_model = RecipeLines(), arguments["PA_hidden_size"]
    full = arguments["local_attn_window"] == 0
    section.add("kind", "transformer", origin(arguments, "PA_backbone"))
    section.add("d_model", d_model, f"{origin(arguments, 'PA_hidden_size')}, which is the width here")
    section.take(arguments, layers="PA_num_layers", heads="n_heads")
    section.add("ff_mult", arguments["d_ff"] / d_model, f"{origin(arguments, 'd_ff')}: {arguments['d_ff']} / {d_model}")
    section.add("activation", "gelu")
    if full:
        section.add("window", "full", f"{origin(arguments, 'local_attn_window')}: attention without a mask")
    else:
        past = arguments["local_attn_window"] // 2 + 1
        section.add(
            "window", past, "--local_attn_window: its past half and the sample itself; dpdrun's window is causal"
        )
        section.remarks.append("--local_attn_window: OpenDPD's window also contains future samples, dpdrun's is causal")
    sinusoidal = "sinusoidal" if arguments["use_pos_encoding"] else "none"
    section.add("positions", sinusoidal, origin(arguments, "use_pos_encoding"))
    section.add("features", "envelope", "built in, except the phase (sin, cos)")
    section.add("embedding", "linear")
    section.take(arguments, conv="conv_stem_kernel")
    skip = "on" if arguments["output_residual_concat"] else "off"
    section.add("skip", skip, origin(arguments, "output_residual_concat"))
    section.add("residual_init", "xavier")
    lost = ("input_mlp_hidden", "output_mlp_hidden", "use_gmp_stem")
    section.remarks += [f"--{flag}: dpdrun's transformer has none" for flag in lost if arguments[flag]]
    if arguments["ffn_type"] != "mlp":
        section.remarks.append(f"--ffn_type {arguments['ffn_type']}: dpdrun's transformer has a GELU MLP")
    if arguments["conv_stem_kernel"]:
        section.remarks.append("--conv_stem_kernel: dpdrun's convolution is depthwise and causal")
    return section
