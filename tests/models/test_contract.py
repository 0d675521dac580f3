"""What every kind promises, checked on every file that the models folder holds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from dpdrun import models
from dpdrun.models._base import BehaviouralModel, stream
from dpdrun.models._features import RMS_I
from dpdrun.recipe.schema import GMPModel, GRUModel, TransformerModel

TRANSFORMER: dict[str, Any] = {"kind": "transformer", "d_model": 8, "layers": 2, "heads": 2, "window": 5}
CONFIGS = {
    "transformer": TransformerModel(**TRANSFORMER),
    "transformer, look-ahead": TransformerModel(**TRANSFORMER, lookahead=3, positions="none"),
    "transformer, odd settings": TransformerModel(
        **TRANSFORMER, conv=0, dropout=0.3, residual_init="xavier", embedding="layernorm_mlp", features="iq", skip="off"
    ),
    "transformer, sinusoidal": TransformerModel(**TRANSFORMER, positions="sinusoidal", activation="relu"),
    "transformer, small": TransformerModel(
        **TRANSFORMER, ff_mult=0.375, activation="bilinear", norm="off", attention_bias="query"
    ),
    "transformer, full": TransformerModel(**{**TRANSFORMER, "window": "full", "positions": "none"}),
    "gru": GRUModel(kind="gru", hidden=6, layers=2),
    "gru, bare": GRUModel(kind="gru", hidden=5, features="iq", skip="off"),
    "gmp": GMPModel(kind="gmp", order=4, delays=5, cross=2),
    "gmp, DC and image": GMPModel(kind="gmp", order=3, delays=4, cross=1, constant="on", conjugate="on"),
    "gmp, no cross terms": GMPModel(kind="gmp", order=3, delays=4, cross=0),
}
STREAMING = [name for name in CONFIGS if "full" not in name]
TIME_INVARIANT = [name for name in STREAMING if "gru" not in name and "sinusoidal" not in name]

every = pytest.mark.parametrize("name", CONFIGS)


def model_of(name: str, **scales: float) -> BehaviouralModel:
    """Build a model with every parameter moved off its start, where residual branches are silent."""
    torch.manual_seed(0)
    model = models.build(CONFIGS[name], **({"scale_x": 0.2, "scale_y": 0.7} | scales))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def record(length: int, batch: int = 2) -> Tensor:
    return 0.2 * torch.randn(batch, length, 2, generator=torch.Generator().manual_seed(length))


def test_every_kind_in_the_folder_is_tested() -> None:
    assert {config.kind for config in CONFIGS.values()} == set(models.kinds())


def test_listing_kinds_does_not_load_torch() -> None:
    code = "import sys; from dpdrun import models; models.kinds(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every
def test_shape_is_kept_and_every_parameter_has_a_finite_gradient(name: str) -> None:
    model = model_of(name).train()
    y = model(record(23))
    assert y.shape == (2, 23, 2)
    y.square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


@every
def test_silence_is_no_trouble(name: str) -> None:
    model = model_of(name)
    x = torch.zeros(1, 9, 2, requires_grad=True)
    y = model(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@every
def test_input_and_output_are_in_the_units_of_the_capture(name: str) -> None:
    x = record(20)
    unit = model_of(name, scale_x=1.0, scale_y=1.0)
    scaled = model_of(name, scale_x=50.0, scale_y=300.0)
    torch.testing.assert_close(scaled(50.0 * x), 300.0 * unit(x), rtol=1e-4, atol=1e-3)


@every
def test_seed_repeats(name: str) -> None:
    assert all(torch.equal(a, b) for a, b in zip(model_of(name).parameters(), model_of(name).parameters(), strict=True))


@every
def test_saved_weights_carry_the_scales(name: str) -> None:
    trained, fresh = model_of(name), models.build(CONFIGS[name], scale_x=1.0, scale_y=1.0).eval()
    fresh.load_state_dict(load(save(trained.state_dict())))
    torch.testing.assert_close(fresh(record(20)), trained(record(20)))


@every
def test_weight_decay_spares_known_parameters_only(name: str) -> None:
    model = model_of(name)
    parameters = dict(model.named_parameters())
    assert model.no_decay() <= set(parameters)
    assert {n for n, p in parameters.items() if p.ndim < 2} <= model.no_decay()


@every
def test_evaluation_repeats(name: str) -> None:
    model = model_of(name)
    torch.testing.assert_close(model(record(20)), model(record(20)), rtol=0, atol=0)


@pytest.mark.parametrize("name", [name for name in CONFIGS if "gmp" not in name])  # gmp is fitted, in complex128
def test_mixed_precision_is_near_full_precision(name: str) -> None:
    model, x = model_of(name), record(20)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    y.float().sum().backward()
    assert (y - model(x)).norm() < 0.1 * model(x).norm()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@settings(max_examples=12)
@given(name=st.sampled_from(STREAMING), length=st.integers(1, 40), chunk=st.integers(1, 45))
def test_a_stream_in_chunks_equals_the_complete_record(name: str, length: int, chunk: int) -> None:
    model, x = model_of(name), record(length)
    torch.testing.assert_close(stream(model, x, chunk), model(x), rtol=1e-5, atol=1e-5)


@settings(max_examples=20)
@given(name=st.sampled_from(TIME_INVARIANT), start=st.integers(0, 15), length=st.integers(1, 40))
def test_part_of_a_record_gives_the_same_output_where_its_context_is_complete(
    name: str, start: int, length: int
) -> None:
    model, x = model_of(name), record(60)
    assert model.context is not None
    assert model.lookahead is not None
    whole, piece = model(x)[:, start : start + length], model(x[:, start : start + length])
    known = slice(model.context if start else 0, max(length - model.lookahead, 0))
    torch.testing.assert_close(piece[:, known], whole[:, known], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TIME_INVARIANT)
def test_context_and_lookahead_are_exact(name: str) -> None:
    model, n = model_of(name), 30
    x = record(60, batch=1).requires_grad_()
    model(x)[0, n].sum().backward()
    assert x.grad is not None
    touched = x.grad[0].abs().sum(-1).nonzero().flatten()
    assert model.context is not None
    assert model.lookahead is not None
    assert touched.min() == n - model.context
    assert touched.max() == n + model.lookahead


@pytest.mark.parametrize("name", STREAMING)
def test_future_beyond_the_lookahead_changes_nothing(name: str) -> None:
    model, x = model_of(name), record(40)
    assert model.lookahead is not None
    changed = torch.cat([x[:, :25], 3.0 * x[:, 25:]], dim=1)
    known = 25 - model.lookahead
    torch.testing.assert_close(model(changed)[:, :known], model(x)[:, :known], rtol=0, atol=0)


def test_full_attention_declares_that_it_cannot_stream() -> None:
    model = model_of("transformer, full")
    assert (model.lookahead, model.context) == (None, None)
    with pytest.raises(ValueError, match="stream"):
        stream(model, record(9), 3)
    with pytest.raises(ValueError, match="stream"):
        model.initial_state(1)


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_a_few_steps_of_gradient_descent_learn_a_compressing_amplifier(name: str) -> None:
    torch.manual_seed(0)
    x = record(64, batch=8)
    y = 2.0 * x / (1.0 + (x / 0.4).square().sum(-1, keepdim=True))
    model = models.build(CONFIGS[name], scale_x=0.28, scale_y=0.4)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    losses = []
    for _ in range(60):
        loss = (model(x) - y).square().mean() / y.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize("name", ["transformer", "gru"])
def test_a_network_holds_leakage_and_image(name: str) -> None:
    """Its linear path is a real matrix on I and Q with a bias: y = a x + b conj(x) + c."""
    model = model_of(name)
    a, b, c = 1.3 - 0.4j, 0.1 + 0.2j, 0.05 - 0.3j
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        matrix = torch.tensor([[(a + b).real, (b - a).imag], [(a + b).imag, (a - b).real]])
        model.skip.weight[:, :2] = matrix * RMS_I  # type: ignore[union-attr, operator]
        model.head.bias[:] = torch.tensor([c.real, c.imag])  # type: ignore[union-attr]
    pairs = torch.randn(1, 50, 2) * model.scale_x
    x = torch.view_as_complex(pairs[0] / model.scale_x)
    expected = (a * x + b * x.conj() + c) * model.scale_y
    torch.testing.assert_close(torch.view_as_complex(model(pairs)[0].contiguous()), expected, rtol=1e-4, atol=1e-4)
