"""What can go wrong between the processes of a group, put into the last of two: one function a fault.

Each changes the program for the time of one training, as a slip in it or a broken machine would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor

from dpdrun.training import loop
from dpdrun.training.engine import Accelerated
from dpdrun.training.sampler import FrameSampler

LATE = 100  # step at which what happens once happens
Shares = Callable[..., Any]


def _exchange(work: Callable[[Tensor], Tensor]) -> Any:
    """All-reduce replaced by what `work` makes of a flat gradient."""

    def hook(_, bucket):  # type: ignore[no-untyped-def]  # torch compares annotations, and ours are strings
        future: torch.futures.Future[Tensor] = torch.futures.Future()
        future.set_result(work(bucket.buffer()))
        return future

    prepare = Accelerated.prepare

    def hooked(self: Accelerated, module: torch.nn.Module) -> torch.nn.Module:
        wrapped: Any = prepare(self, module)
        wrapped.register_comm_hook(None, hook)
        return wrapped  # type: ignore[no-any-return]

    return patch.object(Accelerated, "prepare", hooked)


def own_gradient(_: int) -> Any:
    """Nothing is averaged."""
    return _exchange(lambda gradient: gradient)


def first_gradient(_: int) -> Any:
    """All get the gradient of the first process."""

    def work(gradient: Tensor) -> Tensor:
        dist.broadcast(gradient, 0)
        return gradient

    return _exchange(work)


def summed_gradient(_: int) -> Any:
    """Summed, and not divided."""

    def work(gradient: Tensor) -> Tensor:
        dist.all_reduce(gradient)
        return gradient

    return _exchange(work)


@contextmanager
def bare_module(_: int) -> Iterator[None]:
    """The module is trained as it is, outside of DistributedDataParallel."""

    with patch.object(Accelerated, "prepare", lambda _, module: module):
        yield


@contextmanager
def _before_step(meddle: Callable[[torch.optim.Optimizer, int], None]) -> Iterator[None]:
    build, steps = loop.build_optimizer, iter(range(1, 10**9))

    def built(*arguments: Any) -> torch.optim.Optimizer:
        optimizer = build(*arguments)
        optimizer.register_step_pre_hook(lambda this, *_: meddle(this, next(steps)))
        return optimizer

    with patch.object(loop, "build_optimizer", built):
        yield


def flipped_weight(rank: int) -> Any:
    """One weight of the last process is changed once, by a millionth."""

    def meddle(optimizer: torch.optim.Optimizer, step: int) -> None:
        if rank and step == LATE:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].view(-1)[0].add_(1e-6)

    return _before_step(meddle)


def lost_moments(rank: int) -> Any:
    """The last process loses what AdamW remembers, as a resume that reads it in the first process alone."""

    def meddle(optimizer: torch.optim.Optimizer, step: int) -> None:
        if rank and step == LATE:
            optimizer.state.clear()

    return _before_step(meddle)


@contextmanager
def _frames(draw: Callable[[Shares, FrameSampler, int, dict[str, Any]], Any]) -> Iterator[None]:
    """Other frames than those of its share."""
    shares = FrameSampler.shares
    with patch.object(FrameSampler, "shares", lambda self, step, **how: draw(shares, self, step, how)):
        yield


def stuck(rank: int) -> Any:
    """The last process sees its first frames in every step."""
    return _frames(lambda shares, self, step, how: shares(self, 1 if rank else step, **how))


def repeated(rank: int) -> Any:
    """The last process sees each of its batches in four steps running."""
    return _frames(lambda shares, self, step, how: shares(self, (step - 1) // 4 * 4 + 1 if rank else step, **how))


def copied(_: int) -> Any:
    """The last process sees the frames of the first."""
    return _frames(lambda shares, self, step, how: shares(self, step, **{**how, "process": 0}))


def louder(rank: int) -> Any:
    """The last process sees only the half of its frames whose signal is louder, each twice: a sorted shard."""

    def draw(shares: Shares, self: FrameSampler, step: int, how: dict[str, Any]) -> Any:
        for starts, x, y in shares(self, step, **how):
            if rank:
                half = x.square().sum(dim=(1, 2)).argsort(descending=True)[: max(1, len(x) // 2)].repeat(2)
                yield starts, x[half][: len(x)], y[half][: len(x)]
            else:
                yield starts, x, y

    return _frames(draw)


def other_gain(rank: int) -> Any:
    """The output that the last process learns from is 10 % larger: another calibration."""

    def draw(shares: Shares, self: FrameSampler, step: int, how: dict[str, Any]) -> Any:
        for starts, x, y in shares(self, step, **how):
            yield starts, x, y * (1.1 if rank else 1.0)

    return _frames(draw)


FAULTS: dict[str, tuple[Callable[[int], Any], set[str]]] = {  # with the rules that name it
    "nothing is averaged": (own_gradient, {"RK201"}),
    "module is not wrapped": (bare_module, {"RK201"}),
    "first gradient for all": (first_gradient, {"RK201"}),
    "summed, not averaged": (summed_gradient, {"RK201"}),
    "one weight off by 1e-6": (flipped_weight, {"RK202"}),
    "optimizer state lost": (lost_moments, {"RK202"}),
    "frames of the first": (copied, {"RK203"}),
    "stuck on its first frames": (stuck, {"RK204"}),
    "each batch four times": (repeated, {"RK204"}),
    "louder half of its frames": (louder, {"RK204"}),
    "target 10 % larger": (other_gain, {"RK204"}),
}
