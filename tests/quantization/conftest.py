"""Small models of every kind that has a fixed-point form, rounded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dpdrun import models
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.models._cascade import limit
from dpdrun.quantization import calibration, network
from dpdrun.quantization.reference import Program, Weights
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, QuantizationSection, TransformerModel

SMALL: dict[str, Any] = {
    "kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 5, "norm": "off", "activation": "bilinear"
}  # fmt: skip
SECTIONS: dict[str, ModelSection] = {
    "transformer": TransformerModel(**SMALL, ff_mult=0.375, attention_bias="query"),
    "transformer, look-ahead": TransformerModel(**SMALL, lookahead=3, positions="none", conv=1),
    "transformer, bare": TransformerModel(
        **SMALL | {"activation": "relu", "layers": 1}, conv=0, features="iq", skip="off"
    ),
    "transformer, gelu": TransformerModel(**SMALL | {"activation": "gelu", "layers": 1}, lookahead=1),
    "gru": GRUModel(kind="gru", hidden=6, layers=2),
    "gru, bare": GRUModel(kind="gru", hidden=5, features="iq", skip="off"),
    "gmp": GMPModel(kind="gmp", order=5, delays=5, cross=2),
    "gmp, DC and image": GMPModel(kind="gmp", order=3, delays=4, cross=1, constant="on", conjugate="on"),
    "gmp, no memory": GMPModel(kind="gmp", order=1, delays=1, cross=0),
    "gru, limited": GRUModel(kind="gru", hidden=6),
    "gmp, limited": GMPModel(kind="gmp", order=4, delays=5, cross=2),
}
PEAK = 0.4


@dataclass(frozen=True)
class Case:
    """A model, a record, and the model's output for it in float64."""

    network: network.Network
    ranges: dict[str, calibration.Range]
    x: NDArray[np.complex128]
    expected: NDArray[np.complex128]

    def rounded(self, **settings: Any) -> tuple[Program, Weights]:
        """The program with these settings."""
        return calibration.quantize(self.network, self.ranges, QuantizationSection(**settings))

    def loss_db(self, y: NDArray[np.complex128]) -> float:
        """How much of the output changed [dB]."""
        return calibration.decibel(y, self.expected)


@cache
def case_of(name: str) -> Case:
    """Do not write into it: it is built once."""
    section = SECTIONS[name]
    torch.manual_seed(0)
    model = models.build(section, scale_x=0.2, scale_y=0.7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    rng = np.random.default_rng(1)
    x = 0.14 * (rng.standard_normal(400) + 1j * rng.standard_normal(400))
    peak = PEAK if "limited" in name else float("inf")
    model.double()
    with torch.inference_mode():
        expected = to_complex(limit(model(to_pairs(x)[None].double()), peak)[0])
    weights = {n: t.numpy() for n, t in model.state_dict().items() if n not in ("scale_x", "scale_y")}
    net = network.build(section, weights, scale_x=0.2, scale_y=0.7, peak=peak)
    ranges, net = calibration.observe(net, x)
    return Case(net, ranges, x, expected)


@pytest.fixture(params=SECTIONS)
def case(request: pytest.FixtureRequest) -> Case:
    """Every kind and setting in turn."""
    return case_of(request.param)


@pytest.fixture
def transformer() -> Case:
    """One of them."""
    return case_of("transformer")
