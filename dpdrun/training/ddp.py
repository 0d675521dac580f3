"""Statistics of an optimizer step in several processes: gathered, compared, and logged as those of one.

DistributedDataParallel averages the gradients; each process sees an equal share of the frames, so that is the gradient
of the whole batch. The processes also gather a row of numbers a step: loss, gradient norm before and after averaging,
the frames they saw, and whether one received a signal. What a single process would log is computed from these rows.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.task import Score


class OwnNorm:
    """Measures the norm of this process's own gradient, before it is averaged with those of the others.

    The rules RK201, RK203 and RK204 compare it between processes. A hook on each parameter sees the gradient when
    autograd has accumulated it and DistributedDataParallel has not reduced it yet, so that the reduction stays torch's
    own. Does nothing in a group of one.

    Args:
        model: as it is trained.
        group: its processes.
    """

    def __init__(self, model: nn.Module, group: ProcessGroup) -> None:
        self._parameters = [each for each in model.parameters() if each.requires_grad] if group.size > 1 else []
        self._squares: dict[int, Tensor] = {}  # a later pass of the same step, which has more in it, replaces the last
        self._hooks = ExitStack()

    def __enter__(self) -> OwnNorm:
        for parameter in self._parameters:
            hook = parameter.register_post_accumulate_grad_hook(self._take)  # type: ignore[no-untyped-call]
            self._hooks.callback(hook.remove)
        return self

    def __exit__(self, *exc: object) -> None:
        self._hooks.close()

    def _take(self, parameter: Tensor) -> None:
        if parameter.grad is not None:
            self._squares[id(parameter)] = parameter.grad.detach().double().square().sum()

    def read(self) -> float | None:
        """Return the norm of the step just done; None in a group of one."""
        if not self._squares:
            return None
        # exactly, for gradients arrive in an order of autograd's
        norm = math.sqrt(math.fsum(torch.stack(list(self._squares.values())).tolist()))
        self._squares.clear()
        return norm


@dataclass(frozen=True)
class StepStats:
    """Statistics of a step over all processes, the same in each.

    Attributes:
        loss: over the complete batch.
        losses: of each process's frames, (P,).
        starts: first samples of the frames as the batch holds them, (B,).
        shares: the same by process, (P, B / P).
        stop: signal number that a process received, or 0.
        line: columns of the metrics line by process; empty for one process.
    """

    loss: float
    losses: NDArray[np.float64]
    starts: NDArray[np.int64]
    shares: NDArray[np.int64]
    stop: int
    line: dict[str, Any]

    @property
    def culprit(self) -> int | None:
        """Return the first process whose loss is not finite."""
        ranks = np.flatnonzero(~np.isfinite(self.losses))
        return int(ranks[0]) if len(ranks) else None


def gather_step_stats(
    group: ProcessGroup, *, loss: float, own_norm: float | None, grad_norm: float, stop: int, checksum: int | None,
    starts: list[NDArray[np.int64]],
) -> StepStats:  # fmt: skip
    """All-gather the statistics of a step.

    Args:
        group: the processes.
        loss: mean over the own frames.
        own_norm: of the gradient before averaging.
        grad_norm: of the averaged gradient, before clipping; the same everywhere, or something is wrong.
        stop: signal number that this process received, or 0.
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
    """Broadcast the score of rank 0.

    Best model and plateau follow from it in every process, also where processors of two kinds round differently.
    """
    nmse_db, selection_db = group.all_gather([score.nmse_db, score.selection_db])[0].tolist()
    return replace(score, nmse_db=nmse_db, selection_db=selection_db)


def checksum_of(module: nn.Module) -> int:
    """Return a CRC-32 over the bytes of all parameters: equal in all processes at every step."""
    checksum = 0
    for parameter in module.parameters():
        checksum = crc32(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes(), checksum)
    return checksum
