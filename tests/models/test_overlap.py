from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dpdrun.models._base import stream
from dpdrun.models._overlap import OverlappingModel, as_behavioural
from dpdrun.recipe.plugins import PluginError


class Filter(nn.Module):
    """Each output is a nonlinear function of the input from `context` samples ago to `look_ahead` samples ahead."""

    def __init__(self, context: int, look_ahead: int) -> None:
        super().__init__()
        self.context, self.look_ahead = context, look_ahead
        self.conv = nn.Conv1d(2, 2, context + look_ahead + 1)

    def forward(self, x: Tensor) -> Tensor:
        padded = nn.functional.pad(x.transpose(1, 2), (self.context, self.look_ahead))
        return torch.tanh(self.conv(padded)).transpose(1, 2)


def record(length: int) -> Tensor:
    return torch.randn(2, length, 2, generator=torch.Generator().manual_seed(length))


@settings(max_examples=25)
@given(
    context=st.integers(0, 7), look_ahead=st.integers(0, 4), length=st.integers(1, 40), chunk=st.integers(1, 45)
)  # fmt: skip
def test_a_stream_by_overlap_equals_the_module_itself(context: int, look_ahead: int, length: int, chunk: int) -> None:
    torch.manual_seed(0)
    module, x = Filter(context, look_ahead), record(length)
    model = OverlappingModel(module, scale_x=2.0, scale_y=3.0)
    expected = 3.0 * module(x / 2.0)
    torch.testing.assert_close(model(x), expected)
    torch.testing.assert_close(stream(model, x, chunk), expected)


def test_a_context_that_is_too_short_shows_at_the_seams() -> None:
    torch.manual_seed(0)
    x, model = record(40), OverlappingModel(Filter(5, 0), context=4)
    assert (stream(model, x, 8) - model(x)).abs().max() > 1e-3


def test_without_a_context_a_module_takes_complete_records() -> None:
    model = OverlappingModel(nn.Linear(2, 2), scale_y=2.0)
    assert model.lookahead is None
    assert model(record(9)).shape == (2, 9, 2)
    with pytest.raises(ValueError, match="unknown memory"):
        model.initial_state(1)


def test_a_negative_context_is_refused() -> None:
    with pytest.raises(PluginError, match="Linear: context is -1"):
        OverlappingModel(nn.Linear(2, 2), context=-1)


def test_macs_are_the_weights_unless_the_module_knows_better() -> None:
    module = Filter(3, 1)
    assert OverlappingModel(module).macs_per_sample == 2 * 2 * 5
    module.macs_per_sample = 7  # type: ignore[assignment]
    assert OverlappingModel(module).macs_per_sample == 7


def test_a_behavioural_model_is_left_as_it_is() -> None:
    model = OverlappingModel(Filter(1, 0))
    assert as_behavioural(model, scale_x=5.0, scale_y=5.0) is model
