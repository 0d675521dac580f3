from __future__ import annotations

import numpy as np
import torch

from dpdrun.models._features import features
from dpdrun.models.gru import Config, Model


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_equals_the_gate_equations() -> None:
    torch.manual_seed(0)
    model = Model(Config(kind="gru", hidden=3), scale_x=1.0, scale_y=2.0)
    x = torch.randn(1, 6, 2)
    weights = {name: p.detach().numpy() for name, p in model.named_parameters()}
    W, U = weights["gru.weight_ih_l0"].reshape(3, 3, 4), weights["gru.weight_hh_l0"].reshape(3, 3, 3)
    b, c = weights["gru.bias_ih_l0"].reshape(3, 3), weights["gru.bias_hh_l0"].reshape(3, 3)
    h, expected = np.zeros(3), []
    for f in features(x, "envelope")[0].numpy():
        reset, update = (sigmoid(W[i] @ f + b[i] + U[i] @ h + c[i]) for i in (0, 1))
        h = (1 - update) * np.tanh(W[2] @ f + b[2] + reset * (U[2] @ h + c[2])) + update * h
        expected.append(2.0 * (weights["head.weight"] @ h + weights["head.bias"] + weights["skip.weight"] @ f))
    np.testing.assert_allclose(model(x)[0].detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_macs_and_parameters_by_hand() -> None:
    model = Model(Config(kind="gru", hidden=23), scale_x=1.0, scale_y=1.0)
    linear = 3 * 23 * (4 + 23) + 2 * 23 + 2 * 4
    assert model.macs_per_sample == linear
    assert sum(p.numel() for p in model.parameters()) == linear + 2 * 3 * 23 + 2


def test_weight_decay_spares_biases() -> None:
    model = Model(Config(kind="gru", hidden=4, layers=2), scale_x=1.0, scale_y=1.0)
    assert model.no_decay() == {"head.bias"} | {f"gru.bias_{g}_l{layer}" for g in ("ih", "hh") for layer in (0, 1)}
