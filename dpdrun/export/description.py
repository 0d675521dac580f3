"""Describe an exported file: plain values, the same in every format."""

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
    "dpd": "x: the signal to amplify, y: the predistorted input of the amplifier",
}
STREAMING = (
    "T >= 1 is free. The state of a new record is zeros; pass every output *_next to the next call as the input of "
    "that name. Output n of the stream belongs to input n - lookahead: drop the first lookahead outputs, and end a "
    "record with lookahead zeros."
)


def describe(graph: StepGraph, plan: Plan, capture: Capture, run: RunFolder) -> dict[str, Any]:
    """Return the origin of a file, and `describe_step`.

    Args:
        graph: the exported step.
        run: the folder of a finished run.
    """
    settings = plan.predistortion
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
        **({} if settings is None else {"target_gain": settings.gain}),
        **describe_step(graph, plan.recipe.model),
        "verified": "streamed over the test part in uneven chunks; largest error below 1e-5 of the rms of the output",
    }


def describe_step(graph: StepGraph, section: ModelSection) -> dict[str, Any]:
    """Return what running a step needs: kind and settings, scales, delay, and inputs and outputs in order."""
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
