"""Runs passes on one device with torch alone, in several processes through Hugging Face Accelerate.

All Accelerators of a program share one state: precision, device, steps of accumulation. Building one changes what an
Accelerator of the caller does, and the first one made decides for all later ones. One process needs nothing of it, so
a program with an Accelerator of its own can call `dpdrun.train`. Several processes do: autocast, loss scale and
DistributedDataParallel are Accelerate's there, and a foreign Accelerator is refused.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dpdrun.errors import RunError
from dpdrun.training.precision import LOW, autocast
from dpdrun.training.process_group import ProcessGroup, uses_gpu

if TYPE_CHECKING:  # heavy, and one process needs none of it
    from accelerate import Accelerator


class Engine:
    """What the passes of a step need to know of device, precision and processes: of one process, a GPU or the CPU.

    Attributes:
        device: where model and frames are.
        scaler: the loss scale of `train.precision: fp16`.
    """

    def __init__(self, precision: str, device: str = "auto") -> None:
        self.device = torch.device("cuda" if uses_gpu(device) else "cpu")
        self.scaler = torch.amp.GradScaler(self.device.type) if precision == "fp16" else None
        self._precision = precision

    def prepare(self, module: nn.Module) -> nn.Module:
        """Return the module to call in training: it averages the gradients of all processes."""
        return module

    def autocast(self) -> AbstractContextManager[None]:
        """Run forward passes in the precision of the recipe."""
        return autocast(self._precision, self.device)

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:  # noqa: ARG002 - nothing is averaged here
        """Accumulate gradients of a prepared module without averaging them yet."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass of a loss, scaled where there is a loss scale."""
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]  # torch has no types for it


class Accelerated(Engine):
    """The engine of several processes: an Accelerator."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.device, self.scaler = accelerator.device, accelerator.scaler
        self._accelerator = accelerator

    def prepare(self, module: nn.Module) -> nn.Module:
        """As `Engine`."""
        with warnings.catch_warnings():
            # torch 2.13 has a new name for the argument, which Accelerate 1.15 does not know
            warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
            prepared: nn.Module = self._accelerator.prepare(module)
        # Accelerate wraps the forward method of `module` in autocast too; validation scores the same module in fp32
        self._accelerator.unwrap_model(module, keep_fp32_wrapper=False)
        return prepared

    def autocast(self) -> AbstractContextManager[None]:
        """As `Engine`."""
        return self._accelerator.autocast()  # type: ignore[no-any-return]

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """As `Engine`."""
        return self._accelerator.no_sync(module)  # type: ignore[no-any-return]

    def backward(self, loss: Tensor) -> None:
        """As `Engine`."""
        self._accelerator.backward(loss)


@contextmanager
def engine_of(group: ProcessGroup, precision: str, device: str = "auto") -> Iterator[Engine]:
    """Provide the engine of a process group, in a `train.precision`, on a `train.device`.

    Raises:
        RunError: several processes, and the program has an Accelerator of its own.
    """
    if group.size == 1:
        yield Engine(precision, device)
        return
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.state import AcceleratorState, is_initialized
    from accelerate.utils import GradientAccumulationPlugin

    if is_initialized():
        raise RunError(
            "this program has created an Accelerator, and all Accelerators of a program share one state: "
            "train before creating it, in a program without one, or in one process"
        )
    try:
        # Explicit, or Accelerate takes compilation and accumulation from its environment variables. Our buffers are
        # scales and tables, which never change: no need to broadcast them before each forward pass.
        yield Accelerated(
            Accelerator(
                cpu=not uses_gpu(device),
                mixed_precision=precision if precision in LOW else "no",
                dynamo_backend="no",
                gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
                kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
            )
        )
    finally:
        AcceleratorState._reset_state()  # ours; it would refuse the next run of this program another precision
