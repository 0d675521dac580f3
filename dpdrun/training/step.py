"""One optimizer step, for the training loop and for the probe."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpdrun.data.capture import Capture
from dpdrun.models._arrays import to_pairs
from dpdrun.plan.plan import Plan
from dpdrun.recipe.fields import OFF
from dpdrun.training.engine import Engine
from dpdrun.training.loss import foreign_error, spectral_error, squared_error
from dpdrun.training.precision import LossScale
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.sampler import FrameSampler

Batch = tuple[NDArray[np.int64], Tensor, Tensor]  # first samples of the frames, input, output


@dataclass(frozen=True)
class Passes:
    """The forward and backward passes of one step, as this process saw them.

    Attributes:
        loss: mean over the frames of this process.
        starts: first samples of its frames, one array a pass.
        samples: that went through the model.
        data_s: time to draw the frames [s].
    """

    loss: float
    starts: list[NDArray[np.int64]]
    samples: int
    data_s: float


class TrainStep:
    """One optimizer step in three parts, called in this order: `forward_backward`, `clip`, `apply`.

    Args:
        plan: its loss, accumulation and loss scale are used; its learning rate is not.
        pair: capture that frames are drawn from, for the bandwidth of the loss and the scale of the output.
        model: whose parameters are trained.
        module: from frames to predictions: the model, or what it is inside of, from `engine.prepare`.
        optimizer: of the parameters of `model`.
        engine: device, precision and processes.
        group: the processes of `engine`.
        scaler: state of the loss scale in a checkpoint.

    Attributes:
        scaling: the loss scale.
    """

    def __init__(
        self, plan: Plan, pair: Capture, model: nn.Module, module: nn.Module, optimizer: torch.optim.Optimizer,
        engine: Engine, *, group: ProcessGroup | None = None, scaler: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        self._plan, self._model, self._module, self._optimizer, self._engine = plan, model, module, optimizer, engine
        self._group = group or ProcessGroup()
        self._error = foreign_error(plan) or spectral_error(plan, pair) or squared_error
        self._scale_y = pair.scale_y
        self.scaling = LossScale(engine.scaler, scaler)

    def forward_backward(self, batches: Iterable[Batch]) -> Passes:
        """Accumulate the gradient over the passes of a step; the last one averages it over the processes."""
        losses, starts, samples, data_s = list[Tensor](), list[NDArray[np.int64]](), 0, 0.0
        drawn = time.perf_counter()
        for number, (first, x, y) in enumerate(batches, start=1):
            data_s += time.perf_counter() - drawn
            starts.append(first)
            samples += x.shape[0] * x.shape[1]
            is_last = number == self._plan.recipe.train.accumulate
            with nullcontext() if is_last else self._engine.no_sync(self._module):
                losses.append(self._pass(x, y))
            drawn = time.perf_counter()
        return Passes(sum(loss.item() for loss in losses), starts, samples, data_s)

    def _pass(self, x: Tensor, y: Tensor) -> Tensor:
        """Run one forward and backward pass; returns its share of the loss, on the device."""
        with self._group.peer_loss_as_error(), self._engine.autocast():
            prediction = self._module(x)
        loss = self._error(prediction.to(y.dtype), y, self._plan, self._scale_y) / self._plan.recipe.train.accumulate
        with self._group.peer_loss_as_error():
            self._engine.backward(loss)
        return loss.detach()

    def clip(self) -> float:
        """Unscale the gradient and clip it to the norm of the plan; returns its norm before that."""
        if self._engine.scaler is not None:
            self._engine.scaler.unscale_(self._optimizer)
        return float(torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._plan.clip_norm))

    def apply(self, lr: float) -> dict[str, Any]:
        """Step the optimizer at a learning rate and clear the gradient; a loss scale may skip the step.

        Returns:
            For the metrics line: the rate that the optimizer used, whatever set it, and the loss scale.
        """
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = lr
        scaler = self._engine.scaler
        if scaler is None:
            self._optimizer.step()
        else:
            scaler.step(self._optimizer)
            scaler.update()
        self._optimizer.zero_grad()
        return {"lr": self._optimizer.param_groups[-1]["lr"], **self.scaling.line()}


def sampler_of(capture: Capture, plan: Plan, device: torch.device) -> FrameSampler:
    """Return the sampler of a plan over the train split: inputs in the units of the capture, outputs at unit rms."""
    return FrameSampler(
        to_pairs(capture.train.x).to(device),
        (to_pairs(capture.train.y) / capture.scale_y).to(device),
        frame=plan.frame,
        frames_per_epoch=plan.frames_per_epoch,
        batch_size=plan.batch_size,
        seed=plan.recipe.train.seed,
        loop=capture.loop_samples,
        rotate=plan.recipe.train.phase_augment == "on",
    )


def seed_dropout(plan: Plan, step: int, process: int) -> None:
    """Seed dropout by (seed, step, process): a resumed run continues with the same draws."""
    if getattr(plan.recipe.model, "dropout", OFF) != OFF:
        words = np.random.SeedSequence([plan.recipe.train.seed, step, 2, process]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0]))
