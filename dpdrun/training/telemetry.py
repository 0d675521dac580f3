"""Statistics of training steps, for the metrics file and for monitors.

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

GROUP_NORM_EVERY = 25


class Monitor(Protocol):
    """Watches a run; dpdrun/report/console.py draws one on the terminal."""

    def step(self, line: dict[str, Any]) -> None:
        """Take the metrics line of an optimizer step."""

    def evaluation(self, line: dict[str, Any]) -> None:
        """Take the metrics line of a scoring of the val split."""

    def refinement(self, line: dict[str, Any], iterations: int) -> None:
        """Take the metrics line of a scoring of `optim.refine`, and its number of iterations."""

    def finding(self, finding: Finding, step: int) -> None:
        """Take a finding that no earlier evaluation of the rules had."""

    def message(self, text: str) -> None:
        """Take a message for the user."""


class Silent:
    """A monitor that shows nothing; for use from Python."""

    def _ignore(self, *_: Any, **__: Any) -> None:
        pass

    step = evaluation = refinement = finding = message = _ignore


def group_norms(model: nn.Module, scale: float = 1.0) -> dict[str, float]:
    """Return the gradient norm of each direct part of the model: `{"blocks.0": 0.3, "head": 0.1, ...}`.

    Each part of a list (blocks) counts for itself. Call it before clipping; `scale` is the loss scale of the gradient.
    """
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            groups[group_of(name)].append(parameter.grad)
    return {name: float(torch.nn.utils.get_total_norm(grads)) / scale for name, grads in groups.items()}


def group_of(name: str) -> str:
    """Return the part of the model that a parameter belongs to: `blocks.0.attention.qkv.weight` -> `blocks.0`."""
    parts = name.split(".")
    return ".".join(parts[: 2 if len(parts) > 1 and parts[1].isdigit() else 1])


class ParameterUpdate:
    """Measures how far one optimizer step moves the parts of a model: make it before the step, call `line` after it.

    It holds a copy of the parameters for that time. One transfer from the device, whatever the number of parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = {name: each for name, each in model.named_parameters() if each.requires_grad}
        self._before = [parameter.detach().clone() for parameter in self._parameters.values()]
        zero = torch.zeros((), device=self._before[0].device)
        grads = [parameter.grad for parameter in self._parameters.values()]
        self._grad_norms = [zero if grad is None else torch.linalg.vector_norm(grad) for grad in grads]

    def line(self) -> dict[str, Any]:
        """Return norm and update norm of each part, its number of parameters, and the tensors that did not move.

        A tensor is unchanged when the step left it as it was, or when its gradient is exactly zero or missing (weight
        decay alone moves it then).
        """
        norm, tensors = torch.linalg.vector_norm, list(self._parameters.values())
        with torch.no_grad():
            moved = [norm(after - before) for after, before in zip(tensors, self._before, strict=True)]
            size = [norm(before) for before in self._before]
            table = torch.stack([*moved, *size, *self._grad_norms]).float().view(3, len(tensors)).tolist()
        columns: dict[str, dict[str, float]] = {"group_updates": {}, "group_weights": {}, "group_sizes": {}}
        updates, weights, sizes = columns.values()
        for name, update, weight, parameter in zip(self._parameters, table[0], table[1], tensors, strict=True):
            group = group_of(name)
            updates[group] = math.hypot(updates.get(group, 0.0), update)
            weights[group] = math.hypot(weights.get(group, 0.0), weight)
            sizes[group] = sizes.get(group, 0) + parameter.numel()
        names = zip(self._parameters, *table, strict=True)
        unchanged = [name for name, moved, _, grad in names if not moved or not grad]
        return {**columns, **({"still": unchanged} if unchanged else {})}


class EpochSummary:
    """Collects mean and maximum gradient norm and mean loss of each epoch: the note's `grad_norm`, `grad_norm_max`."""

    def __init__(self, frames_per_epoch: int, batch_size: int) -> None:
        self._frames_per_epoch = frames_per_epoch
        self._batch_size = batch_size
        self._norms: list[float] = []
        self._losses: list[float] = []

    def add(self, step: int, loss: float, grad_norm: float) -> dict[str, Any] | None:
        """Add a step; returns the summary line of an epoch when this step completes one.

        Norms that are not finite are of steps that a loss scaler skipped, and are left out.
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
