"""Complex records as tensors of I/Q pairs, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def to_pairs(record: NDArray[np.complex128]) -> Tensor:
    """Complex record (N,) -> pairs (N, 2) in torch's default precision, in which models are built too."""
    return torch.from_numpy(np.stack([record.real, record.imag], axis=-1)).to(torch.get_default_dtype())


def to_complex(pairs: Tensor) -> NDArray[np.complex128]:
    """Pairs (N, 2) -> complex record (N,)."""
    values = pairs.detach().to("cpu", torch.float64).numpy()
    return np.asarray(values[..., 0] + 1j * values[..., 1])
