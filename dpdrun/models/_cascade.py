"""Join a predistorter and a frozen PA model into one model: predistorter -> limiter -> amplifier.

Shapes: B records, T samples, 2 = (I, Q).
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from torch import Tensor, nn

from dpdrun.models._base import BehaviouralModel
from dpdrun.models._overlap import OverlappingModel


def limit(u: Tensor, peak: float) -> Tensor:
    """Scale samples beyond `peak` back to it, phase kept; inf leaves u as it is. u: (B, T, 2) -> (B, T, 2).

    The gradient passes below the limit; beyond it, only its tangential part (phase) does.
    """
    if math.isinf(peak):
        return u
    scale: Tensor = peak / torch.linalg.vector_norm(u, dim=-1, keepdim=True).clamp_min(peak)
    return u * scale


class LimitedPredistorter(BehaviouralModel):
    """A predistorter followed by its limiter: the waveform to play, and what `load_run` returns for a dpd run.

    Args:
        model: maps the target signal to the input of the amplifier, in the units of the capture.
        peak: largest magnitude of its output, in the same units; inf = no limit.
    """

    def __init__(self, model: BehaviouralModel, peak: float) -> None:
        super().__init__(scale_x=float(model.scale_x), scale_y=float(model.scale_y))
        self.model, self.peak = model, float(peak)
        self.lookahead, self.context = model.lookahead, model.context
        self.macs_per_sample = model.macs_per_sample

    def initial_state(self, batch: int) -> Any:
        """Return the state of the predistorter."""
        return self.model.initial_state(batch)

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Continue a stream; see `BehaviouralModel.step`."""
        u, state = self.model.step(x, state)
        return limit(u, self.peak), state

    def forward(self, x: Tensor) -> Tensor:
        """Return the input of the amplifier for a complete record. x: (B, T, 2) -> (B, T, 2)."""
        return limit(self.model(x), self.peak)

    def no_decay(self) -> set[str]:
        """Return names of the predistorter's parameters."""
        return {f"model.{name}" for name in self.model.no_decay()}


class ExternalPA(OverlappingModel):
    """A PA model from outside: any module (B, T, 2) -> (B, T, 2), in the units of the capture.

    Without a declared context it takes complete records.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)


def frozen(module: nn.Module) -> BehaviouralModel:
    """Return the module as a frozen PA model: in `eval` mode, its parameters without gradient from now on."""
    pa = module if isinstance(module, BehaviouralModel) else ExternalPA(module)
    for parameter in pa.parameters():
        parameter.requires_grad_(False)
    return pa.eval()


def fingerprint(module: nn.Module) -> str:
    """Return the sha256 of a module's parameters and buffers: names, shapes, types and values."""
    digest = hashlib.sha256()
    own = module.module if isinstance(module, ExternalPA) else module
    for name, value in sorted(own.state_dict().items()):
        digest.update(f"|{name}:{tuple(value.shape)}:{value.dtype}|".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Cascade(BehaviouralModel):
    """A predistorter followed by an amplifier. Only the predistorter's parameters train.

    Its scales are those of the predistorter's input and of the target output.

    Args:
        predistorter: with its limiter.
        pa: from `frozen`.
        scale_y: rms of the target output, in the units of the capture.
    """

    def __init__(self, predistorter: BehaviouralModel, pa: BehaviouralModel, *, scale_y: float) -> None:
        super().__init__(scale_x=float(predistorter.scale_x), scale_y=scale_y)
        self.predistorter, self.pa = predistorter, pa
        self.lookahead = _sum(predistorter.lookahead, pa.lookahead)
        self.context = _sum(predistorter.context, pa.context)
        self.macs_per_sample = predistorter.macs_per_sample + pa.macs_per_sample

    def train(self, mode: bool = True) -> Cascade:
        """Set the mode of the predistorter; the amplifier stays in `eval` mode, without dropout."""
        super().train(mode)
        self.pa.eval()
        for module in self.pa.modules():
            if isinstance(module, nn.RNNBase) and not module.dropout:
                module.train(mode)  # cuDNN refuses a backward pass in eval mode; without dropout there is no difference
        return self

    def initial_state(self, batch: int) -> tuple[Any, Any]:
        """Return the states of both."""
        return self.predistorter.initial_state(batch), self.pa.initial_state(batch)

    def step(self, x: Tensor, state: tuple[Any, Any]) -> tuple[Tensor, tuple[Any, Any]]:
        """Continue a stream; see `BehaviouralModel.step`. The amplifier takes the predistorter's output as it is."""
        u, first = self.predistorter.step(x, state[0])
        y, second = self.pa.step(u, state[1])
        return y, (first, second)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output of the amplifier for a complete record. x: (B, T, 2) -> (B, T, 2)."""
        if self.lookahead is None:
            y: Tensor = self.pa(self.predistorter(x))
            return y
        return super().forward(x)

    def no_decay(self) -> set[str]:
        """Return names of the predistorter's parameters; the amplifier has none that train."""
        return {f"predistorter.{name}" for name in self.predistorter.no_decay()}


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second
