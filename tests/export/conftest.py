"""Models of every kind that streams, as they are exported, with their state and output to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dpdrun import models
from dpdrun.export.description import describe_step
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import Step, reference_outputs, stream_step
from dpdrun.models._cascade import LimitedPredistorter
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

TRANSFORMER: dict[str, Any] = {"kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 5}
SECTIONS: dict[str, ModelSection] = {
    "transformer": TransformerModel(**TRANSFORMER),
    "transformer, look-ahead": TransformerModel(**TRANSFORMER, lookahead=3, positions="none", conv=1),
    "transformer, odd settings": TransformerModel(
        **TRANSFORMER, conv=0, embedding="layernorm_mlp", features="iq", skip="off", activation="relu"
    ),
    "transformer, sinusoidal": TransformerModel(**TRANSFORMER, positions="sinusoidal"),
    "transformer, small": TransformerModel(
        **TRANSFORMER, ff_mult=0.375, activation="bilinear", norm="off", attention_bias="query"
    ),
    "gru": GRUModel(kind="gru", hidden=6, layers=2),
    "gru, bare": GRUModel(kind="gru", hidden=5, features="iq", skip="off"),
    "gmp": GMPModel(kind="gmp", order=4, delays=5, cross=2),
    "gmp, no cross terms": GMPModel(kind="gmp", order=3, delays=4, cross=0),
    "gmp, DC and image": GMPModel(kind="gmp", order=3, delays=4, cross=1, constant="on", conjugate="on"),
    "gmp, linear": GMPModel(kind="gmp", order=1, delays=3, cross=1),  # which has no cross terms
    "gmp, no memory": GMPModel(kind="gmp", order=1, delays=1, cross=0),
    "gru, limited": GRUModel(kind="gru", hidden=6),
    "gmp, limited": GMPModel(kind="gmp", order=4, delays=5, cross=2),
}


@dataclass(frozen=True)
class Case:
    """An exported model, a record, and the model's output for it."""

    graph: StepGraph
    description: dict[str, Any]
    x: NDArray[np.complex128]
    expected: list[NDArray[np.complex128]]

    @property
    def state(self) -> dict[str, NDArray[Any]]:
        return {name: tensor.numpy() for name, tensor in self.graph.state.items()}

    def through(self, step: Step) -> NDArray[np.complex128]:
        """The record through an exported step, in uneven chunks."""
        return stream_step(step, self.state, self.x, self.description["lookahead"])


@cache
def case_of(name: str) -> Case:
    """Do not write into it: it is built once."""
    section = SECTIONS[name]
    torch.manual_seed(0)
    model = models.build(section, scale_x=0.2, scale_y=0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    if "limited" in name:
        model = LimitedPredistorter(model, 0.4)
    rng = np.random.default_rng(1)
    x = 0.14 * (rng.standard_normal(1500) + 1j * rng.standard_normal(1500))
    graph = StepGraph(model.eval(), section.kind).eval()
    return Case(graph, describe_step(graph, section), x, reference_outputs(model, x))


@pytest.fixture(params=SECTIONS)
def case(request: pytest.FixtureRequest) -> Case:
    """Every kind and setting in turn."""
    return case_of(request.param)


@pytest.fixture
def cases() -> Callable[[str], Case]:
    """Any of them, by name."""
    return case_of


@pytest.fixture
def gru() -> Case:
    """One of them."""
    return case_of("gru")


@pytest.fixture
def predistorter() -> Case:
    """One with a limiter that is reached."""
    case = case_of("gmp, limited")
    assert np.isclose(np.abs(case.expected[1]), 0.4).sum() > 10
    return case
