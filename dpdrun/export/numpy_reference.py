"""Compute an exported .npz in NumPy alone: the reference for an implementation in C, VHDL or on a DSP.

This file needs only NumPy and may be copied. It is written to be read: one function for each kind of model, in float64,
with the weights under their names in the file. `dpdrun export --to npz` verifies every file with it.

    description, weights = load("model.npz")
    y = run(description, weights, x)                                       # a complete record, complex
    state = initial_state(description)
    y, state = step(description, weights, x, state)                        # a chunk: x, y real (T, 2)

Shapes: T samples of the chunk, D = d_model, H heads, E = D / H, W = window, K delays, P powers; 2 = (I, Q).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Weights = dict[str, Array]
State = dict[str, Array]


def load(path: str | Path) -> tuple[dict[str, Any], Weights]:
    """Load the description (dict) and the weights (dict of float64 arrays) of a file."""
    with np.load(path, allow_pickle=False) as archive:
        description = json.loads(str(archive["description"]))
        weights = {name: archive[f"weights/{name}"].astype(np.float64) for name in description["weights"]}
    return description, weights


def initial_state(description: dict[str, Any]) -> State:
    """Return the state of a new record: zeros."""
    return {part["name"]: np.zeros(part["shape"], part["dtype"]) for part in description["inputs"][1:]}


def run(description: dict[str, Any], weights: Weights, x: Array, chunk: int = 1024) -> Array:
    """Return the output for a complete record, padded with silence because look-ahead delays it. x: (N,) complex."""
    late = description["lookahead"]
    padded = np.concatenate([x, np.zeros(late)])
    state, outputs = initial_state(description), []
    for start in range(0, len(padded), chunk):
        part = padded[start : start + chunk]
        y, state = step(description, weights, np.stack([part.real, part.imag], axis=1), state)
        outputs.append(y[:, 0] + 1j * y[:, 1])
    return np.concatenate(outputs)[late:]


def step(description: dict[str, Any], weights: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Continue a stream. x: (T, 2), the state -> y: (T, 2), the state for the next call."""
    kind = {"transformer": transformer, "gru": gru, "gmp": gmp}[description["kind"]]
    y, state = kind(description["config"], weights, x / description["scale_x"], state)
    y = y * description["scale_y"]
    limit = description["peak_limit"]
    if limit is not None:  # of a predistorter: larger samples are pulled back, their phase is kept
        y = y * np.minimum(1.0, limit / np.maximum(np.hypot(y[:, :1], y[:, 1:]), 1e-30))
    return y, state


def features(x: Array, kind: str) -> Array:
    """Return I and Q of unit rms; with `envelope` also |x| and |x|^3, of unit rms for Gaussian x: (T, 2 or 4)."""
    iq = x * math.sqrt(2)
    if kind == "iq":
        return iq
    power = (x**2).sum(1, keepdims=True)
    envelope = np.sqrt(power + 1e-12)
    return np.concatenate([iq, envelope, envelope * power / math.sqrt(6)], axis=1)


