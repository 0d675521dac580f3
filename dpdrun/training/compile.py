"""torch.compile where it pays, with a fallback that says why."""

from __future__ import annotations

import shutil
from typing import Any

import torch
from torch import Tensor, nn

from dpdrun.training.telemetry import Monitor

# A compilation costs half a minute or more. On a CPU it wins next to nothing over our eager step
# (docs/decisions/0004-no-compilation-on-a-cpu.md), so `auto` compiles on accelerators alone, and there only runs that
# are long enough to win the half minute back.
PAYS_AFTER_STEPS = 1000
LONGEST_REASON = 200  # characters


def compiled(model: nn.Module, setting: str, *, steps: int, monitor: Monitor) -> nn.Module:
    """Return `model`, or a compiled module that shares its parameters.

    Args:
        model: any kind, on its device; one that gains nothing (a GRU is a single library call) has `compiles = False`.
        setting: the recipe's `train.compile`: on, off, or auto.
        steps: optimizer steps ahead.
        monitor: gets a message when compiling is not possible.
    """
    on_cpu = next(model.parameters()).device.type == "cpu"
    pays = not on_cpu and steps >= PAYS_AFTER_STEPS and getattr(model, "compiles", True)
    if setting == "off" or (setting == "auto" and not pays):
        return model
    if on_cpu and not any(shutil.which(name) for name in ("g++", "c++", "clang++")):
        monitor.message("no C++ compiler found: continuing without torch.compile")
        return model
    return _WithFallback(model, monitor)


class _WithFallback(nn.Module):
    """Calls the compiled model; when the first call fails, reports it and continues without compilation."""

    def __init__(self, model: nn.Module, monitor: Monitor) -> None:
        super().__init__()
        self.model = model
        self._monitor = monitor
        self._run: Any = torch.compile(model, dynamic=False)
        self._proven = False

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, 2) -> (B, T, 2)."""
        if not self._proven:
            self._proven = True
            try:
                return self._run(x)  # type: ignore[no-any-return]
            except Exception as exc:  # a fault of the model itself shows again in the plain call below
                self._monitor.message(f"torch.compile failed ({_reason(exc)}): training without it")
                self._run = self.model
        return self._run(x)  # type: ignore[no-any-return]


def _reason(error: Exception) -> str:
    """Return the line of an error that says what happened: the first is often "backend='inductor' raised:" alone."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if not line.endswith("raised:")), type(error).__name__)[:LONGEST_REASON]
