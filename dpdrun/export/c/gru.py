"""Write one step of `models/gru.py` in float32 C."""

from __future__ import annotations

from typing import Any

from dpdrun.export.c.blocks import LOG2_E, Weights, exp2, features, identifier, linear, linear_of
from dpdrun.export.c.source import Source, literal


def write(c: Source, config: dict[str, Any], weights: Weights, scale_x: float) -> None:
    """Write features, layers and head; the result is in `out`."""
    hidden = config["hidden"]
    count = features(c, config["features"], scale_x)
    exp2(c)
    c.function(
        """
        static float sigmoid(float v)
        {
            return 1.0f / (1.0f + exp2_of(v * $slope));
        }
        """,
        slope=literal(-LOG2_E),
    )
    c.step += [f"float f[{count}], out[2];", "", "features(x, f);"]
    past = "f"
    for layer in range(config["layers"]):
        _layer(c, weights, layer, hidden, width=count if layer == 0 else hidden)
        c.member(f"hidden_{layer}", hidden, comment=f"output of layer {layer}")
        c.step.append(f"gru_{layer}({past}, s->hidden_{layer});")
        past = f"s->hidden_{layer}"
    linear_of(c, weights, "head")
    c.step.append(f"head({past}, out);")
    if config["skip"] == "on":
        linear_of(c, weights, "skip", add=True)
        c.step.append("skip(f, out);")


def _layer(c: Source, weights: Weights, layer: int, hidden: int, *, width: int) -> None:
    for side in ("ih", "hh"):
        name = f"gru.{{}}_{side}_l{layer}"
        linear(c, identifier(f"gates_{side}_{layer}"), weights[name.format("weight")], weights[name.format("bias")])
    c.function(
        """
        /* Layer $layer: gates reset, update, new; the reset is applied after the product, as in PyTorch. */
        static void gru_$layer(const float x[$width], float hidden[$H])
        {
            float a[3 * $H], b[3 * $H], gates[2 * $H];
            int i;

            gates_ih_$layer(x, a);
            gates_hh_$layer(hidden, b);
            for (i = 0; i < 2 * $H; ++i) { gates[i] = sigmoid(a[i] + b[i]); }
            for (i = 0; i < $H; ++i) {
                const float sum = a[2 * $H + i] + gates[i] * b[2 * $H + i];
                const float fresh = 2.0f * sigmoid(2.0f * sum) - 1.0f; /* tanh(sum) */

                hidden[i] = fresh + gates[$H + i] * (hidden[i] - fresh);
            }
        }
        """,
        layer=layer, width=width, H=hidden,
    )  # fmt: skip
    c.count(multiplications=(2 + 2 + 3) * hidden, exponentials=3 * hidden, divisions=3 * hidden)
