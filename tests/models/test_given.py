"""Modules that are passed from Python: checked before anything is trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpdrun import models
from dpdrun.errors import RecipeError
from dpdrun.models._base import BehaviouralModel, stream
from dpdrun.models._given import accept, build_given, given_modules
from dpdrun.models.gru import Config, Model
from dpdrun.recipe.plugins import MissingPluginError


class Taps(nn.Module):
    """A filter over `back` past and `ahead` future samples."""

    def __init__(self, back: int, ahead: int, **declared: Any) -> None:
        super().__init__()
        self.back, self.ahead = back, ahead
        self.weight = nn.Parameter(torch.randn(2, 2, back + ahead + 1))
        for name, value in declared.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv1d(F.pad(x.transpose(1, 2), (self.back, self.ahead)), self.weight).transpose(1, 2)


def test_a_module_becomes_a_model_that_streams() -> None:
    taps = Taps(3, 2, context=3, look_ahead=2)
    section, modules = accept(taps)
    assert (section.module, section.context, section.look_ahead) == ("Taps", 3, 2)
    with torch.no_grad():
        taps.weight.zero_()  # what is trained is a copy
    with given_modules(modules):
        model = models.build(section, scale_x=2.0, scale_y=3.0)  # type: ignore[arg-type]
    x = torch.randn(2, 50, 2)
    assert torch.allclose(stream(model, x, 7), model(x), atol=1e-6)
    assert bool(model(x).any())
    assert (model.lookahead, model.context, model.macs_per_sample) == (2, 3, 24)


def built(module: nn.Module, **scales: float) -> BehaviouralModel:
    section, modules = accept(module)
    with given_modules(modules):
        return build_given(section, **({"scale_x": 1.0, "scale_y": 1.0} | scales))


def test_a_module_of_unknown_memory_takes_complete_records() -> None:
    model = built(Taps(3, 0))
    assert (model.context, model.lookahead) == (None, None)


def test_a_behavioural_model_gets_the_scales_of_the_capture() -> None:
    gru = Model(Config(kind="gru", hidden=3), scale_x=1.0, scale_y=1.0)
    model = built(gru, scale_x=2.0, scale_y=4.0)
    assert isinstance(model, Model)
    assert (float(model.scale_x), float(model.scale_y)) == (2.0, 4.0)


class Wrong(nn.Module):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.weight, self.value = nn.Parameter(torch.zeros(1)), value

    def forward(self, x: Tensor) -> Any:
        return self.value(x)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Taps, "expected a torch.nn.Module, not a type; pass an object of the class"),
        ("net", "expected a torch.nn.Module, not a str"),
        (nn.Identity(), "Identity has no parameter to train"),
        (nn.Linear(3, 2), r"Linear fails on a float32 input of shape \(2, 64, 2\): RuntimeError"),
        (Wrong(lambda x: x[:, :-1]), r"maps an input of shape \(2, 64, 2\) to shape \(2, 63, 2\)"),
        (Wrong(lambda x: (x, None)), "to a tuple; it has to be"),
        (Wrong(lambda x: x / 0), "values that are not finite"),
        (Wrong(lambda x: x[:, 1:] if x.shape[1] == 1 else x), r"of shape \(2, 1, 2\) to shape \(2, 0, 2\)"),
        (Taps(4, 0, context=3), "declares a context of 3, but an output depends on 4 samples back"),
        (Taps(1, 2, context=3, look_ahead=1), "declares a look_ahead of 1, but an output depends on 2 later samples"),
        (Taps(1, 2, context=-1), "Taps.context is -1; it is a number of samples"),
        (Taps(1, 2, context=1.5), "Taps.context is 1.5; it is a number of samples"),
    ],
)
def test_what_is_no_model_is_refused(module: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        accept(module)


def test_taps_that_start_at_zero_count() -> None:
    taps = Taps(4, 0, context=3)
    with torch.no_grad():
        taps.weight[..., :-1] = 0.0
    with pytest.raises(RecipeError, match="an output depends on 4 samples back"):
        accept(taps)


def test_a_module_that_was_not_passed_is_asked_for() -> None:
    section, modules = accept(Taps(1, 0))
    with given_modules(modules):
        pass
    with pytest.raises(MissingPluginError, match=r"from Python, Taps; pass it again: dpdrun.load_run\(path, model="):
        build_given(section, scale_x=1.0, scale_y=1.0)
