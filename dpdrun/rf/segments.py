"""The segments on which OpenDPD's legacy metrics work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dpdrun.rf.metrics import Signal


def padded_segments(x: Signal, nperseg: int) -> NDArray[np.complex128]:
    """Split a record into consecutive segments, the last one padded with zeros (IQSegmentDataset of opendpd 2.4.2).

    Args:
        x: (N,) complex128, N >= 1.
        nperseg: [samples].

    Returns:
        (ceil(N / nperseg), nperseg) complex128.

    Raises:
        ValueError: nothing to cut, or no length to cut it to.
    """
    if x.ndim != 1 or len(x) == 0 or nperseg < 1:
        raise ValueError(f"need a (N,) signal and a segment length, got {x.shape} and {nperseg}")
    count = -(-len(x) // nperseg)
    padded = np.zeros(count * nperseg, np.complex128)
    padded[: len(x)] = x
    return padded.reshape(count, nperseg)
