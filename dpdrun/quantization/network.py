"""Write a model as a list of operations on named tensors: what is rounded to integers afterwards.

The operations are those of `reference`, with weights in float64 and no shifts yet. Everything that costs hardware and
changes no output is removed first (canonicalization): the scales of the capture, sqrt(2) and 1 / sqrt(6) of the
features, 1 / sqrt(E) and log2(e) of the attention go into the weights; what remains of the scales at the ports is a
power of two. The maximum over the distances is subtracted from a relative bias, to which the softmax is invariant.

Shapes: n channels, D = d_model, H heads, W window, K delays, P powers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.recipe.schema import Features, GMPModel, GRUModel, ModelSection, Section, TransformerModel

Array = NDArray[np.float64]
Arrays = Mapping[str, Array]
Step = dict[str, Any]
TABLE_POINTS = 513
EXTRA_ROOT_BITS = 2  # of |x|: floor and the rounding after it then have a bias of 1/8 of a word


@dataclass(frozen=True)
class Tensor:
    """A tensor of the network.

    Attributes:
        size: channels.
        width: bits as a port, a state or an activation; a tensor that is read with a delay is a state.
        wider: bits more than that, of sums on their way to a table or to a product.
        shared: one scale for all channels even if channels have their own: a table or a sum follows.
        unit: values of -1 .. 1, where 1 itself may saturate: all bits but the sign are fraction bits.
    """

    size: int
    width: Literal["port", "state", "activation"] = "activation"
    wider: int = 0
    shared: bool = False
    unit: bool = False


@dataclass
class Network:
    """A model as operations.

    Attributes:
        lookahead: delay of the output in samples.
        x_exponent, y_exponent: a value of the tensors x, y is that of the capture times 2^-exponent.
        steps: the operations in order, as `reference.OPERATIONS` has them, without shifts.
        weights: arrays that are quantized, by name.
        constants: arrays that are not (tables); they hold integers.
        loops: [first, last) of operations that read what they themselves made one sample earlier.
    """

    kind: str
    lookahead: int
    x_exponent: int
    y_exponent: int
    steps: list[Step] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Array] = field(default_factory=dict)
    constants: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    loops: list[list[int]] = field(default_factory=list)
    history: dict[str, int] = field(default_factory=dict)

    def add(self, op: str, out: str, tensor: Tensor, **settings: Any) -> str:
        """Append an operation; returns the tensor that it makes."""
        self.steps.append({"op": op, "out": out, **settings})
        self.tensors[out] = tensor
        return out

    def linear(self, out: str, tensor: Tensor, terms: list[Step], bias: Array | None = None) -> str:
        """Append a sum of matrices times tensors; a bias of zeros is left out."""
        name = None
        if bias is not None and np.any(bias):
            name = f"{out}.bias"
            self.weights[name] = np.asarray(bias, np.float64)
        return self.add("linear", out, tensor, terms=terms, bias=name)

    def term(self, weight: Array | None, x: str, name: str = "", delay: int = 0) -> Step:
        """Return a term of `linear`; no weight: the tensor itself."""
        if weight is not None:
            self.weights[name] = np.asarray(weight, np.float64)
        self.remember(x, delay)
        return {"x": x, "delay": delay, "weight": None if weight is None else name}

    def remember(self, name: str, rows: int) -> None:
        """Keep the last `rows` words of a tensor."""
        if rows:
            self.history[name] = max(self.history.get(name, 0), rows)


def unsupported(section: Section) -> tuple[str, str] | None:
    """Return the setting that has no fixed-point form and why, with what to set instead; None if there is none."""
    if not isinstance(section, TransformerModel):
        known = isinstance(section, GRUModel | GMPModel)
        return None if known else ("model.kind", "only transformer, gru and gmp have a fixed-point form")
    reasons = {
        "window": (
            section.window == "full",
            "full attends to the complete record; set a number of samples, such as 32",
        ),
        "norm": (section.norm == "layer", "layer needs a root and a division for each sample and layer; set off"),
        "embedding": (section.embedding != "linear", "layernorm_mlp normalizes each sample; set linear"),
        "positions": (section.positions == "sinusoidal", "sinusoidal counts samples without end; set relative"),
    }
    found = ((f"model.{key}", f"model.{key}: {why}") for key, (refused, why) in reasons.items() if refused)
    return next(found, None)


def build(section: ModelSection, weights: Arrays, *, scale_x: float, scale_y: float, peak: float = math.inf) -> Network:
    """Return the network of a model.

    Args:
        section: kind and settings.
        weights: of the model, by the names of its parameters.
        scale_x, scale_y: of the model: rms of input and output in units of the capture.
        peak: largest magnitude of the output, in units of the capture; inf = no limit.

    Raises:
        RunError: a setting has no fixed-point form.
    """
    reason = unsupported(section)
    if reason is not None:
        raise RunError(f"this model has no fixed-point form: {reason[1]}")
    weights = {name: np.asarray(value, np.float64) for name, value in weights.items()}
    x_exponent, y_exponent = (round(math.log2(scale)) for scale in (scale_x, scale_y))
    net = Network(section.kind, 0, x_exponent, y_exponent)
    net.tensors["x"] = Tensor(2, "port", shared=True)
    sx, sy = scale_x / 2.0**x_exponent, scale_y / 2.0**y_exponent
    out = "y" if math.isinf(peak) else "unlimited"
    if isinstance(section, TransformerModel):
        _transformer(net, section, weights, sx, sy, out)
    elif isinstance(section, GRUModel):
        _gru(net, section, weights, sx, sy, out)
    else:
        assert isinstance(section, GMPModel)
        _gmp(net, section, weights, sx, sy, out)
    if out != "y":
        net.add("limit", "y", net.tensors[out], x=out, limit=peak / 2.0**y_exponent, extra=8)
    return net


def _features(net: Network, kind: Features, scale_x: float) -> dict[str, Array]:
    """Append the features; returns by tensor what its columns of a feature matrix are multiplied by."""
    scales = {"x": np.full(2, math.sqrt(2) / scale_x)}
    if kind == "envelope":
        net.add("power", "power", Tensor(1), x="x")
        net.add("magnitude", "envelope", Tensor(1), x="x", extra=EXTRA_ROOT_BITS)
        net.add("multiply", "cube", Tensor(1), a="envelope", b="power")
        scales |= {
            "envelope": np.array([1 / scale_x]),
            "cube": np.array([1 / (scale_x**3 * math.sqrt(6))]),
        }
    return scales


def _of_features(net: Network, scales: dict[str, Array], weight: Array, name: str, delay: int = 0) -> list[Step]:
    """Return terms that multiply the features by a matrix."""
    terms, column = [], 0
    for tensor, scale in scales.items():
        part = weight[:, column : column + len(scale)] * scale
        terms.append(net.term(part, tensor, f"{name}.{tensor}", delay))
        column += len(scale)
    return terms


def _transformer(net: Network, config: TransformerModel, weights: Arrays, sx: float, sy: float, out: str) -> None:
    D, ahead = config.d_model, config.lookahead
    scales = _features(net, config.features, sx)
    terms = _of_features(net, scales, weights["embedding.weight"], "embedding")
    h = net.linear("embedding", Tensor(D), terms, weights["embedding.bias"])
    if config.conv:
        net.weights["conv.taps"] = weights["conv"]
        net.remember(h, config.conv - 1)
        h = net.add("fir", "conv", Tensor(D), x=h, weight="conv.taps")
    for layer in range(config.layers):
        own = {n.removeprefix(f"blocks.{layer}."): w for n, w in weights.items() if n.startswith(f"blocks.{layer}.")}
        h = _attention(net, config, own, f"block{layer}", h)
        h = _mlp(net, config, own, f"block{layer}", h)
    head = net.term(weights["head.weight"] * sy, h, "head")
    if ahead:
        net.linear("head", Tensor(2), [head], weights["head.bias"] * sy)
        terms = [net.term(None, "head", delay=ahead)]
        future = weights["skip_ahead.weight"].reshape(2, 2, ahead) * (sy * math.sqrt(2) / sx)  # (out, I or Q, samples)
        terms += [net.term(future[..., j], "x", f"skip_ahead.{j}", ahead - 1 - j) for j in range(ahead)]
    else:
        terms = [head]
    if config.skip == "on":
        terms += _of_features(net, scales, weights["skip.weight"] * sy, "skip", ahead)
    net.linear(out, Tensor(2, "port", shared=True), terms, None if ahead else weights["head.bias"] * sy)
    net.lookahead = ahead


def _attention(net: Network, config: TransformerModel, weights: Arrays, at: str, h: str) -> str:
    """Append attention and its residual; scores are in octaves: softmax in base 2."""
    D, H, W = config.d_model, config.heads, config.window
    assert W != "full"
    matrix, bias = weights["attention.qkv.weight"], weights["attention.qkv.bias"]
    bias = np.pad(bias, (0, 3 * D - len(bias)))
    octaves = math.log2(math.e) / math.sqrt(D // H)
    for i, (name, scale) in enumerate((("q", octaves), ("k", 1.0), ("v", 1.0))):
        rows = slice(i * D, (i + 1) * D)
        terms = [net.term(matrix[rows] * scale, h, f"{at}.{name}")]
        net.linear(f"{at}.{name}", Tensor(D, shared=name != "v"), terms, bias[rows] * scale)
    for name in ("k", "v"):
        net.remember(f"{at}.{name}", W - 1)
    relative = weights.get("attention.relative_bias", np.zeros((H, W))) * math.log2(math.e)
    net.weights[f"{at}.distance"] = relative - relative.max(-1, keepdims=True)
    points = np.floor(2.0 ** (15 - np.arange(65) / 64) + 0.5).astype(np.int64)
    net.constants["exp2"] = points
    net.add(
        "attention", f"{at}.mixed", Tensor(D), q=f"{at}.q", k=f"{at}.k", v=f"{at}.v", heads=H, window=W,
        bias=f"{at}.distance", distances=[list(range(W))] * H,
    )  # fmt: skip
    terms = [net.term(None, h), net.term(weights["attention.out.weight"], f"{at}.mixed", f"{at}.out")]
    return net.linear(f"{at}.attended", Tensor(D), terms, weights["attention.out.bias"])


def _mlp(net: Network, config: TransformerModel, weights: Arrays, at: str, h: str) -> str:
    """Append the MLP and its residual."""
    matrix, bias = weights["mlp_in.weight"], weights["mlp_in.bias"]
    wide = weights["mlp_out.weight"].shape[1]
    if config.activation == "bilinear":
        for i, name in enumerate(("left", "right")):
            rows = slice(i * wide, (i + 1) * wide)
            net.linear(f"{at}.{name}", Tensor(wide), [net.term(matrix[rows], h, f"{at}.{name}")], bias[rows])
        net.add("multiply", f"{at}.active", Tensor(wide), a=f"{at}.left", b=f"{at}.right")
    else:
        sums = Tensor(wide) if config.activation == "relu" else Tensor(wide, wider=8, shared=True)
        net.linear(f"{at}.wide", sums, [net.term(matrix, h, f"{at}.wide")], bias)
        if config.activation == "relu":
            net.add("relu", f"{at}.active", Tensor(wide), x=f"{at}.wide")
        else:  # GELU is x times the distribution function of the normal distribution
            _table(net, "normal", f"{at}.wide", f"{at}.share", wide)
            net.add("multiply", f"{at}.active", Tensor(wide), a=f"{at}.wide", b=f"{at}.share")
    terms = [net.term(None, h), net.term(weights["mlp_out.weight"], f"{at}.active", f"{at}.mlp_out")]
    return net.linear(f"{at}.done", Tensor(config.d_model), terms, weights["mlp_out.bias"])


# Functions with a table of x >= 0: intervals of 2^-bits, whether f(-x) = -f(x) (otherwise 1 - f(x)), f
FUNCTIONS: dict[str, tuple[int, bool, Any]] = {
    "sigmoid": (5, False, lambda x: 1 / (1 + math.exp(-x))),
    "tanh": (6, True, math.tanh),
    "normal": (6, False, lambda x: 0.5 * (1 + math.erf(x / math.sqrt(2)))),
}


def _table(
    net: Network, function: str, x: str, out: str, size: int, width: Literal["activation", "state"] = "activation"
) -> None:
    interval, odd, f = FUNCTIONS[function]
    points = [math.floor(2**15 * f(i / 2**interval) + 0.5) for i in range(TABLE_POINTS)]
    net.constants[function] = np.array(points, np.int64)
    net.add("table", out, Tensor(size, width, unit=True), x=x, table=function, interval=interval, odd=odd)


def _gru(net: Network, config: GRUModel, weights: Arrays, sx: float, sy: float, out: str) -> None:
    scales = _features(net, config.features, sx)
    size, sums = config.hidden, Tensor(config.hidden, wider=8, shared=True)
    h = ""
    for layer in range(config.layers):
        W, R = weights[f"gru.weight_ih_l{layer}"], weights[f"gru.weight_hh_l{layer}"]
        b, c = weights[f"gru.bias_ih_l{layer}"], weights[f"gru.bias_hh_l{layer}"]
        at, below, h = f"layer{layer}", h, f"layer{layer}.hidden"
        rows = {name: slice(i * size, (i + 1) * size) for i, name in enumerate(("reset", "update", "new"))}
        for name, part in rows.items():  # does not read the state: outside of the loop
            terms = (
                [net.term(W[part], below, f"{at}.{name}.given")] if below
                else _of_features(net, scales, W[part], f"{at}.{name}.given")
            )  # fmt: skip
            net.linear(f"{at}.{name}.given", sums, terms, b[part] + (0 if name == "new" else c[part]))
        first = len(net.steps)
        for name in ("reset", "update"):
            terms = [net.term(None, f"{at}.{name}.given"), net.term(R[rows[name]], h, f"{at}.{name}.recurrent", 1)]
            net.linear(f"{at}.{name}.sum", sums, terms)
            _table(net, "sigmoid", f"{at}.{name}.sum", f"{at}.{name}", size)
        recurrent = [net.term(R[rows["new"]], h, f"{at}.new.recurrent", 1)]
        net.linear(f"{at}.new.recurrent", sums, recurrent, c[rows["new"]])
        net.add("multiply", f"{at}.new.sum", sums, a=f"{at}.reset", b=f"{at}.new.recurrent", add=f"{at}.new.given")
        _table(net, "tanh", f"{at}.new.sum", f"{at}.new", size, "state")
        net.add("blend", h, Tensor(size, "state", unit=True), x=f"{at}.update", a=f"{at}.new", b=h)
        net.loops.append([first, len(net.steps)])
    terms = [net.term(weights["head.weight"] * sy, h, "head")]
    if config.skip == "on":
        terms += _of_features(net, scales, weights["skip.weight"] * sy, "skip")
    net.linear(out, Tensor(2, "port", shared=True), terms, weights["head.bias"] * sy)


def _gmp(net: Network, config: GMPModel, weights: Arrays, sx: float, sy: float, out: str) -> None:
    """Append a GMP: the complex gain of each delay is a sum over the powers of near envelopes, at the same sample."""
    K, P, cross = config.delays, config.order, config.cross
    powers = _powers(net, P)
    scale = [sy / sx ** (p + 1) / math.sqrt(math.factorial(p + 1)) for p in range(P)]

    def gain(name: str, aligned: Array, crossed: Array | None) -> str:
        """aligned: (P, K, 2), crossed: (2 cross, P - 1, K, 2) -> the tensor (2 K: real parts, imaginary parts)."""
        terms = []
        offsets = [m for m in range(-cross, cross + 1) if m] if crossed is not None else []
        for m, rows, first in [
            (0, aligned, 0),
            *((m, crossed[i], 1) for i, m in enumerate(offsets) if crossed is not None),
        ]:
            for p, row in enumerate(rows, start=first):
                if p:
                    column = scale[p] * row.T.reshape(2 * K, 1)
                    terms.append(net.term(column, powers[p], f"{name}.{m}.{p}", m + cross))
        return net.linear(name, Tensor(2 * K, wider=2, shared=True), terms, scale[0] * aligned[0].T.reshape(2 * K))

    main = gain("gain", weights["aligned"], weights.get("crossed"))
    image = gain("image", weights["conjugated"], None) if "conjugated" in weights else None
    for name in (main, image):
        if name:
            net.remember(name, K - 1)
    net.remember("x", cross + K - 1)
    bias = None
    if "constant" in weights:
        bias = f"{out}.bias"
        net.weights[bias] = weights["constant"] * sy
    net.add("taps", out, Tensor(2, "port", shared=True), x="x", delay=cross, gain=main, image=image, count=K, bias=bias)
    net.lookahead = cross


def _powers(net: Network, count: int) -> dict[int, str]:
    """Append |x|^p for 0 < p < count; returns the tensors."""
    found: dict[int, str] = {}
    for p in range(1, count):
        if p == 1:
            found[p] = net.add("magnitude", "envelope", Tensor(1), x="x", extra=EXTRA_ROOT_BITS)
        elif p == 2:
            found[p] = net.add("power", "power", Tensor(1), x="x")
        else:
            found[p] = net.add("multiply", f"power{p}", Tensor(1), a=found[p - 2], b="power")
    return found
