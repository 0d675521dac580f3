"""A predistorter, its limiter and a frozen amplifier in a row: one model that streams, of which one part learns."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dpdrun import models
from dpdrun.models._base import BehaviouralModel, stream
from dpdrun.models._cascade import Cascade, LimitedPredistorter, fingerprint, frozen, limit
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

TRANSFORMER = TransformerModel(kind="transformer", d_model=8, layers=1, heads=2, window=5, lookahead=3)
GRU = GRUModel(kind="gru", hidden=5)
GMP = GMPModel(kind="gmp", order=3, delays=4, cross=2)
FULL = TransformerModel(kind="transformer", d_model=8, layers=1, heads=2, window="full", positions="none")


def built(config: ModelSection) -> BehaviouralModel:
    torch.manual_seed(1)
    model = models.build(config, scale_x=0.2, scale_y=0.2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def cascade(first: ModelSection, second: ModelSection, peak: float = 0.15) -> Cascade:
    return Cascade(LimitedPredistorter(built(first), peak), frozen(built(second)), scale_y=0.3)


def record(length: int) -> Tensor:
    return 0.2 * torch.randn(2, length, 2, generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize(("first", "second"), [(TRANSFORMER, GMP), (GRU, TRANSFORMER), (GMP, GMP)])
def test_a_stream_equals_the_complete_record(first: ModelSection, second: ModelSection) -> None:
    both, x = cascade(first, second).eval(), record(40)
    with torch.no_grad():
        whole = both(x)
        for chunk in (1, 7, 40):
            assert torch.allclose(stream(both, x, chunk), whole, atol=1e-6)


def test_what_is_declared_adds_up() -> None:
    both = cascade(TRANSFORMER, GMP)
    assert both.lookahead == 3 + 2
    assert both.context == (4 + 3) + (3 + 2)
    assert both.macs_per_sample == built(TRANSFORMER).macs_per_sample + built(GMP).macs_per_sample
    assert cascade(GRU, GMP).context is None
    assert (float(both.scale_x), float(both.scale_y)) == pytest.approx((0.2, 0.3))


def test_in_the_middle_of_a_record_it_is_one_after_the_other() -> None:
    both, x = cascade(TRANSFORMER, GMP).eval(), record(60)
    with torch.no_grad():
        apart = both.pa(both.predistorter(x))
        assert torch.allclose(both(x)[:, 10:-10], apart[:, 10:-10], atol=1e-6)


def test_only_the_predistorter_learns() -> None:
    both = cascade(TRANSFORMER, GRU).train()
    before = {name: value.clone() for name, value in both.state_dict().items()}
    learners = [parameter for parameter in both.parameters() if parameter.requires_grad]
    assert len(learners) == len(list(both.predistorter.parameters()))
    optimizer = torch.optim.SGD(learners, lr=0.1)
    (both(record(30)) - 1.0).square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in learners)
    assert all(parameter.grad is None for parameter in both.pa.parameters())
    optimizer.step()
    moved = {name for name, value in both.state_dict().items() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith("predistorter.") for name in moved)


def test_the_amplifier_stays_in_use_while_the_predistorter_trains() -> None:
    noisy = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    both = Cascade(LimitedPredistorter(built(GRU), 1.0), frozen(noisy), scale_y=1.0).train()
    x = record(20)
    assert torch.equal(both(x), both(x)), "its dropout must not act"
    assert both.predistorter.training
    assert not noisy[1].training
    recurrent = cascade(TRANSFORMER, GRU).train().pa
    assert all(module.training for module in recurrent.modules() if isinstance(module, nn.RNNBase))


@pytest.mark.parametrize("config", [TRANSFORMER, FULL])
def test_any_module_can_be_the_amplifier(config: ModelSection) -> None:
    class Cubic(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x * (1 - x.square().sum(-1, keepdim=True))

    both, x = Cascade(LimitedPredistorter(built(config), 1.0), frozen(Cubic()), scale_y=1.0).eval(), record(20)
    assert (both.lookahead, both.context) == (None, None)
    with torch.no_grad():
        assert torch.equal(both(x), Cubic()(both.predistorter(x)))
    with pytest.raises(ValueError, match="cannot stream"):
        both.initial_state(1)


def test_the_gradient_of_the_limiter() -> None:
    u = (torch.randn(1, 12, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: limit(v, 0.9), (u,))
    zero = torch.zeros(1, 3, 2, requires_grad=True)
    limit(zero, 0.5).sum().backward()
    assert zero.grad is not None
    assert zero.grad.isfinite().all()
    loud = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    (limit(loud, 1.0) * loud.detach()).sum().backward()
    assert loud.grad is not None
    assert torch.allclose(loud.grad, torch.zeros(1, 1, 2), atol=1e-6), "louder than the limit is no louder"


def test_names_without_decay_are_those_of_the_predistorter() -> None:
    both = cascade(TRANSFORMER, GMP)
    names = both.no_decay()
    assert names == {f"predistorter.model.{name}" for name in built(TRANSFORMER).no_decay()}
    assert names <= dict(both.named_parameters()).keys()


def test_the_fingerprint_is_that_of_the_values() -> None:
    first, second = built(GRU), built(GRU)
    assert fingerprint(first) == fingerprint(second)
    with torch.no_grad():
        next(iter(second.parameters())).view(-1)[0] += 1e-6
    assert fingerprint(first) != fingerprint(second)
    assert fingerprint(nn.BatchNorm1d(2)) != fingerprint(nn.BatchNorm1d(3)), "buffers without dimension too"
