"""What an exported file says of itself."""

from __future__ import annotations

import json
from typing import Any


def test_inputs_and_outputs_are_those_of_the_step(case: Any) -> None:
    said = json.loads(json.dumps(case.description))
    assert [part["name"] for part in said["inputs"]] == ["x", *case.graph.state]
    assert [part["name"] for part in said["outputs"]] == ["y", *(f"{name}_next" for name in case.graph.state)]
    for part, tensor in zip(said["inputs"][1:], case.graph.state.values(), strict=True):
        assert part["shape"] == list(tensor.shape)
        assert part["dtype"] == ("int64" if part["name"] == "position" else "float32")


def test_the_facts_of_the_model(case: Any) -> None:
    said, model = case.description, case.graph.inner
    assert said["lookahead"] == model.lookahead
    assert said["context"] == model.context
    assert said["parameters"] == sum(p.numel() for p in model.parameters()) > 0
    assert (round(said["scale_x"], 6), round(said["scale_y"], 6)) == (0.2, 0.7)
    assert said["config"]["kind"] == said["kind"]
