"""One optimizer step in several processes: what each contributes, and what all know of it afterwards.

DistributedDataParallel averages the gradients; each process sees an equal share of the frames, so that is the gradient
of the whole batch. Beside it the processes tell each other a row of numbers a step: loss, gradient norm before and
after averaging, the frames they saw, and whether someone asked to stop. What a single process would log is made of
these rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any
from zlib import crc32

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel

from dpdrun.training.fsdp import ShardedRun, whole
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.task import Score

_reduce_scatter = getattr(dist, "reduce_scatter_single", dist.reduce_scatter_tensor)  # its name before torch 2.13


def constant_buffers() -> dict[str, bool]:
    """The argument by which DistributedDataParallel leaves buffers alone: ours are scales and tables.

    It would send them before every forward pass otherwise. torch 2.13 has a new name for it and warns of the old one.
    """
    known = signature(DistributedDataParallel).parameters
    return {"forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers": False}


class OwnNorm:
    """The norm of the gradient that this process found by itself, taken as it is averaged with those of the others.

    Args:
        wrapped: the module as it is trained; of a group of one it is not wrapped, and there is nothing to take.
    """

    def __init__(self, wrapped: nn.Module) -> None:
        self._squares: list[Tensor] = []
        if isinstance(wrapped, DistributedDataParallel):
            wrapped.register_comm_hook(None, self._take)
        elif isinstance(wrapped, ShardedRun) and hasattr(wrapped, "set_custom_reduce_scatter"):  # not before torch 2.9
            wrapped.set_custom_reduce_scatter(_Measured(self._squares))  # type: ignore[operator]

    # torch compares annotations with its own classes, and ours are strings: PEP 563
    def _take(self, _, bucket):  # type: ignore[no-untyped-def]
        self._squares += [part.detach().double().square().sum() for part in bucket.gradients()]
        return allreduce_hook(dist.distributed_c10d._get_default_group(), bucket)

    def read(self) -> float | None:
        """Of the step that was just done; None in a group of one."""
        if not self._squares:
            return None
        # exactly, for DistributedDataParallel puts the parameters in another order after its first step
        norm = math.sqrt(math.fsum(torch.stack(self._squares).tolist()))
        self._squares.clear()
        return norm


class _Measured:
    """The exchange of gradients of FSDP, torch's own, with a look at what this process gives."""

    def __init__(self, squares: list[Tensor]) -> None:
        self._squares = squares

    def allocate(self, size: tuple[int, ...], *, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.empty(size, dtype=dtype, device=device)

    def __call__(self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False) -> Any:
        self._squares.append(input_tensor.detach().double().square().sum())  # its padding is zeros
        return _reduce_scatter(output_tensor, input_tensor, op=op, group=group, async_op=async_op)


@dataclass(frozen=True)
class StepStats:
    """What all processes know of a step.

    Attributes:
        loss: over the whole batch.
        losses: of each process's frames, (P,).
        starts: first samples of the frames as the batch holds them, (B,); and by process, (P, B / P).
        stop: signal number that some process was sent, or 0.
        line: what the metrics line says of the single processes; empty for one.
    """

    loss: float
    losses: NDArray[np.float64]
    starts: NDArray[np.int64]
    shares: NDArray[np.int64]
    stop: int
    line: dict[str, Any]

    @property
    def culprit(self) -> int | None:
        """The first process whose loss is not finite."""
        broken = np.flatnonzero(~np.isfinite(self.losses))
        return int(broken[0]) if len(broken) else None


def gather_step_stats(
    group: ProcessGroup, *, loss: float, own_norm: float | None, grad_norm: float, stop: int, checksum: int | None,
    starts: list[NDArray[np.int64]],
) -> StepStats:  # fmt: skip
    """Exchange what each process knows of its part of a step.

    Args:
        group: the processes.
        loss: mean over the own frames.
        own_norm: of the gradient before averaging.
        grad_norm: of the averaged gradient, before clipping; the same everywhere, or something is wrong.
        stop: signal number that this process was sent, or 0.
        checksum: of the parameters that the step began with, now and then.
        starts: of the own frames, one array (S,) for each accumulated pass.
    """
    own = np.concatenate(starts)
    numbers = [loss, own_norm or 0.0, grad_norm, float(stop), float(checksum or 0), *own.astype(np.float64)]
    rows = group.all_gather(numbers)
    shares = rows[:, 5:].astype(np.int64)
    batch = shares.reshape(group.size, len(starts), -1).transpose(1, 0, 2).reshape(-1)  # as `FrameSampler.shares` cuts
    line: dict[str, Any] = {}
    if group.size > 1:
        line = {"rank_losses": rows[:, 0].tolist(), "rank_grad_norms": rows[:, 1].tolist()}
        line["rank_reduced_norms"] = rows[:, 2].tolist()
    if checksum is not None:
        line["rank_checksums"] = rows[:, 4].astype(np.int64).tolist()
    return StepStats(float(np.mean(rows[:, 0])), rows[:, 0], batch, shares, int(rows[:, 3].max()), line)


def broadcast_score(group: ProcessGroup, score: Score) -> Score:
    """The score of the first process in all of them.

    Whatever hangs on it (best model, plateau) is then decided alike, also where processors of two kinds round
    differently.
    """
    nmse_db, selection_db = group.all_gather([score.nmse_db, score.selection_db])[0].tolist()
    return replace(score, nmse_db=nmse_db, selection_db=selection_db)


def checksum_of(module: nn.Module) -> int:
    """CRC-32 over the bytes of all parameters: equal in all processes at every step."""
    found = 0
    for parameter in module.parameters():
        found = crc32(whole(parameter.detach()).cpu().contiguous().view(torch.uint8).numpy().tobytes(), found)
    return found
