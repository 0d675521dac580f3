"""What a training step tells: to the metrics file, and to whoever watches.

A line per optimizer step costs a few microseconds of Python; gradients, weights and updates of single parameter groups
cost a kernel for each tensor, so they are taken every `GROUP_NORM_EVERY` steps. benchmarks/speed measures the whole as
a share of step time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from dpdrun.rules.engine import Finding
from dpdrun.training.fsdp import whole

GROUP_NORM_EVERY = 25


class Monitor(Protocol):
    """Watches a run; dpdrun/report/console.py draws one on the terminal."""

    def step(self, line: dict[str, Any]) -> None:
        """One optimizer step: its metrics line."""

    def evaluation(self, line: dict[str, Any]) -> None:
        """One scoring of the validation part: its metrics line."""

    def finish(self, line: dict[str, Any], iterations: int) -> None:
        """One scoring of `optim.refine`, of so many iterations in all: its metrics line."""

    def finding(self, finding: Finding, step: int) -> None:
        """A rule has something to say at this step that it did not say before."""

    def message(self, text: str) -> None:
        """Something the user should know."""


class Silent:
    """A monitor that shows nothing; for use from Python."""

    def step(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def evaluation(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def finish(self, line: dict[str, Any], iterations: int) -> None:
        """Ignore."""

    def finding(self, finding: Finding, step: int) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


def group_norms(model: nn.Module, scale: float = 1.0) -> dict[str, float]:
    """Gradient norm of each direct part of the model: `{"blocks.0": 0.3, "head": 0.1, ...}`.

    Parts of a list (blocks) are told apart. Call it before clipping; `scale` is what the loss was still scaled by.
    """
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            groups[group_of(name)].append(whole(parameter.grad))
    return {name: float(torch.nn.utils.get_total_norm(grads)) / scale for name, grads in groups.items()}


def group_of(name: str) -> str:
    """The direct part of the model that a parameter belongs to: `blocks.0.attention.qkv.weight` -> `blocks.0`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if len(parts) > 1 and parts[1].isdigit() else 1])


class ParameterUpdate:
    """How far one optimizer step moves the parts of a model: make it before the step, ask `line` after.

    It holds a copy of the parameters for that time. One transfer from the device, whatever the number of parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._before = [whole(parameter.detach()).clone() for parameter in self._parameters.values()]

    def line(self) -> dict[str, Any]:
        """Norm and update norm of each part, its number of parameters, and the tensors that stood still.

        A tensor stands still when the step left it as it was, or when its gradient is exactly zero or missing (weight
        decay alone moves it then). Call it before the gradients are cleared.
        """
        norm, tensors = torch.linalg.vector_norm, list(self._parameters.values())
        with torch.no_grad():
            moved = [norm(whole(after) - before) for after, before in zip(tensors, self._before, strict=True)]
            size = [norm(before) for before in self._before]
            zero = torch.zeros((), device=self._before[0].device)
            grads = [zero if each.grad is None else norm(whole(each.grad)) for each in tensors]
            table = torch.stack([*moved, *size, *grads]).float().view(3, len(tensors)).tolist()
        found: dict[str, dict[str, float]] = {"group_updates": {}, "group_weights": {}, "group_sizes": {}}
        updates, weights, sizes = found.values()
        for name, update, weight, parameter in zip(self._parameters, table[0], table[1], tensors, strict=True):
            group = group_of(name)
            updates[group] = math.hypot(updates.get(group, 0.0), update)
            weights[group] = math.hypot(weights.get(group, 0.0), weight)
            sizes[group] = sizes.get(group, 0) + parameter.numel()
        still = [name for name, moved, _, grad in zip(self._parameters, *table, strict=True) if not moved or not grad]
        return {**found, **({"still": still} if still else {})}


class EpochSummary:
    """Mean and maximum gradient norm and mean loss over each epoch: the note's `grad_norm` and `grad_norm_max`."""

    def __init__(self, frames_per_epoch: int, batch_size: int) -> None:
        self._frames_per_epoch = frames_per_epoch
        self._batch_size = batch_size
        self._norms: list[float] = []
        self._losses: list[float] = []

    def add(self, step: int, loss: float, grad_norm: float) -> dict[str, Any] | None:
        """Take one step; returns the summary line of an epoch when this step completes one.

        Norms that are not finite are of steps that a loss scaler skipped, and count for nothing.
        """
        self._norms += [grad_norm] if math.isfinite(grad_norm) else []
        self._losses.append(loss)
        before = (step - 1) * self._batch_size // self._frames_per_epoch
        after = step * self._batch_size // self._frames_per_epoch
        if after == before:
            return None
        line = {
            "kind": "epoch",
            "step": step,
            "epoch": after,
            "loss": sum(self._losses) / len(self._losses),
            "grad_norm": sum(self._norms) / len(self._norms) if self._norms else math.nan,
            "grad_norm_max": max(self._norms, default=math.nan),
        }
        self._norms, self._losses = [], []
        return line
