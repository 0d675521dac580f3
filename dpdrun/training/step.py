"""What one optimizer step is made of, for the loop and for whoever tries a few steps without it.

The loop adds what a whole run needs: processes, schedule, guard, scorings, checkpoints. `Trial` takes single steps in
one process, with the same frames, loss, gradient norm and optimizer.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.models._arrays import to_pairs
from dpdrun.plan.plan import Plan
from dpdrun.recipe.fields import OFF
from dpdrun.training.loss import spectral_error, squared_error
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.precision import LossScale, autocast, tensor_cores
from dpdrun.training.sampler import FrameSampler


def sampler_of(capture: Capture, plan: Plan, device: torch.device) -> FrameSampler:
    """The frames of a plan, from the training part: inputs in the units of the capture, outputs at unit rms."""
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
    """Make what dropout draws a function of (seed, step, process): a resumed run continues with the same draws."""
    if getattr(plan.recipe.model, "dropout", OFF) != OFF:
        words = np.random.SeedSequence([plan.recipe.train.seed, step, 2, process]).generate_state(1, np.uint64)
        torch.manual_seed(int(words[0]))


def machine_device() -> torch.device:
    """Where a run would be trained: the first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Stepped:
    """One step: loss, gradient norm before clipping, and its time [s]."""

    loss: float
    grad_norm: float
    seconds: float


class Trial:
    """A fresh model and optimizer of a plan, to take a few steps with.

    Args:
        plan: of a network; its frames, loss, batch, precision, clip and optimizer are used, its schedule is not.
        capture: what it would be trained on.
        seed: of the weights and of the frames, in place of the plan's. The global generator of torch is left as it was.

    Raises:
        RunError: the plan is of a predistorter, whose steps go through a PA model that is not here.
    """

    def __init__(self, plan: Plan, capture: Capture, *, seed: int) -> None:
        if plan.recipe.task != "pa":
            raise RunError("steps of task dpd are not measured alone: probe the recipe of its PA model instead")
        self.device = machine_device()
        self._plan, self._scale_y = plan, capture.scale_y
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
        self.model.to(self.device).train()
        self.optimizer = build_optimizer(self.model, plan)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=plan.recipe.train.precision == "fp16")
        self._sampler = sampler_of(capture, _with_seed(plan, seed), self.device)
        self._error = spectral_error(plan, capture) or squared_error

    def step(self, number: int, lr: float, *, clip_norm: float | None = None) -> Stepped:
        """Take optimizer step `number` (counted from 1) at a learning rate; `clip_norm` in place of the plan's.

        A step that a loss scale skips (fp16) is tried again at the lower one, so that what blows up is the training.
        """
        began = time.perf_counter()
        with tensor_cores(self._plan.recipe.train.precision == "tf32"):
            scaling = LossScale(self._scaler if self._scaler.is_enabled() else None, None)
            loss, norm = self._gradient(number, clip_norm)
            while scaling.will_skip(loss, norm):
                self._scaler.step(self.optimizer)
                self._scaler.update()
                scaling.line()
                self.optimizer.zero_grad()
                loss, norm = self._gradient(number, clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return Stepped(loss, norm, time.perf_counter() - began)

    def _gradient(self, number: int, clip_norm: float | None) -> tuple[float, float]:
        """The loss of a step and the norm of its gradient, which is left clipped in the parameters."""
        passes = self._plan.recipe.train.accumulate
        loss = 0.0
        for _, x, y in self._sampler.shares(number, passes=passes, processes=1, process=0):
            with autocast(self._plan.recipe.train.precision, self.device):
                prediction = self.model(x)
            part = self._error(prediction.to(y.dtype), y, self._plan, self._scale_y) / passes
            self._scaler.scale(part).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
            loss += float(part.detach())
        self._scaler.unscale_(self.optimizer)
        limit = self._plan.clip_norm if clip_norm is None else clip_norm
        return loss, float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), limit))


def _with_seed(plan: Plan, seed: int) -> Plan:
    train = plan.recipe.train.model_copy(update={"seed": seed})
    return replace(plan, recipe=plan.recipe.model_copy(update={"train": train}))
