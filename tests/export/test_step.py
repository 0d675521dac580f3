"""The interface of exported files: a flat, named state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import TOLERANCE, relative_error
from dpdrun.recipe.schema import TransformerModel


def test_a_stream_of_steps_is_the_model(case: Any) -> None:
    def step(x: Any, state: Any) -> Any:
        with torch.no_grad():
            y, *after = case.graph(torch.from_numpy(x), *(torch.from_numpy(np.asarray(v)) for v in state.values()))
        return y.numpy(), dict(zip(state, (each.numpy() for each in after), strict=True))

    assert relative_error(case.through(step), case.expected[0]) < TOLERANCE


def test_the_state_holds_what_is_read_and_nothing_else(case: Any) -> None:
    names = set(case.graph.state)
    config = case.graph.inner.config
    assert all(tensor.numel() for tensor in case.graph.state.values())
    assert not any(tensor.any() for tensor in case.graph.state.values())
    if config.kind == "transformer":
        assert ("position" in names) == (config.positions == "sinusoidal")
        assert ("waiting" in names) == (config.lookahead > 0)
        assert ("conv" in names) == (config.conv > 1)
        assert {"keys_0", "values_0", "keys_1", "values_1"} <= names
    else:
        assert names == ({"hidden"} if config.kind == "gru" else {"past"} if config.delays > 1 else set())


def test_full_attention_has_no_state_to_carry() -> None:
    section = TransformerModel(kind="transformer", d_model=8, layers=1, heads=2, window="full", positions="none")
    with pytest.raises(RunError, match=r"window: full.*cannot be exported.*train it with model.window in samples"):
        StepGraph(models.build(section, scale_x=1.0, scale_y=1.0), "transformer")


def test_a_limiter_is_seen(predistorter: Any) -> None:
    assert predistorter.graph.peak == 0.4
    assert predistorter.description["peak_limit"] == 0.4
