"""A model trained in pieces, one a process (`train.shard: fsdp`).

This is torch's fully sharded data parallel (FSDP2): each process keeps its part of every parameter, of its gradient
and of AdamW's two moments. A step gathers the parameters for forward and backward, and ends with every process moving
its own part. The model is one unit: all models here are smaller than the activations of their batch, and to gather it
block by block would only make more messages.

Who scores a model goes on seeing a plain one. It is filled from the pieces for as long as it is looked at, so that a
prediction exchanges nothing, however unequal the shares of a scoring, and hands over a plain model in the end.
See docs/decisions/0007-sharding-without-the-plugin.md for why this is not Accelerate's plugin.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dpdrun.training.process_group import ProcessGroup, peer_loss_as_error
from dpdrun.training.task import Score, TrainingTask


def whole(tensor: Tensor) -> Tensor:
    """A tensor that lies in pieces, gathered: all processes call this together. Any other tensor as it is."""
    gather = getattr(tensor, "full_tensor", None)  # of a DTensor, whose import costs seconds
    if gather is None:
        return tensor
    with peer_loss_as_error(dist.get_rank(), dist.get_world_size()):
        return gather()  # type: ignore[no-any-return]


def in_pieces(model: nn.Module) -> bool:
    """Whether the parameters of a model lie in pieces."""
    return any(hasattr(parameter, "full_tensor") for parameter in model.parameters())


class Pieces:
    """An assignment whose model is trained in pieces: a twin of the plain one, which it scores.

    Args:
        task: the assignment; its module is on the device of training.
        model: the plain model, inside of that module or the module itself. Outside of scorings it is empty, once the
            twin is divided.

    Attributes:
        pair, module: as `Assignment`; the module is the twin of that of the task.
        model: the twin of the model.
    """

    def __init__(self, task: TrainingTask, model: nn.Module) -> None:
        made: dict[int, Any] = {}
        self.pair, self.module = task.pair, copy.deepcopy(task.module, made)
        self.model: nn.Module = made[id(model)]
        self._task, self._plain = task, model

    def divide(self, run: nn.Module, optimizer: torch.optim.Optimizer, group: ProcessGroup) -> ShardedRun:
        """Cut parameters and moments; from here on all processes take their steps together.

        Args:
            run: `module`, or a compiled version of it that shares its parameters.
            optimizer: of the parameters of `model`, with or without moments; moved over to the pieces.
            group: as many processes as there are pieces.
        """
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.tensor import distribute_tensor

        group.broadcast_(list(self.model.state_dict().values()))  # as DistributedDataParallel does: one start for all
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        moments = {names[id(parameter)]: state for parameter, state in optimizer.state.items()}
        device, wrapped = next(self.model.parameters()).device.type, ShardedRun(run)
        frozen = {parameter for parameter in run.parameters() if not parameter.requires_grad}  # of a PA model: no state
        with group.peer_loss_as_error():
            fully_shard(wrapped, mesh=init_device_mesh(device, (group.size,)), ignored_params=frozen)
            pieces = dict(self.model.named_parameters())
            for parameters in optimizer.param_groups:
                parameters["params"] = [pieces[names[id(parameter)]] for parameter in parameters["params"]]
            optimizer.state = defaultdict(dict)
            for name, state in moments.items():
                like: Any = pieces[name]
                optimizer.state[like] = {
                    key: distribute_tensor(value, like.device_mesh, like.placements) if value.ndim else value
                    for key, value in state.items()
                }
        self._release()
        return wrapped

    def score(self) -> Score:
        """As `Assignment`; all processes call it together."""
        self.fill()
        score = self._task.score()
        self._release()
        return score

    def fill(self) -> None:
        """Give the plain model the parameters as they are now; all processes call it together."""
        for plain, piece in zip(self._plain.parameters(), self.model.parameters(), strict=True):
            plain.data = whole(piece.detach())

    def _release(self) -> None:
        for plain in self._plain.parameters():
            plain.data = plain.data.new_empty(0)


class ShardedRun(nn.Module):
    """The one unit of FSDP: its forward gathers the parameters of the module inside."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, 2) -> (B, T, 2)."""
        return self.inside(x).clone()  # type: ignore[no-any-return]  # FSDP wants to hang a hook on it: not a view

    @contextmanager
    def no_sync(self) -> Iterator[None]:
        """A pass whose gradient is kept for the next one; Accelerate looks for this name."""
        self.set_requires_gradient_sync(False)  # type: ignore[operator]  # of FSDPModule, which `fully_shard` mixes in
        try:
            yield
        finally:
            self.set_requires_gradient_sync(True)  # type: ignore[operator]