def linear(weights: Weights, name: str, x: Array) -> Array:
    """Return x W^T + b. x: (T, in) -> (T, out)."""
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def gru(config: dict[str, Any], weights: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Run gated recurrent units: r, z, n are the gates in the order of the rows of the weights."""
    f = features(x, config["features"])
    hidden, h = state["hidden"].copy(), f
    for layer in range(config["layers"]):
        W, R = weights[f"gru.weight_ih_l{layer}"], weights[f"gru.weight_hh_l{layer}"]
        b, c = weights[f"gru.bias_ih_l{layer}"], weights[f"gru.bias_hh_l{layer}"]
        given, now, outputs = h @ W.T + b, hidden[layer, 0], []
        for row in given:  # (3 hidden,)
            (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(row, 3), np.split(R @ now + c, 3)
            r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
            n = np.tanh(a_n + r * b_n)
            now = (1 - z) * n + z * now
            outputs.append(now)
        hidden[layer, 0], h = now, np.stack(outputs)
    y = linear(weights, "head", h)
    if config["skip"] == "on":
        y = y + linear(weights, "skip", f)
    return y, {"hidden": hidden}


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def gmp(config: dict[str, Any], weights: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Run a memory polynomial: y[n] = sum over k, m, p of c[m, p, k] x[n - k] |x[n - k - m]|^p.

    Each |x|^p is divided by sqrt((p + 1)!). `aligned` (P, K, 2) is m = 0; `crossed` (2 cross, P - 1, K, 2) the m =
    -cross .. -1, 1 .. cross without p = 0. If there, `conjugated` (P, K, 2) multiplies conj(x[n - k]) |x[n - k]|^p, and
    `constant` (2,) is added. The output is late by `cross` samples: leading envelopes (m < 0) are later ones.
    """
    K, P, cross = config["delays"], config["order"], config["cross"]
    if "past" in state:
        x = np.concatenate([state["past"][0], x])  # T + K - 1 + 2 cross samples
        state = {"past": x[len(x) - (K - 1 + 2 * cross) :][None]}
    z = x[:, 0] + 1j * x[:, 1]
    envelope = np.sqrt(np.abs(z) ** 2 + 1e-12)
    powers = np.stack([envelope**p / math.sqrt(math.factorial(p + 1)) for p in range(P)])
    last = len(z) - cross  # one past the last sample with an envelope on both sides
    first = cross + K - 1  # the sample of output 0
    terms = [(0, weights["aligned"], 0)]
    if "crossed" in weights:
        offsets = [m for m in range(-cross, cross + 1) if m]
        terms += [(m, c, 1) for m, c in zip(offsets, weights["crossed"], strict=True)]
    y = np.zeros(last - first, complex)
    for m, coefficients, lowest in terms:
        for p, row in enumerate(coefficients[..., 0] + 1j * coefficients[..., 1], start=lowest):
            for k in range(K):
                y += row[k] * z[first - k : last - k] * powers[p, first - k - m : last - k - m]
    if "conjugated" in weights:
        for p, row in enumerate(weights["conjugated"][..., 0] + 1j * weights["conjugated"][..., 1]):
            for k in range(K):
                y += row[k] * z[first - k : last - k].conj() * powers[p, first - k : last - k]
    if "constant" in weights:
        y += weights["constant"][0] + 1j * weights["constant"][1]
    return np.stack([y.real, y.imag], axis=1), state


def transformer(config: dict[str, Any], weights: Weights, x: Array, state: State) -> tuple[Array, State]:
    """Run embedding, depthwise convolution, blocks of windowed attention and MLP, linear head, and the linear path."""
    T = len(x)
    after: State = {}
    f = features(x, config["features"])
    if config["embedding"] == "linear":
        h = linear(weights, "embedding", f)
    else:  # layernorm_mlp
        h = linear(weights, "embedding.0", f)
        h = linear(weights, "embedding.4", np.maximum(norm(weights, "embedding.1", h), 0.0))
    taps = config["conv"]
    if taps:  # row d of `conv` weights the sample taps - 1 - d ago
        if "conv" in state:
            h = np.concatenate([state["conv"][0], h])
            after["conv"] = h[T:][None]
        h = np.sum([h[d : d + T] * weights["conv"][d] for d in range(taps)], axis=0)
    if config["positions"] == "sinusoidal":
        h = h + sinusoids(int(state["position"]), T, weights["frequencies"])[:, : config["d_model"]]
        after["position"] = state["position"] + T
    for layer in range(config["layers"]):
        at = f"blocks.{layer}"
        h = h + attention(config, weights, layer, norm(weights, f"{at}.norm_attention", h), state, after)
        wide = linear(weights, f"{at}.mlp_in", norm(weights, f"{at}.norm_mlp", h))
        h = h + linear(weights, f"{at}.mlp_out", activation(config["activation"], wide))
    y = linear(weights, "head", h)
    ahead = config["lookahead"]
    if ahead:  # outputs wait, with their features, for the I and Q that the linear path looks ahead to
        waiting = np.concatenate([state["waiting"][0], np.concatenate([y, f], axis=1)])
        after["waiting"] = waiting[T:][None]
        y, later = waiting[:T, :2], waiting[:, 2:]
        f = later[:T]
        ahead_iq = np.stack([later[1 + t : 1 + t + ahead, :2].T.ravel() for t in range(T)])  # all I, then all Q
        y = y + linear(weights, "skip_ahead", ahead_iq)
    if config["skip"] == "on":
        y = y + linear(weights, "skip", f)
    return y, after


def attention(config: dict[str, Any], weights: Weights, layer: int, h: Array, state: State, after: State) -> Array:
    """Let each sample attend to itself and the W - 1 before it. h: (T, D) -> (T, D); writes the caches into `after`."""
    T, D, H, W = len(h), config["d_model"], config["heads"], config["window"]
    bias = weights[f"blocks.{layer}.attention.qkv.bias"]  # 3 D of them, or D: those of the queries
    qkv = h @ weights[f"blocks.{layer}.attention.qkv.weight"].T + np.pad(bias, (0, 3 * D - len(bias)))
    qkv = qkv.reshape(T, 3, H, D // H)
    keys = np.concatenate([state[f"keys_{layer}"][0], qkv[:, 1]])  # (W + T, H, E)
    values = np.concatenate([state[f"values_{layer}"][0], qkv[:, 2]])
    after[f"keys_{layer}"], after[f"values_{layer}"] = keys[-W:][None], values[-W:][None]
    rows = np.arange(T)[:, None] + np.arange(1, W + 1)  # sample t is row W + t: its window ends there
    scores = np.einsum("the,twhe->htw", qkv[:, 0], keys[rows]) / math.sqrt(D // H)
    if config["positions"] == "relative":  # one score a head and distance; the window's oldest sample is the farthest
        scores = scores + weights[f"blocks.{layer}.attention.relative_bias"][:, None, ::-1]
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    scores = scores / scores.sum(-1, keepdims=True)
    mixed = np.einsum("htw,twhe->the", scores, values[rows]).reshape(T, D)
    return linear(weights, f"blocks.{layer}.attention.out", mixed)


def activation(kind: str, x: Array) -> Array:
    """Apply the activation of the MLP; `bilinear` multiplies the two halves."""
    if kind == "bilinear":
        width = x.shape[-1] // 2
        return np.asarray(x[..., :width] * x[..., width:])
    if kind == "relu":
        return np.maximum(x, 0.0)
    return np.asarray(0.5 * x * (1 + erf(x / math.sqrt(2))))


def norm(weights: Weights, name: str, x: Array) -> Array:
    """Apply layer normalization over the last axis, if the model has one."""
    if f"{name}.weight" not in weights:
        return x
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def sinusoids(start: int, length: int, frequencies: Array) -> Array:
    """Return sines (even columns) and cosines (odd) of the positions, in float32 as the run does: (length, D)."""
    angles = np.arange(start, start + length, dtype=np.float32)[:, None] * frequencies.astype(np.float32)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, -1)


def erf(x: Array) -> Array:
    """Return the error function of each number."""
    return np.asarray(np.vectorize(math.erf, otypes=[float])(x))
