"""AdamW with the groups that a model asks for."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from dpdrun import models
from dpdrun.plan.plan import Plan
from dpdrun.training.optimizer import build_optimizer

PlanMaker = Callable[..., Plan]

KINDS = {"transformer": (), "gru": ("model={kind: gru, hidden: 8}",)}


def built(plan: Plan) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = models.build(plan.recipe.model, scale_x=0.5, scale_y=2.0)
    return model, build_optimizer(model, plan)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_in_one_group_and_only_matrices_are_decayed(kind: str, plan: PlanMaker) -> None:
    model, optimizer = built(plan("optim.weight_decay=0.02", *KINDS[kind]))
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {g["weight_decay"]: [name_of[id(p)] for p in g["params"]] for g in optimizer.param_groups}
    assert set(groups) == {0.02, 0.0}
    assert sorted(groups[0.02] + groups[0.0]) == sorted(name_of.values())
    assert set(groups[0.0]) == model.no_decay()  # type: ignore[operator]
    assert groups[0.02]
    assert not any("bias" in name or "norm" in name for name in groups[0.02])


def test_the_settings_are_those_of_the_plan(plan: PlanMaker) -> None:
    this = plan("optim.lr=3e-3", "optim.beta1=0.8", "optim.beta2=0.97", "optim.eps=1e-6")
    _, optimizer = built(this)
    assert optimizer.param_groups
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (3e-3, (0.8, 0.97), 1e-6)


def test_decay_off_is_zero_for_all(plan: PlanMaker) -> None:
    _, optimizer = built(plan("optim.weight_decay=off"))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.0, 0.0]


def test_parameters_that_are_not_trained_are_left_out(plan: PlanMaker) -> None:
    this = plan()
    model, _ = built(this)
    first = next(model.parameters())
    first.requires_grad_(False)
    held = [p for group in build_optimizer(model, this).param_groups for p in group["params"]]
    assert len(held) == len(list(model.parameters())) - 1
    assert all(p is not first for p in held)


def test_one_step_is_that_of_the_paper(plan: PlanMaker) -> None:
    """Loshchilov & Hutter 2019, algorithm 2, in plain arithmetic."""
    this = plan("optim.lr=1e-2", "optim.weight_decay=0.1", "optim.beta1=0.9", "optim.beta2=0.95", "optim.eps=1e-8")
    model, optimizer = built(this)
    before = {name: p.detach().clone().double() for name, p in model.named_parameters()}
    torch.manual_seed(1)
    gradient: dict[str, torch.Tensor] = {}
    m = {name: torch.zeros_like(p) for name, p in before.items()}
    v = {name: torch.zeros_like(p) for name, p in before.items()}
    for step in (1, 2):
        for name, parameter in model.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            gradient[name] = parameter.grad.double()
        optimizer.step()
        for name, g in gradient.items():
            m[name] = 0.9 * m[name] + 0.1 * g
            v[name] = 0.95 * v[name] + 0.05 * g.square()
            decay = 0.0 if name in model.no_decay() else 0.1  # type: ignore[operator]
            mean, square = m[name] / (1 - 0.9**step), v[name] / (1 - 0.95**step)
            before[name] = before[name] * (1 - 1e-2 * decay) - 1e-2 * mean / (square.sqrt() + 1e-8)
    assert before
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach().double(), before[name], rtol=1e-5, atol=1e-7)
        assert math.isfinite(float(parameter.detach().sum()))


def test_it_is_torchs_and_costs_no_compiler() -> None:
    """The same bits as torch's class, its hooks, and no import of torch._dynamo, which takes longer than torch's."""
    code = """
import sys
import torch
from dpdrun.training.optimizer import AdamW
calls, after = [], {}
for kind in (AdamW, torch.optim.AdamW):
    torch.manual_seed(0)
    layers = [torch.nn.Linear(5, 3), torch.nn.Linear(3, 2)]
    optimizer = kind([{"params": layers[0].parameters()}, {"params": layers[1].parameters(), "weight_decay": 0.0}],
                     lr=1e-2, betas=(0.8, 0.95), weight_decay=0.1, fused=True)
    optimizer.register_step_post_hook(lambda *_: calls.append(kind))
    for step in range(3):
        optimizer.zero_grad()
        assert layers[0].weight.grad is None
        layers[1](layers[0](torch.randn(7, 5))).square().mean().backward()
        optimizer.step()
    after[kind] = [p for layer in layers for p in layer.parameters()]
    after[kind] += [optimizer.state[p][name] for p in after[kind] for name in ("exp_avg", "exp_avg_sq", "step")]
    print(kind.__module__, "torch._dynamo" in sys.modules)
assert len(calls) == 6
assert all(torch.equal(ours, theirs) for ours, theirs in zip(*after.values(), strict=True))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "dpdrun.training.optimizer False"
