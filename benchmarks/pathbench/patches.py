"""Mistakes in the code around a model, each put into dpdrun's own loop for the time of one trial.

A schedule that plans something else is no mistake but another healthy run: see `scheduled`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.pathbench.variant import Patch
from dpdrun import models
from dpdrun.evaluation import assessment, prediction, signal
from dpdrun.models.transformer import Block
from dpdrun.plan.plan import Plan
from dpdrun.training import checkpoint, loop, step, task
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.schedule import Schedule, schedule_of

Planned = Callable[[Schedule, Plan, int], float]


def realised(lr_of: Planned) -> Patch:
    """Another learning rate than the planned one is used: `lr_of(schedule, plan, step)`."""

    def changed(build: Callable[..., Any], model: nn.Module, plan: Plan) -> Any:
        optimizer, schedule, steps = build(model, plan), schedule_of(plan), itertools.count(1)

        def before_step(*_: object) -> None:
            step = next(steps)
            for group in optimizer.param_groups:
                group["lr"] = lr_of(schedule, plan, step)

        optimizer.register_step_pre_hook(before_step)
        return optimizer

    return _wrapped(loop, "build_optimizer", changed)


def per_epoch(schedule: Schedule, plan: Plan, step: int) -> float:
    """The scheduler is stepped once an epoch, and its warmup counts those."""
    return schedule.lr_at(1 + (step - 1) * plan.batch_size // plan.frames_per_epoch)


def twice(schedule: Schedule, plan: Plan, step: int) -> float:
    """The scheduler is stepped twice a step: it is at its end in the middle of the run."""
    return schedule.lr_at(min(2 * step, plan.total_steps))


def scheduled(lr_of: Callable[[Plan, int], float]) -> Patch:
    """A schedule that the recipe cannot say, planned as it is used: `lr_of(plan, step)`."""

    def changed(build: Callable[[Plan], Schedule], plan: Plan) -> Schedule:
        class Other(Schedule):
            def lr_at(self, step: int, drop: float = 1.0) -> float:  # noqa: ARG002
                return self.peak * step / self.warmup if step <= self.warmup else lr_of(plan, step)

        return Other(**vars(build(plan)))

    return _wrapped(loop, "schedule_of", changed)


def norm_after_clipping() -> Any:
    """The norm is logged after clipping."""

    def changed(clip: Callable[..., Tensor], parameters: Any, limit: float) -> Tensor:
        return clip(parameters, limit).clamp(max=limit)

    return _wrapped(torch.nn.utils, "clip_grad_norm_", changed)()


def left_out(part: str) -> Patch:
    """The optimizer was not given the parameters whose name contains `part`."""

    def changed(build: Callable[..., Any], model: nn.Module, plan: Plan) -> Any:
        optimizer = build(model, plan)
        missing = {id(parameter) for name, parameter in model.named_parameters() if part in name}
        if not missing:
            raise ValueError(f"no parameter has {part!r} in its name")
        for group in optimizer.param_groups:
            group["params"] = [each for each in group["params"] if id(each) not in missing]
        return optimizer

    return _wrapped(loop, "build_optimizer", changed)


def batches(steps: Callable[[int], bool], change: Callable[[Tensor, Tensor], None]) -> Patch:
    """Some batches arrive changed: `change(x, y)` writes into copies of x and y, (B, T, 2)."""

    def changed(shares: Callable[..., Iterator[Any]], self: FrameSampler, step: int, **rest: int) -> Iterator[Any]:
        for starts, x, y in shares(self, step, **rest):
            if steps(step):
                x, y = x.clone(), y.clone()
                change(x, y)
            yield starts, x, y

    return _wrapped(FrameSampler, "shares", changed)


def not_a_number(x: Tensor, y: Tensor) -> None:  # noqa: ARG001
    """One sample of the input."""
    x[0, x.shape[1] // 2, 0] = torch.nan


def outlier(x: Tensor, y: Tensor) -> None:
    """Thirty times the level, in and out."""
    x *= 30
    y *= 30


def order(rearrange: Callable[[np.ndarray], np.ndarray]) -> Patch:
    """The frames of an epoch come in another order: `rearrange(starts in the order of the record)`."""

    def changed(draw: Callable[..., np.ndarray], self: FrameSampler, epoch: int) -> np.ndarray:
        return rearrange(np.sort(draw(self, epoch)))

    return _wrapped(FrameSampler, "_draw_epoch", changed)


def in_file_order(starts: np.ndarray) -> np.ndarray:
    """Never shuffled."""
    return starts


def one_shard_again(starts: np.ndarray) -> np.ndarray:
    """A twentieth of the record stands in for nine tenths of it, in the same places of every epoch."""
    count = len(starts)
    shard = np.resize(starts[: max(1, count // 20)], count - count // 10)
    return np.concatenate([shard, starts[count - count // 10 :]])


def partial_windows() -> Any:
    """The last step of an epoch has a quarter of its passes, and is divided by all of them."""
    calls = itertools.count(1)

    def changed(loss: Callable[..., Tensor], prediction: Tensor, y: Tensor, plan: Plan, scale_y: float) -> Tensor:
        is_last = next(calls) % max(2, plan.frames_per_epoch // plan.batch_size) == 0
        return loss(prediction, y, plan, scale_y) * (0.25 if is_last else 1.0)

    return _wrapped(step, "squared_error", changed)()


def gradients_kept() -> Any:
    """Nobody calls zero_grad: every step has the gradients of all steps before it."""
    return mock.patch.object(torch.optim.Optimizer, "zero_grad")


@contextmanager
def padded_scoring() -> Iterator[None]:
    """A model is scored on pieces whose last eighth was padded with zeros, against the whole target."""

    def changed(predict: Callable[..., Any], model: Any, x: np.ndarray, **rest: Any) -> Any:
        x = x.copy()
        x[np.arange(len(x)) % 128 >= 112] = 0
        return predict(model, x, **rest)

    with ExitStack() as stack:
        for user in (task, assessment, signal, prediction):
            stack.enter_context(_wrapped(user, "predict", changed)())
        yield


def built(change: Callable[[nn.Module], None]) -> Patch:
    """The model is changed when it has been built."""

    def changed(build: Callable[..., nn.Module], *args: Any, **rest: Any) -> nn.Module:
        model = build(*args, **rest)
        change(model)
        return model

    return _wrapped(models, "build", changed)


def sharp_attention(model: nn.Module) -> None:
    """Queries thirty times too large: softmax picks one sample from the beginning."""
    for block in model.blocks:  # type: ignore[union-attr]
        width = block.attention.qkv.in_features
        with torch.no_grad():
            block.attention.qkv.weight[:width] *= 30


def clipped_output(model: nn.Module) -> None:
    """I and Q of the output stay within 0.85 rms of the signal, which is 1.2 of their own."""

    def clamp(module: Any, _: Any, y: Tensor) -> Tensor:
        return y.clamp(-0.85 * module.scale_y, 0.85 * module.scale_y)

    model.register_forward_hook(clamp)


def input_normalised(model: nn.Module) -> None:
    """Every input sample is scaled to the same magnitude; only its phase is left."""

    def normalise(module: Any, inputs: tuple[Tensor]) -> Tensor:
        x = inputs[0]
        scaled: Tensor = module.scale_x * x / x.norm(dim=-1, keepdim=True).clamp(min=1e-9)
        return scaled

    model.register_forward_pre_hook(normalise)


def no_residual() -> Any:
    """The blocks of a Transformer without the paths past them."""

    def forward(self: Block, x: Tensor, past: Any) -> Any:
        attended, present = self.attention(self.norm_attention(x), past)
        return self.mlp_out(self.activation(self.mlp_in(self.norm_mlp(attended)))), present

    return mock.patch.object(Block, "forward", forward)


def moments_lost() -> Any:
    """A resumed run begins with a fresh optimizer."""

    def changed(restore: Callable[..., Any], path: Any, model: nn.Module, optimizer: Any, **rest: Any) -> Any:
        progress = restore(path, model, optimizer, **rest)
        optimizer.state.clear()
        return progress

    return _wrapped(checkpoint, "restore", changed)()


def _wrapped(owner: Any, name: str, changed: Callable[..., Any]) -> Patch:
    """`owner.name(...)` becomes `changed(what it was, ...)`."""

    def patch() -> Any:
        before = getattr(owner, name)
        return mock.patch.object(owner, name, lambda *args, **rest: changed(before, *args, **rest))

    return patch
