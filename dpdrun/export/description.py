"""What an exported file says of itself: plain values, the same in every format."""

from __future__ import annotations

import hashlib
import math
from typing import Any

from dpdrun import __version__
from dpdrun.data.capture import Capture
from dpdrun.export.step import NEXT, StepGraph
from dpdrun.plan.plan import Plan
from dpdrun.recipe.schema import ModelSection
from dpdrun.run.folder import RunFolder

FORMAT = "dpdrun-export-1"

MEANING = {
    "pa": "x: input of the amplifier, y: its output as the model predicts it",
    "dpd": "x: the wanted signal, y: the predistorted input of the amplifier",
}
STREAMING = (
    "T >= 1 is free. The state of a new record is zeros; give every output *_next to the next call as the input of "
    "that name. Output n of the stream belongs to input n - lookahead: drop the first lookahead outputs, and end a "
    "record with lookahead zeros."
)


def describe(graph: StepGraph, plan: Plan, capture: Capture, run: RunFolder) -> dict[str, Any]:
    """Where a file comes from, and `of_model`.

    Args:
        graph: what is exported.
        run: its folder, with a finished model.
    """
    made = plan.predistortion
    return {
        "format": FORMAT,
        "dpdrun": __version__,
        "run": run.path.resolve().name,
        "run_sha256": hashlib.sha256(run.model.read_bytes()).hexdigest(),
        "plan_sha256": plan.digest(capture.sha256),
        "capture": capture.name,
        "sample_rate_hz": capture.sample_rate_hz,
        "task": plan.recipe.task,
        "meaning": MEANING[plan.recipe.task],
        **({} if made is None else {"target_gain": made.gain}),
        **of_model(graph, plan.recipe.model),
        "verified": "streamed over the test part in uneven chunks; largest error below 1e-5 of the rms of the output",
    }


def of_model(graph: StepGraph, section: ModelSection) -> dict[str, Any]:
    """What is needed to run a step: kind and settings, scales, delay, and the inputs and outputs in their order."""
    model = graph.inner
    state: list[dict[str, Any]] = [
        {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        for name, tensor in graph.state.items()
    ]
    signal: dict[str, Any] = {"shape": [1, "T", 2], "dtype": "float32"}
    return {
        "kind": section.kind,
        "config": section.model_dump(mode="json"),
        "units": "x and y: I, Q in the units of the capture; the scales are applied inside",
        "scale_x": float(model.scale_x),
        "scale_y": float(model.scale_y),
        "peak_limit": None if math.isinf(graph.peak) else graph.peak,
        "lookahead": model.lookahead,
        "context": model.context,
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs_per_sample": model.macs_per_sample,
        "inputs": [{"name": "x", **signal}, *state],
        "outputs": [{"name": "y", **signal}, *({**part, "name": f"{part['name']}{NEXT}"} for part in state)],
        "streaming": STREAMING,
    }
