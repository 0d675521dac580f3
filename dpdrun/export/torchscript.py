"""Write TorchScript, for LibTorch (C++) and Python programs with torch.

The description is the extra file `dpdrun.json`. PyTorch has deprecated TorchScript (2.9 and later warn); it serves
programs that load it today.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dpdrun.export.step import NEXT, StepGraph
from dpdrun.export.verify import Step

EXTRA_FILE = "dpdrun.json"
TRACED_SAMPLES = 37  # arbitrary: `verify` checks that no length is built in


def write(path: Path, graph: StepGraph, description: dict[str, Any]) -> None:
    """Trace one step and write it with its description."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the deprecation; and constants of the trace, which `verify` checks
        example = (torch.zeros(1, TRACED_SAMPLES, 2), *graph.state.values())
        traced = torch.jit.trace(graph.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, path, _extra_files={EXTRA_FILE: json.dumps(description, indent=2)})


def load(path: Path, description: dict[str, Any]) -> Step:
    """Return the step of such a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    names = [part["name"] for part in description["inputs"][1:]]
    assert [part["name"] for part in description["outputs"][1:]] == [name + NEXT for name in names]

    def step(x: Any, state: Any) -> Any:
        with torch.no_grad():
            y, *after = module(torch.from_numpy(x), *(torch.from_numpy(np.asarray(state[name])) for name in names))
        return y.numpy(), {name: value.numpy() for name, value in zip(names, after, strict=True)}

    return step
