"""What a training step tells: to the metrics file, and to whoever watches.

A line per optimizer step costs a few microseconds of Python; the norms of single parameter groups cost a kernel each,
so they are taken every `GROUP_NORM_EVERY` steps. benchmarks/speed measures the whole as a share of step time.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Protocol

import torch
from torch import Tensor, nn

GROUP_NORM_EVERY = 25


class Monitor(Protocol):
    """Watches a run; dpdrun/report/console.py draws one on the terminal."""

    def step(self, line: dict[str, Any]) -> None:
        """One optimizer step: its metrics line."""

    def evaluation(self, line: dict[str, Any]) -> None:
        """One scoring of the validation part: its metrics line."""

    def message(self, text: str) -> None:
        """Something the user should know."""


class Silent:
    """A monitor that shows nothing; for use from Python."""

    def step(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def evaluation(self, line: dict[str, Any]) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""


def group_norms(model: nn.Module) -> dict[str, float]:
    """Gradient norm of each direct part of the model: `{"blocks.0": 0.3, "head": 0.1, ...}`.

    Parts of a list (blocks) are told apart. Call it before clipping.
    """
    groups: dict[str, list[Tensor]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            parts = name.split(".")
            depth = 2 if len(parts) > 1 and parts[1].isdigit() else 1
            groups[".".join(parts[:depth])].append(parameter.grad)
    return {name: float(torch.nn.utils.get_total_norm(grads)) for name, grads in groups.items()}


class EpochSummary:
    """Mean and maximum gradient norm and mean loss over each epoch: the note's `grad_norm` and `grad_norm_max`."""

    def __init__(self, frames_per_epoch: int, batch_size: int) -> None:
        self._frames_per_epoch = frames_per_epoch
        self._batch_size = batch_size
        self._norms: list[float] = []
        self._losses: list[float] = []

    def add(self, step: int, loss: float, grad_norm: float) -> dict[str, Any] | None:
        """Take one step; returns the summary line of an epoch when this step completes one."""
        self._norms.append(grad_norm)
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
            "grad_norm": sum(self._norms) / len(self._norms),
            "grad_norm_max": max(self._norms),
        }
        self._norms, self._losses = [], []
        return line
