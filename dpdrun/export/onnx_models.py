"""Write one step of each kind of model as ONNX nodes: what `models/*.py` compute, for a batch of one.

Shapes: T samples of the chunk, D = d_model, H heads, E = D / H, W = window, K delays, P powers; the batch axis is
removed on the way in and added on the way out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dpdrun.export.onnx_graph import END, Array, Graph
from dpdrun.export.step import NEXT, frequencies
from dpdrun.models._features import RMS_ENVELOPE_CUBED, RMS_I
from dpdrun.recipe.schema import GMPModel, GRUModel, TransformerModel

Weights = dict[str, Array]
ENVELOPE_EPS = 1e-12  # under the root, as in models/_features.py and models/gmp.py


def gru(g: Graph, config: GRUModel, weights: Weights, x: str) -> str:
    """Write layers of the ONNX operator GRU. x: (T, 2) -> (T, 2), both of unit rms."""
    f = features(g, x, config.features)
    h = g.unsqueeze(f, 1)  # (T, 1, inputs)
    after = []
    for layer in range(config.layers):
        W, R = (weights[f"gru.weight_{side}_l{layer}"] for side in ("ih", "hh"))
        B = np.concatenate([_gates(weights[f"gru.bias_{side}_l{layer}"]) for side in ("ih", "hh")])
        names = [f"gru.{name}_{layer}" for name in "WRB"]
        inputs = [g.constant(a[None], n) for a, n in zip((_gates(W), _gates(R), B), names, strict=True)]
        past = g.slice("hidden", layer, layer + 1)
        y, last = g.ops(
            "GRU", h, *inputs, "", past, outputs=[f"gru_y_{layer}", f"gru_h_{layer}"],
            hidden_size=config.hidden, linear_before_reset=1,  # r is applied after the product, as in torch
        )  # fmt: skip
        h = g.squeeze(y, 1)  # of (T, directions, 1, hidden)
        after.append(last)
    g.op("Concat", *after, axis=0, name="hidden" + NEXT)
    y = g.linear(g.squeeze(h, 1), weights, "head")
    return g.add(y, g.linear(f, weights, "skip")) if config.skip == "on" else y


def _gates(array: Array) -> Array:
    """Reorder gates: torch has reset, update, new; ONNX update, reset, hidden."""
    reset, update, new = np.split(array, 3)
    return np.concatenate([update, reset, new])


def gmp(g: Graph, config: GMPModel, weights: Weights, x: str) -> str:
    """Write the polynomial in real numbers. x: (T, 2) -> (T, 2), both of unit rms.

    In float64: the large terms of a fitted polynomial cancel, and float32 is off by 3e-5 of the rms on
    recipes/quickstart_gmp.yaml.
    """
    before = config.delays - 1 + 2 * config.cross
    if before:
        x = g.concat(g.squeeze("past"), x, axis=0)
        g.unsqueeze(g.slice(x, -before, END), name="past" + NEXT)
    with g.double_precision():
        return g.cast(_polynomial(g, config, weights, g.cast(x, "float64")), "float32")


def _polynomial(g: Graph, config: GMPModel, weights: Weights, x: str) -> str:
    """x: (T + K - 1 + 2 cross, 2) -> (T, 2)."""
    K, P, cross = config.delays, config.order, config.cross
    envelope = g.op("Sqrt", g.add(g.sum_of_squares(x), g.constant(ENVELOPE_EPS)))
    power = g.div(envelope, envelope)  # ones
    powers = []
    for p in range(P):
        powers.append(g.mul(power, 1 / math.sqrt(math.factorial(p + 1))))
        power = g.mul(power, envelope)

    def rows(name: str, shift: int) -> str:  # the samples with an envelope on both sides, shifted
        stop = -cross - shift
        return g.slice(name, cross - shift, stop if stop else END)

    columns = [rows(power, 0) for power in powers]
    matrices = [weights["aligned"]]
    offsets = [m for m in range(-cross, cross + 1) if m] if "crossed" in weights else []  # none of order 1
    for m, coefficients in zip(offsets, weights.get("crossed", ()), strict=True):
        columns += [rows(power, m) for power in powers[1:]]
        matrices.append(coefficients)
    matrix = np.concatenate(matrices)  # (columns, K, 2)
    basis = g.concat(*columns, axis=1)
    gain = [g.op("MatMul", basis, g.constant(matrix[..., c], f"coefficients_{c}")) for c in range(2)]  # (T + K - 1, K)
    inner = rows(x, 0)
    i, q = g.slice(inner, 0, 1, axis=1), g.slice(inner, 1, 2, axis=1)
    products = [g.op("Sub", g.mul(gain[0], i), g.mul(gain[1], q)), g.add(g.mul(gain[0], q), g.mul(gain[1], i))]
    if "conjugated" in weights:
        of_image = g.concat(*columns[:P], axis=1)
        parts = [g.constant(weights["conjugated"][..., c], f"conjugated_{c}") for c in range(2)]
        gain = [g.op("MatMul", of_image, part) for part in parts]
        image = (g.add(g.mul(gain[0], i), g.mul(gain[1], q)), g.op("Sub", g.mul(gain[1], i), g.mul(gain[0], q)))
        products = [g.add(*pair) for pair in zip(products, image, strict=True)]
    sums = []
    for product in products:
        taps = [g.slice(g.slice(product, k, k + 1, axis=1), K - 1 - k, -k if k else END) for k in range(K)]
        sums.append(g.op("Sum", *taps))
    y = g.concat(*sums, axis=1)
    return g.add(y, g.constant(weights["constant"], "constant")) if "constant" in weights else y


def transformer(g: Graph, config: TransformerModel, weights: Weights, x: str) -> str:
    """Write the attention of every query to its own W keys, gathered. x: (T, 2) -> (T, 2), both of unit rms."""
    f = features(g, x, config.features)
    length = g.squeeze(g.op("Shape", x, start=0, end=1))  # T
    count = g.op("Range", g.constant(0), length, g.constant(1))  # 0 .. T - 1
    h = _positions(g, config, _convolve(g, config, weights, _embed(g, config, weights, f)), count, length)
    for layer in range(config.layers):
        h = _block(g, config, weights, h, count, layer)
    y = g.linear(h, weights, "head")
    ahead = config.lookahead
    if ahead:
        waiting = g.concat(g.squeeze("waiting"), g.concat(y, f, axis=1), axis=0)  # (lookahead + T, 2 + inputs)
        g.unsqueeze(g.slice(waiting, -ahead, END), name="waiting" + NEXT)
        y, late = g.slice(waiting, 0, 2, axis=1), g.slice(waiting, 2, END, axis=1)
        y, f = g.slice(y, 0, -ahead), g.slice(late, 0, -ahead)
    if config.skip == "on":
        y = g.add(y, g.linear(f, weights, "skip"))
    if ahead:
        iq = g.slice(late, 0, 2, axis=1)
        taps = [g.slice(iq, d, END if d == ahead else d - ahead) for d in range(1, ahead + 1)]
        # torch unfolds to (T, 2, lookahead): all I, then all Q
        W = weights["skip_ahead.weight"].reshape(2, 2, ahead).transpose(0, 2, 1).reshape(2, -1)
        y = g.add(y, g.linear(g.concat(*taps, axis=1), {"skip_ahead.weight": W}, "skip_ahead"))
    return y


def _embed(g: Graph, config: TransformerModel, weights: Weights, f: str) -> str:
    if config.embedding == "linear":
        return g.linear(f, weights, "embedding")
    h = g.op("Relu", _norm(g, weights, g.linear(f, weights, "embedding.0"), "embedding.1"))
    return g.linear(h, weights, "embedding.4")


def _convolve(g: Graph, config: TransformerModel, weights: Weights, h: str) -> str:
    taps = config.conv
    if not taps:
        return h
    if taps > 1:
        h = g.concat(g.squeeze("conv"), h, axis=0)
        g.unsqueeze(g.slice(h, 1 - taps, END), name="conv" + NEXT)
    parts = [
        g.mul(g.slice(h, d, END if d == taps - 1 else d - taps + 1), g.constant(weights["conv"][d], f"conv.{d}"))
        for d in range(taps)
    ]
    return g.op("Sum", *parts)


def _positions(g: Graph, config: TransformerModel, h: str, count: str, length: str) -> str:
    if config.positions != "sinusoidal":
        return h
    position = g.cast(g.unsqueeze(g.add(count, "position"), 1), "float32")  # (T, 1)
    angles = g.unsqueeze(g.mul(position, g.constant(frequencies(config.d_model), "frequencies")), 2)
    both = g.concat(g.op("Sin", angles), g.op("Cos", angles), axis=2)  # (T, D / 2, 2)
    g.op("Add", "position", length, name="position" + NEXT)
    return g.add(h, g.slice(g.reshape(both, 0, -1), 0, config.d_model, axis=1))


def _block(g: Graph, config: TransformerModel, weights: Weights, h: str, count: str, layer: int) -> str:
    at = f"blocks.{layer}"
    attended = _attention(g, config, weights, _norm(g, weights, h, f"{at}.norm_attention"), count, layer)
    h = g.add(h, attended)
    wide = g.linear(_norm(g, weights, h, f"{at}.norm_mlp"), weights, f"{at}.mlp_in")
    if config.activation == "bilinear":
        middle = len(weights[f"{at}.mlp_in.bias"]) // 2
        wide = g.mul(g.slice(wide, 0, middle, axis=1), g.slice(wide, middle, END, axis=1))
    elif config.activation == "relu":
        wide = g.op("Relu", wide)
    else:  # the operator Gelu is of a later opset
        wide = g.mul(g.mul(wide, 0.5), g.add(g.op("Erf", g.mul(wide, math.sqrt(0.5))), g.constant(1.0)))
    return g.add(h, g.linear(wide, weights, f"{at}.mlp_out"))


def _attention(g: Graph, config: TransformerModel, weights: Weights, h: str, count: str, layer: int) -> str:
    at, D, H, W = f"blocks.{layer}.attention", config.d_model, config.heads, int(config.window)
    E = D // H
    bias = weights[f"{at}.qkv.bias"]  # 3 D of them, or D: those of the queries
    padded = {f"{at}.qkv.weight": weights[f"{at}.qkv.weight"], f"{at}.qkv.bias": np.pad(bias, (0, 3 * D - len(bias)))}
    qkv = g.reshape(g.linear(h, padded, f"{at}.qkv"), 0, 3, H, E)
    parts = [g.squeeze(g.slice(qkv, i, i + 1, axis=1), 1) for i in range(3)]  # (T, H, E)
    query = g.unsqueeze(g.mul(parts[0], E**-0.5), 2)  # (T, H, 1, E)
    # Query n is row W + n of cached and new keys: its window is the W rows that end there
    window = g.add(g.unsqueeze(count, 1), g.constant(np.arange(1, W + 1)))  # (T, W)
    seen = []
    for name, new in zip(("keys", "values"), parts[1:], strict=True):
        rows = g.concat(g.squeeze(f"{name}_{layer}"), new, axis=0)  # (W + T, H, E)
        g.unsqueeze(g.slice(rows, -W, END), name=f"{name}_{layer}{NEXT}")
        seen.append(g.op("Gather", rows, window, axis=0))  # (T, W, H, E)
    scores = g.op("MatMul", query, g.op("Transpose", seen[0], perm=[0, 2, 3, 1]))  # (T, H, 1, W)
    if config.positions == "relative":
        bias = weights[f"{at}.relative_bias"][:, ::-1]  # by distance; the oldest key of a window comes first
        scores = g.add(scores, g.constant(bias[:, None], f"{at}.relative_bias"))
    mixed = g.op("MatMul", g.op("Softmax", scores, axis=-1), g.op("Transpose", seen[1], perm=[0, 2, 1, 3]))
    return g.linear(g.reshape(mixed, 0, D), weights, f"{at}.out")


def _norm(g: Graph, weights: Weights, x: str, name: str) -> str:
    if f"{name}.weight" not in weights:
        return x
    both = (g.constant(weights[f"{name}.{part}"], f"{name}.{part}") for part in ("weight", "bias"))
    return g.op("LayerNormalization", x, *both, axis=-1, epsilon=1e-5)


def features(g: Graph, x: str, kind: str) -> str:
    """`models._features.features`: (T, 2) -> (T, inputs)."""
    iq = g.div(x, RMS_I)
    if kind == "iq":
        return iq
    power = g.sum_of_squares(x)
    envelope = g.op("Sqrt", g.add(power, g.constant(ENVELOPE_EPS)))
    return g.concat(iq, envelope, g.div(g.mul(envelope, power), RMS_ENVELOPE_CUBED), axis=1)


KINDS: dict[str, Callable[[Graph, Any, Weights, str], str]] = {"transformer": transformer, "gru": gru, "gmp": gmp}
