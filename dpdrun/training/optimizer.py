"""The optimizer, AdamW unless a plug-in brings another, with weight decay on weight matrices alone."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn

from dpdrun.plan.plan import Plan
from dpdrun.recipe import plugins
from dpdrun.recipe.plugins import PluginError


class AdamW(torch.optim.AdamW):
    """torch's AdamW, without its guards against being traced by torch.compile, which compiles no optimizer here.

    The first call of a guarded method imports torch._dynamo: 1.5 s of processor time before the first step.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch's."""
        inspect.unwrap(torch.optim.AdamW.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As torch's."""
        inspect.unwrap(torch.optim.AdamW.zero_grad)(self, set_to_none)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """As torch's."""
        return inspect.unwrap(torch.optim.AdamW.step)(self, closure)


def adamw(groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float], eps: float) -> AdamW:
    """Return AdamW for groups of parameters that hold their own weight decay."""
    # fused, one kernel for all parameters: small models are bound by op overhead
    return AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def build_optimizer(model: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Build the optimizer of a plan with two groups: decayed weights, and norms, biases and positions, which are not.

    Decay pulls a parameter to zero; for a norm's gain, a bias or a position table that is no neutral prior
    (Loshchilov & Hutter 2019 decay weights; the split is common practice since GPT-2).
    The model says which is which: `model.no_decay()`.

    Raises:
        PluginError: a plug-in returned something else than an optimizer.
    """
    exempt = model.no_decay()  # type: ignore[operator]  # every kind has it: dpdrun/models contract
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in named if name not in exempt], "weight_decay": plan.weight_decay},
        {"params": [p for name, p in named if name in exempt], "weight_decay": 0.0},
    ]
    used = [group for group in groups if group["params"]]
    entry = plugins.find("optimizers", plan.recipe.optim.name)
    assert entry is not None, plan.recipe.optim.name  # the recipe was checked
    made = entry.load()(used, lr=plan.lr, betas=(plan.beta1, plan.beta2), eps=plan.eps)
    if not isinstance(made, torch.optim.Optimizer):
        what = type(made).__name__
        raise PluginError(f"optim.name {entry.name}: {entry.origin} returned {what}, not a torch.optim.Optimizer")
    return made
