"""Preserves the random state of torch: building a model draws numbers from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def random_state_preserved() -> Iterator[None]:
    """Restore torch's generators, of the CPU and of the GPUs in use, at the end of a block."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    cpu, gpus = torch.get_rng_state(), [torch.cuda.get_rng_state(device) for device in devices]
    try:
        yield
    finally:
        torch.set_rng_state(cpu)
        for device, state in zip(devices, gpus, strict=True):
            torch.cuda.set_rng_state(state, device)
