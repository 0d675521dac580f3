"""Write ONNX, for onnxruntime and compilers. The description is in the model's metadata."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dpdrun.errors import RunError
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import Step

INSTALL = "pip install 'dpdrun[export]'   (or: pip install onnx onnxruntime)"


def require() -> None:
    """Raise RunError if a library is missing, before any work."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise RunError(
            f"export to onnx or qonnx needs the package {error.name}, which is not installed:\n  {INSTALL}"
        ) from None


def write(path: Path, graph: StepGraph, description: dict[str, Any]) -> None:
    """Write one step of a model. Raises RunError for a kind that has no graph here."""
    import onnx

    from dpdrun.export.onnx_graph import Graph
    from dpdrun.export.onnx_models import KINDS

    build = KINDS.get(description["kind"])
    if build is None:
        raise RunError(
            f"onnx has no graph for model.kind {description['kind']}, only for {', '.join(KINDS)}; "
            "use --to torchscript, which supports every kind"
        )
    g = Graph()
    weights = {name: tensor.numpy() for name, tensor in graph.inner.state_dict().items()}
    x = g.div(g.squeeze("x"), g.constant(weights["scale_x"], "scale_x"))
    y = g.mul(build(g, graph.inner.config, weights, x), g.constant(weights["scale_y"], "scale_y"))
    if math.isfinite(graph.peak):
        tiny = g.constant(np.finfo(np.float32).tiny)
        magnitude = g.op("Max", g.op("Sqrt", g.sum_of_squares(y)), tiny)
        factor = g.op("Min", g.op("Div", g.constant(graph.peak), magnitude), g.constant(1.0))
        y = g.mul(y, factor)
    g.unsqueeze(y, name="y")
    metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}
    onnx.save(g.finish(description["inputs"], description["outputs"], metadata), path)


def load(path: Path, description: dict[str, Any]) -> Step:
    """Return the step of such a file, run by onnxruntime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [part["name"] for part in description["inputs"][1:]]

    def step(x: Any, state: Any) -> Any:
        y, *after = session.run(None, {"x": x, **state})
        return y, dict(zip(names, after, strict=True))

    return step
