"""Convert complex records to tensors of I/Q pairs, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_pairs(record: NDArray[np.complex128]) -> Tensor:
    """Convert a complex record (N,) to pairs (N, 2), in torch's default precision as models are."""
    return torch.from_numpy(np.stack([record.real, record.imag], axis=-1)).to(torch.get_default_dtype())


def to_complex(pairs: Tensor) -> NDArray[np.complex128]:
    """Convert pairs (N, 2) to a complex record (N,)."""
    values = pairs.detach().to("cpu", torch.float64).numpy()
    record = np.empty(values.shape[:-1], np.complex128)
    record.real, record.imag = values[..., 0], values[..., 1]  # where a sum with 1j would warn of infinite parts
    return record
