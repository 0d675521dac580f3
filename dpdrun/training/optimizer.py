"""AdamW with weight decay on weight matrices alone."""

from __future__ import annotations

import torch
from torch import nn

from dpdrun.plan.plan import Plan


def build_optimizer(model: nn.Module, plan: Plan) -> torch.optim.AdamW:
    """Build AdamW with two groups: decayed weights, and norms, biases and positions, which are not decayed.

    Decay pulls a parameter to zero; for a norm's gain, a bias or a position table that is no neutral prior
    (Loshchilov & Hutter 2019 decay weights; the split is common practice since GPT-2).
    The model says which is which: `model.no_decay()`.
    """
    exempt = model.no_decay()  # type: ignore[operator]  # every kind has it: dpdrun/models contract
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for name, p in named if name not in exempt], "weight_decay": plan.weight_decay},
        {"params": [p for name, p in named if name in exempt], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=plan.lr,
        betas=(plan.beta1, plan.beta2),
        eps=plan.eps,
        fused=True,  # one kernel for all parameters: small models are bound by op overhead
    )
