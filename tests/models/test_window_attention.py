"""Attention within a window as a training step computes it, against the written-out form in double precision."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from dpdrun.models._window_attention import WindowAttention
from dpdrun.recipe.schema import TransformerModel as Config

B, D, H, W = 2, 8, 2, 6


def outputs(attention: WindowAttention, x: Tensor, past: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Return the output, keys and values for the next call, and the gradients by the input and all parameters."""
    x = x.clone().requires_grad_()
    attention.zero_grad()
    y, present = attention(x, past)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    gradients = [each.grad for each in (x, *attention.parameters())]
    return [y, *present, *(each for each in gradients if each is not None)]


@pytest.mark.parametrize("positions", ["relative", "sinusoidal"])
@pytest.mark.parametrize("bias", ["all", "query"])
@pytest.mark.parametrize("length", [1, 5, 6, 24, 31])
def test_training_equals_the_written_out_form(positions: str, bias: str, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    settings = {"kind": "transformer", "d_model": D, "layers": 1, "heads": H, "window": W}
    config = Config.model_validate(settings | {"positions": positions, "attention_bias": bias})
    attention = WindowAttention(config, W).train()
    with torch.no_grad():
        for parameter in attention.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    x = torch.randn(B, length, D, generator=generator)
    past = (torch.randn(B, W, H, D // H, generator=generator), torch.randn(B, W, H, D // H, generator=generator))
    assert attention._in_columns(x, past)
    exact = copy.deepcopy(attention).double()
    wanted = outputs(exact, x.double(), (past[0].double(), past[1].double()))
    found = outputs(attention, x, past)
    assert len(found) == len(wanted) == 4 + len(list(attention.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_where_it_is_written_out() -> None:
    config = Config.model_validate({"kind": "transformer", "d_model": D, "layers": 1, "heads": H, "window": W})
    x, past = torch.zeros(B, W, D), (torch.zeros(B, W, H, D // H), torch.zeros(B, W, H, D // H))
    attention = WindowAttention(config, W)
    assert attention.train()._in_columns(x, past)
    assert not attention._in_columns(x.double(), past)
    assert not attention._in_columns(x, (past[0].clone().requires_grad_(), past[1]))
    assert not attention.eval()._in_columns(x, past)
    dropped = WindowAttention(config.model_copy(update={"dropout": 0.1}), W)
    assert not dropped.train()._in_columns(x, past)
