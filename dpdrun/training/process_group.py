"""The process group of a run: rendezvous, collectives, and errors in all processes at once.

One process is a group of one and needs no network. Several meet where the environment says (`RANK`, `WORLD_SIZE`,
`MASTER_ADDR`, `MASTER_PORT`, as dpdrun's own launcher, torchrun and accelerate set them). Rank 0 alone writes the run
folder and talks to the user. What decides how training continues is decided there and broadcast, so that no process
waits in a collective for one that has left.

These collectives move a few numbers a step between CPUs (gloo), so that no GPU waits for them. Gradients are averaged
by DistributedDataParallel. Nothing is pickled.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from dpdrun.distributed.cores import LIMIT_VARIABLE, available_threads
from dpdrun.distributed.environment import environment_restored, interface_to
from dpdrun.distributed.launcher import STORE_VARIABLE, rank_and_world_size, timeout_s, whole_of
from dpdrun.distributed.signal_handlers import heard_in_extensions
from dpdrun.errors import DpdrunError, FollowedError, LostError, RunError, StoppedError
from dpdrun.evaluation.prediction import ALONE, Sharing

T = TypeVar("T")
IN_GLOO = re.compile(
    r"^(Got the following error when running the callback: )?(RuntimeError: )?\[\S+:\d+\] "
    r"|\.? This is typically caused by .*"  # general advice, which is to read the other log
)
MESSAGE_BYTES = 4096  # of an error message that is gathered


def _peer_loss_as_error(method: Callable[..., T]) -> Callable[..., T]:
    @wraps(method)
    def call(self: ProcessGroup, *args: Any, **kwargs: Any) -> T:
        with self.peer_loss_as_error():
            return method(self, *args, **kwargs)

    return call


def uses_gpu(device: str = "auto") -> bool:
    """Return whether a `train.device` means GPUs on this machine; not with `accelerate launch --cpu`."""
    if device not in ("auto", "cuda"):
        return False
    return torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "").lower() not in ("1", "true")


class ProcessGroup:
    """The processes of a run, as one of them sees them.

    Attributes:
        size: number of processes, the world size.
        rank: of this process, from 0.
    """

    def __init__(self, size: int = 1, rank: int = 0) -> None:
        self.size, self.rank = size, rank
        self._group: Any = None

    @classmethod
    @contextmanager
    def join(cls, device: str = "auto") -> Iterator[ProcessGroup]:
        """Initialize the group that the environment describes; destroy it at the end, and restore the environment.

        Args:
            device: `train.device` of the recipe.

        Raises:
            RunError: a process is missing after the timeout, or the environment is incomplete.
        """
        rank, size = rank_and_world_size()
        with environment_restored("LOCAL_RANK", "GLOO_SOCKET_IFNAME", LIMIT_VARIABLE):
            if size == 1:
                os.environ.pop("LOCAL_RANK", None)  # of torchrun with one process: accelerate would make a group for it
                yield cls()
                return
            os.environ[LIMIT_VARIABLE] = str(available_threads())  # accelerate takes one number only, OpenMP also 4,2
            group = cls(size, rank)
            is_ours = not dist.is_initialized()  # a caller of the Python API may have its own group
            group._initialize(uses_gpu(device))
            try:
                yield group
            finally:
                if is_ours:
                    dist.destroy_process_group()

    def _initialize(self, on_gpu: bool) -> None:
        timeout = timedelta(seconds=timeout_s())
        here = whole_of("LOCAL_WORLD_SIZE", self.size)
        if on_gpu and here > (gpus := torch.cuda.device_count()):
            raise RunError(
                f"{here} processes on a host with {gpus} GPU{'s' * (gpus > 1)}: at most one per GPU is possible. "
                "On its CPUs: --set train.device=cpu"
            )
        if "GLOO_SOCKET_IFNAME" not in os.environ:
            interface = interface_to(os.environ["MASTER_ADDR"], alone=here == self.size)
            if interface is not None:
                os.environ["GLOO_SOCKET_IFNAME"] = interface
        store = os.environ.get(STORE_VARIABLE) or None
        if store and not Path(store).parent.is_dir():
            raise RunError(f"{STORE_VARIABLE} is {store}: there is no such folder; unset it, or start with --processes")
        where = "here" if store else f"at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        try:
            with heard_in_extensions():
                if not dist.is_initialized():
                    if on_gpu:
                        torch.cuda.set_device(whole_of("LOCAL_RANK", self.rank % torch.cuda.device_count()))
                    dist.init_process_group(
                        "nccl" if on_gpu else "gloo", timeout=timeout, rank=self.rank, world_size=self.size,
                        store=None if store is None else self._store(store, timeout),
                    )  # fmt: skip
                self._group = dist.new_group(backend="gloo", timeout=timeout) if on_gpu else dist.group.WORLD
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"process {self.rank} of {self.size} did not meet the others {where} within "
                f"{timeout.total_seconds():g} s: {_first_line(error)}"
            ) from error

    def _store(self, path: str, timeout: timedelta) -> Any:
        """Return the file of the rendezvous as a store: in a file:// address, not every path would be itself."""
        store = dist.FileStore(path, self.size)  # type: ignore[attr-defined]
        store.set_timeout(timeout)
        return store

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the process that writes files and talks to the user."""
        return self.rank == 0

    @_peer_loss_as_error
    def all_gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        """All-gather n numbers of each process: (size, n)."""
        own = torch.tensor([values], dtype=torch.float64)
        if self.size == 1:
            return own.numpy()
        rows = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(rows, own, group=self._group)
        return torch.cat(rows).numpy()

    @_peer_loss_as_error
    def all_reduce_sum(self, values: NDArray[Any]) -> NDArray[Any]:
        """All-reduce an array (float64 or complex128) to its sum over the processes."""
        if self.size == 1:
            return values
        flat = torch.from_numpy(np.ascontiguousarray(values).view(np.float64))
        dist.all_reduce(flat, group=self._group)
        return flat.numpy().view(values.dtype)

    @_peer_loss_as_error
    def broadcast_text(self, text: str) -> str:
        """Broadcast the text of rank 0."""
        if self.size == 1:
            return text
        content = text.encode() if self.is_rank_zero else b""
        length = torch.tensor([len(content)])
        dist.broadcast(length, 0, group=self._group)
        content = content.ljust(int(length), b"\0")
        data = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)
        dist.broadcast(data, 0, group=self._group)
        return bytes(data.numpy()[: int(length)]).decode()

    @_peer_loss_as_error
    def broadcast_(self, tensors: Sequence[Tensor]) -> None:
        """Broadcast the tensors of rank 0 in place, on any device."""
        if self.size == 1:
            return
        for tensor in tensors:
            here = tensor.detach().cpu().contiguous()
            dist.broadcast(here, 0, group=self._group)
            tensor.detach().copy_(here)

    @_peer_loss_as_error
    def barrier(self) -> None:
        """Block until all processes have come to this call."""
        if self.size > 1:
            dist.barrier(group=self._group)

    @contextmanager
    def errors_synchronized(self) -> Iterator[None]:
        """Run a block without collectives, after which all processes continue or all raise.

        Raises:
            DpdrunError: of the block; on rank 0 also that of another process.
            FollowedError: on the other ranks, where some process failed.
        """
        failure: DpdrunError | None = None
        try:
            yield
        except DpdrunError as error:
            failure = error
        if self.size == 1:
            if failure:
                raise failure
            return
        own = "" if failure is None else f"{failure.exit_code}\n{failure}"
        content = own.encode()[:MESSAGE_BYTES].ljust(MESSAGE_BYTES, b"\0")
        rows = self.all_gather([float(byte) for byte in content])
        messages = [bytes(row.astype(np.uint8)).rstrip(b"\0").decode(errors="ignore") for row in rows]
        failed = {rank: text for rank, text in enumerate(messages) if text}
        if not failed:
            return
        rank, text = next(iter(failed.items()))
        code, _, message = text.partition("\n")
        if not self.is_rank_zero:
            raise FollowedError(int(code)) from failure
        if failure is not None:
            raise failure
        raise (StoppedError if int(code) == StoppedError.exit_code else RunError)(
            f"process {rank} of {self.size}: {message}"
        )

    @contextmanager
    def peer_loss_as_error(self) -> Iterator[None]:
        """Turn the RuntimeError of a collective whose peer is gone into a LostError."""
        try:
            yield
        except torch.OutOfMemoryError:  # a RuntimeError too, and this process's own
            raise
        except RuntimeError as error:  # torch.distributed.DistBackendError is one
            if self.size == 1:
                raise
            where = f"process {self.rank} of {self.size} on {socket.gethostname()}"
            raise LostError(f"{where} lost contact with the others: {_first_line(error)}") from error


def sharing_of(group: ProcessGroup) -> Sharing:
    """Return how the processes of a group share a prediction."""
    return Sharing(group.rank, group.size, group.all_reduce_sum) if group.size > 1 else ALONE


def _first_line(error: Exception) -> str:
    """Return the message of a collective, without the place in gloo's sources and what c10d puts around it."""
    line = (str(error).strip().splitlines() or [repr(error)])[0]
    return IN_GLOO.sub("", line)[:300]
