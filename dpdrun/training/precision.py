"""Arithmetic of `train.precision`: what hardware supports, TF32 on or off, autocast, and the loss scale of fp16.

Weights, gradients, the optimizer and all scores are in single precision in any case. `fp32` means it: torch leaves
TensorFloat-32 (10 bits of mantissa) on for cuDNN, which is what a GRU runs on, so here it is off unless the recipe says
`tf32`. fp16 has 5 bits of exponent, and small gradients would vanish in it: the loss is scaled up before backward
(Micikevicius et al. 2018), and a step whose gradient overflowed is skipped and the scale halved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

TENSOR_CORES = (8, 0)  # compute capability of the first GPUs with TF32
LEAST_SCALE = 1.0  # a gradient that overflows unscaled is too large for fp16 itself
LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}


def impossible(precision: str, device: str = "auto") -> str | None:
    """Return why this machine cannot train with a precision on a device; None where it can."""
    if precision == "fp16" and device == "cpu":
        return "train.precision fp16 needs a GPU, but train.device is cpu; write fp32, or bf16 (no loss scale)"
    if precision == "fp16" and not torch.cuda.is_available():
        return "train.precision fp16 needs a GPU, but torch finds none; write fp32, or bf16 (no loss scale)"
    return None


def without_effect(precision: str) -> str | None:
    """Return a message where a precision changes nothing on this machine; tf32 permits coarser sums, no more."""
    if precision != "tf32":
        return None
    if not torch.cuda.is_available():
        return "train.precision tf32: no GPU, so everything is computed in fp32"
    if torch.cuda.get_device_capability() < TENSOR_CORES:
        return f"train.precision tf32: {torch.cuda.get_device_name()} has no TF32, so everything is computed in fp32"
    return None


@contextmanager
def tensor_cores(allowed: bool) -> Iterator[None]:
    """Allow TF32 for products of float32 matrices within a block, or forbid it."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if allowed else "highest")
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Run forward passes within a block in a precision of 16 bits; in others do nothing."""
    return torch.autocast(device.type, LOW[precision]) if precision in LOW else nullcontext()


class LossScale:
    """The loss scale of a run, for its metrics and checkpoints.

    Args:
        scaler: of fp16; None = the loss is not scaled, and nothing is ever skipped.
        stored: state of the scaler in a checkpoint.

    Attributes:
        value: of the coming step; 1 without a scaler.
    """

    def __init__(self, scaler: torch.amp.GradScaler | None, stored: Mapping[str, Any] | None) -> None:
        self._scaler = scaler
        if scaler is not None and stored is not None:
            scaler.load_state_dict(dict(stored))
        self.value = self._read()

    @property
    def state(self) -> dict[str, Any] | None:
        """For a checkpoint; None without a scaler."""
        return None if self._scaler is None else self._scaler.state_dict()

    def will_skip(self, loss: float, grad_norm: float) -> bool:
        """Return whether the scaler will skip the coming step: the loss is finite, its gradient overflowed.

        Not without end: each time the scale is halved, and when the gradient overflows at a scale of 1, 17 steps from
        torch's first scale of 65536, it is the gradient itself that is not finite.
        """
        can_halve = self._scaler is not None and self.value > LEAST_SCALE
        return can_halve and math.isfinite(loss) and not math.isfinite(grad_norm)

    def line(self) -> dict[str, Any]:
        """Return the columns of the metrics line of the step just made: its scale, and whether it was skipped.

        The scale shows it, not the optimizer: a fused one is always called, and skips the step itself.
        """
        if self._scaler is None:
            return {}
        scale, self.value = self.value, self._read()
        return {"loss_scale": scale, **({"skipped": True} if self.value < scale else {})}

    def _read(self) -> float:
        return 1.0 if self._scaler is None else float(self._scaler.get_scale())
