"""Write one step of `models/transformer.py` in float32 C.

Shapes: D = d_model, H heads, E = D / H, W = window.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpdrun.export.c.blocks import LOG2_E, Array, Weights, exp2, features, identifier, linear, linear_of
from dpdrun.export.c.source import Source, literal

NORM_EPS = 1e-5  # torch's default


def write(c: Source, config: dict[str, Any], weights: Weights, scale_x: float) -> None:
    """Write embedding, convolution, blocks, head and the linear path; the result is in `out`."""
    D = config["d_model"]
    count = features(c, config["features"], scale_x)
    c.step += [f"float f[{count}], h[{D}], out[2];", "", "features(x, f);"]
    _embedding(c, config, weights)
    c.step.append("embedding(f, h);")
    if config["conv"]:
        _convolution(c, weights["conv"])
        c.step.append("convolution(s, h);")
    if config["positions"] == "sinusoidal":
        _positions(c, D, weights["frequencies"])
        c.step.append("positions(s, h);")
    exp2(c)
    c.member("key_slot", ctype="int32_t", comment="of the newest sample in the rings of keys and values")
    for layer in range(config["layers"]):
        _attention(c, config, weights, layer)
        _mlp(c, config, weights, layer)
        c.step += [f"attention_{layer}(s, h);", f"mlp_{layer}(h);"]
    window = config["window"]
    c.step.append(f"s->key_slot = s->key_slot + 1 == {window} ? 0 : s->key_slot + 1;")
    linear_of(c, weights, "head")
    c.step.append("head(h, out);")
    if config["lookahead"]:
        _wait(c, config["lookahead"], count, weights["skip_ahead.weight"])
        c.step.append("delay(s, f, out);")
    if config["skip"] == "on":
        linear_of(c, weights, "skip", add=True)
        c.step.append("skip(f, out);")


def _embedding(c: Source, config: dict[str, Any], weights: Weights) -> None:
    if config["embedding"] == "linear":
        linear_of(c, weights, "embedding")
        return
    width, count = weights["embedding.0.weight"].shape
    linear_of(c, weights, "embedding.0")
    _norm(c, weights, "embedding.1")
    linear_of(c, weights, "embedding.4")
    c.function(
        """
        static void embedding(const float f[$count], float h[$D])
        {
            float wide[$width];
            int i;

            embedding_0(f, wide);
            embedding_1(wide, wide);
            for (i = 0; i < $width; ++i) { wide[i] = wide[i] > 0.0f ? wide[i] : 0.0f; }
            embedding_4(wide, h);
        }
        """,
        count=count, D=config["d_model"], width=width,
    )  # fmt: skip


def _convolution(c: Source, taps: Array) -> None:
    count, D = taps.shape
    c.table("taps", taps[::-1], f"taps of the depthwise convolution: [samples ago {count}][channel {D}]")
    if count > 1:
        c.member("embedded", count, D, comment="ring of the last inputs of the convolution")
        c.member("tap_slot", ctype="int32_t", comment="of the newest of them")
    body = """
            int d, i, slot = (int)s->tap_slot + 1 == $count ? 0 : (int)s->tap_slot + 1;

            s->tap_slot = slot;
            for (i = 0; i < $D; ++i) { s->embedded[slot][i] = h[i]; }
            for (i = 0; i < $D; ++i) { h[i] = 0.0f; }
            for (d = 0; d < $count; ++d) {
                for (i = 0; i < $D; ++i) { h[i] += taps[d][i] * s->embedded[slot][i]; }
                slot = slot == 0 ? $count - 1 : slot - 1;
            }"""
    single = """
            int i;

            (void)s;
            for (i = 0; i < $D; ++i) { h[i] *= taps[0][i]; }"""
    c.function(
        """
        /* Depthwise causal convolution over the last $count samples */
        static void convolution(${prefix}_state *s, float h[$D])
        {$body
        }
        """.replace("$body", body if count > 1 else single),
        count=count, D=D,
    )  # fmt: skip
    c.count(multiplications=count * D)


def _positions(c: Source, D: int, frequencies: Array) -> None:
    c.member("position", ctype="uint32_t", comment="samples so far; wraps")
    c.table("frequencies", frequencies, "of the sinusoids of the position")
    c.function(
        """
        static void positions(${prefix}_state *s, float h[$D])
        {
            int i;

            for (i = 0; i < $D; ++i) {
                const float angle = (float)s->position * frequencies[i / 2];

                h[i] += i % 2 == 0 ? sinf(angle) : cosf(angle);
            }
            ++s->position;
        }
        """,
        D=D,
    )
    c.count(multiplications=D, sines=D)


def _norm(c: Source, weights: Weights, name: str) -> bool:
    """Write the function of a layer normalization, y may be x; return False if the model has none here."""
    if f"{name}.weight" not in weights:
        return False
    own, length = identifier(name), len(weights[f"{name}.weight"])
    c.table(f"{own}_weight", weights[f"{name}.weight"])
    c.table(f"{own}_bias", weights[f"{name}.bias"])
    c.function(
        """
        /* Layer normalization */
        static void $name(const float x[$D], float y[$D])
        {
            float mean = 0.0f, variance = 0.0f, scale;
            int i;

            for (i = 0; i < $D; ++i) { mean += x[i]; }
            mean *= $share;
            for (i = 0; i < $D; ++i) { variance += (x[i] - mean) * (x[i] - mean); }
            scale = 1.0f / sqrtf(variance * $share + $eps);
            for (i = 0; i < $D; ++i) { y[i] = (x[i] - mean) * scale * ${name}_weight[i] + ${name}_bias[i]; }
        }
        """,
        name=own, D=length, share=literal(1 / length), eps=literal(NORM_EPS),
    )  # fmt: skip
    c.count(multiplications=3 * length + 2, square_roots=1, divisions=1)
    return True


def _attention(c: Source, config: dict[str, Any], weights: Weights, layer: int) -> None:
    D, H, W = config["d_model"], config["heads"], config["window"]
    E, at = D // H, f"blocks.{layer}.attention"
    # Scores in octaves make the softmax one of powers of two; that factor and 1 / sqrt(E) go into the queries
    scale = np.repeat([LOG2_E * E**-0.5, 1.0], [D, 2 * D])
    bias = weights[f"{at}.qkv.bias"]  # 3 D of them, or D: those of the queries
    linear(
        c, f"qkv_{layer}", weights[f"{at}.qkv.weight"] * scale[:, None], np.pad(bias, (0, 3 * D - len(bias))) * scale
    )
    linear_of(c, weights, f"{at}.out", add=True)
    normed = _norm(c, weights, f"blocks.{layer}.norm_attention")
    c.member(f"keys_{layer}", D, W, comment=f"ring of the keys of layer {layer}")
    c.member(f"values_{layer}", W, D, comment="and of the values")
    relative = config["positions"] == "relative"
    if relative:
        # For a ring whose newest key is in slot n, the bias of slot w is element W - 1 - n + w: twice the row, backward
        twice = np.tile(LOG2_E * weights[f"{at}.relative_bias"][:, ::-1], 2)[:, : 2 * W - 1]
        c.table(f"relative_bias_{layer}", twice, f"by distance {W - 1} .. 0, {W - 1} .. 1: a ring is a part of it")
    c.function(
        """
        /* Attention to the last $W samples; the result is added to h. */
        static void attention_$layer(${prefix}_state *s, float h[$D])
        {
            const int slot = (int)s->key_slot;
            float qkv[3 * $D], scores[$H][$W], total[$H], mixed[$D]$declared;
            int head, e, w;

        $projection
            for (e = 0; e < $D; ++e) {
                s->keys_$layer[e][slot] = qkv[$D + e];
                s->values_$layer[slot][e] = qkv[2 * $D + e];
                mixed[e] = 0.0f;
            }
            for (head = 0; head < $H; ++head) {
                float largest;

                for (w = 0; w < $W; ++w) { scores[head][w] = $start; }
                for (e = head * $E; e < (head + 1) * $E; ++e) {
                    for (w = 0; w < $W; ++w) { scores[head][w] += qkv[e] * s->keys_$layer[e][w]; }
                }
                largest = scores[head][0];
                for (w = 1; w < $W; ++w) { largest = scores[head][w] > largest ? scores[head][w] : largest; }
                for (w = 0; w < $W; ++w) { scores[head][w] = exp2_of(scores[head][w] - largest); }
                total[head] = 0.0f;
            }
            for (w = 0; w < $W; ++w) {
                for (head = 0; head < $H; ++head) {
                    total[head] += scores[head][w];
                    for (e = 0; e < $E; ++e) {
                        mixed[head * $E + e] += scores[head][w] * s->values_$layer[w][head * $E + e];
                    }
                }
            }
            for (head = 0; head < $H; ++head) {
                const float share = 1.0f / total[head];

                for (e = 0; e < $E; ++e) { mixed[head * $E + e] *= share; }
            }
            ${out}(mixed, h);
        }
        """.replace(
            "$projection",
            f"    blocks_{layer}_norm_attention(h, normed);\n            qkv_{layer}(normed, qkv);"
            if normed
            else f"    qkv_{layer}(h, qkv);",
        ),
        layer=layer, D=D, H=H, E=E, W=W, out=identifier(f"{at}.out"), declared=f", normed[{D}]" if normed else "",
        start=f"relative_bias_{layer}[head][{W - 1} - slot + w]" if relative else "0.0f",
    )  # fmt: skip
    c.count(multiplications=(2 * W + 1) * D, exponentials=H * W, divisions=H)


def _mlp(c: Source, config: dict[str, Any], weights: Weights, layer: int) -> None:
    at, D = f"blocks.{layer}", config["d_model"]
    rows, width = len(weights[f"{at}.mlp_in.bias"]), weights[f"{at}.mlp_out.weight"].shape[1]
    linear_of(c, weights, f"{at}.mlp_in")
    linear_of(c, weights, f"{at}.mlp_out", add=True)
    normed = _norm(c, weights, f"{at}.norm_mlp")
    unit = {
        "bilinear": f"wide[i] *= wide[{width} + i];",
        "relu": "wide[i] = wide[i] > 0.0f ? wide[i] : 0.0f;",
        "gelu": f"wide[i] *= 0.5f * (1.0f + erff(wide[i] * {literal(0.5**0.5)}));",
    }[config["activation"]]
    c.function(
        """
        /* MLP, $activation; the result is added to h. */
        static void mlp_$layer(float h[$D])
        {
            float wide[$rows]$declared;
            int i;

        $projection
            for (i = 0; i < $width; ++i) { $unit }
            blocks_${layer}_mlp_out(wide, h);
        }
        """.replace(
            "$projection",
            f"    blocks_{layer}_norm_mlp(h, normed);\n            blocks_{layer}_mlp_in(normed, wide);"
            if normed
            else f"    blocks_{layer}_mlp_in(h, wide);",
        ),
        activation=config["activation"], layer=layer, D=D, rows=rows, width=width, unit=unit,
        declared=f", normed[{D}]" if normed else "",
    )  # fmt: skip
    c.count(**{
        "bilinear": {"multiplications": width}, "relu": {}, "gelu": {"multiplications": 3 * width, "erf": width}
    }[config["activation"]])  # fmt: skip


def _wait(c: Source, ahead: int, count: int, weight: Array) -> None:
    """Write the look-ahead: outputs of the network wait, with their features, for the samples after them."""
    c.member("waiting", ahead + 1, 2 + count, comment="ring of outputs of the network, and features")
    c.member("wait_slot", ctype="int32_t", comment="of the newest of them")
    taps = weight.reshape(2, 2, ahead).transpose(2, 0, 1)  # torch has all I, then all Q
    c.table("ahead", taps, f"filter of the future: [samples ahead {ahead}][output 2][I, Q]")
    c.function(
        """
        /* Delay f and out by $ahead samples, and add the linear path of the samples that came since. */
        static void delay(${prefix}_state *s, float f[$count], float out[2])
        {
            int d, i, slot = (int)s->wait_slot + 1 == $length ? 0 : (int)s->wait_slot + 1;

            s->wait_slot = slot;
            for (i = 0; i < 2; ++i) { s->waiting[slot][i] = out[i]; }
            for (i = 0; i < $count; ++i) { s->waiting[slot][2 + i] = f[i]; }
            slot = slot + 1 == $length ? 0 : slot + 1; /* of the oldest */
            for (i = 0; i < 2; ++i) { out[i] = s->waiting[slot][i]; }
            for (i = 0; i < $count; ++i) { f[i] = s->waiting[slot][2 + i]; }
            for (d = 0; d < $ahead; ++d) {
                slot = slot + 1 == $length ? 0 : slot + 1;
                for (i = 0; i < 2; ++i) {
                    out[i] += ahead[d][i][0] * s->waiting[slot][2] + ahead[d][i][1] * s->waiting[slot][3];
                }
            }
        }
        """,
        ahead=ahead, length=ahead + 1, count=count,
    )  # fmt: skip
    c.count(multiplications=4 * ahead)
