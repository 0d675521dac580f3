"""Write weights, description and a golden vector to one .npz, for a custom implementation (FPGA, DSP, C).

    description          JSON text: `description.describe`, the names of the weights, how to compute one step
    weights/<name>       float32, as they are in the run
    golden/x             complex64 (N,): the first samples of the test split, after silence
    golden/y             complex128 (N,): the output of the run, computed in float64

`numpy_reference` computes such a file in NumPy alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.export import numpy_reference
from dpdrun.export.step import StepGraph, frequencies
from dpdrun.export.verify import Step, reference_outputs

GOLDEN_SAMPLES = 1024
KINDS = ("transformer", "gru", "gmp")  # of numpy_reference

HOW = {
    "all": "x / scale_x goes in, y * scale_y comes out. linear(name): x @ name.weight.T + name.bias. features: I and Q "
    "times sqrt(2); with config.features envelope also e = sqrt(I^2 + Q^2 + 1e-12) and e (I^2 + Q^2) / sqrt(6). "
    "peak_limit (if not null): samples of y of a larger magnitude are scaled back to it. Readable code for every step: "
    "dpdrun/export/numpy_reference.py, which needs NumPy alone.",
    "gru": "Per layer l, with a = gru.weight_ih_l x + gru.bias_ih_l and b = gru.weight_hh_l h + gru.bias_hh_l, rows in "
    "the order r, z, n: r = sigmoid(a_r + b_r), z = sigmoid(a_z + b_z), n = tanh(a_n + r b_n), h = (1 - z) n + z h. "
    "y = head(h of the last layer) + skip(features). State: hidden (layers, 1, hidden).",
    "gmp": "y[n] = sum over k, m, p of c[m, p, k] x[n - k] e[n - k - m]^p / sqrt((p + 1)!), complex, e = sqrt(|x|^2 + "
    "1e-12). aligned (order, delays, 2 = re, im): m = 0; crossed (2 cross, order - 1, delays, 2): m = -cross .. -1, "
    "1 .. cross, p from 1; if there, conjugated (order, delays, 2) is for conj(x[n - k]) e[n - k]^p, and constant (re, "
    "im) is added to y. State: past, the last delays - 1 + 2 cross inputs divided by scale_x.",
    "transformer": "h = embedding(features) [layernorm_mlp: 0 linear, 1 norm, relu, 4 linear]; depthwise causal "
    "convolution, conv[d] weights the sample conv - 1 - d ago; if config.positions is sinusoidal, + sines (even "
    "columns) and cosines (odd) of position times frequencies, in float32. Per block: h += "
    "out(attention(norm_attention(h))), then h += mlp_out(act(mlp_in(norm_mlp(h)))); act: exact gelu, or relu; norms: "
    "over the last axis, eps 1e-5. Attention: the rows of qkv are q, k, v, each of heads times E = d_model / heads; "
    "sample n sees the samples n - window + 1 .. n (keys and values before a record are 0); scores q.k / sqrt(E) + "
    "relative_bias[head, distance], softmax over them, sum of values. y = head(h) + skip(features) + skip_ahead(I of "
    "the next lookahead samples, nearest first, then their Q). State: conv; keys_l, values_l of the last window "
    "samples; waiting: head output and features of the last lookahead samples; position.",
}


def write(path: Path, graph: StepGraph, description: dict[str, Any], golden: NDArray[np.complex128]) -> None:
    """Write weights, description and golden vector.

    Args:
        golden: input of the golden vector, (N,) complex; the first GOLDEN_SAMPLES are used.

    Raises:
        RunError: there is no reference implementation of the kind.
    """
    kind = description["kind"]
    if kind not in KINDS:
        raise RunError(f"npz has no reference for model.kind {kind}, only for {', '.join(KINDS)}; use --to torchscript")
    weights = {n: t.numpy() for n, t in graph.inner.state_dict().items() if n not in ("scale_x", "scale_y")}
    if "position" in graph.state:
        weights["frequencies"] = frequencies(description["config"]["d_model"])
    x = golden[:GOLDEN_SAMPLES].astype(np.complex64)
    content = description | {"weights": list(weights), "how": {"all": HOW["all"], kind: HOW[kind]}}
    arrays: dict[str, Any] = {f"weights/{name}": array for name, array in weights.items()}
    arrays |= {"golden/x": x, "golden/y": reference_outputs(graph.model, x.astype(np.complex128))[1]}
    with path.open("wb") as handle:
        np.savez(handle, description=np.array(json.dumps(content, indent=1)), **arrays)


def load(path: Path, description: dict[str, Any]) -> Step:  # noqa: ARG001
    """Return the step of such a file, computed by `numpy_reference`."""
    content, weights = numpy_reference.load(path)

    def step(x: Any, state: Any) -> Any:
        y, after = numpy_reference.step(content, weights, np.asarray(x[0], np.float64), state)
        return y[None], after

    return step
