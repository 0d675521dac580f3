"""Limit the magnitude of a predistorter's output to what the transmitter's converter can play.

`models._cascade.limit` is the same on torch tensors, with a gradient.
"""

from __future__ import annotations

import numpy as np

from dpdrun.rf.metrics import Signal


def limit_magnitude(u: Signal, peak: float) -> Signal:
    """Scale samples beyond `peak` back to it, phase kept: u min(1, peak / |u|).

    Args:
        u: (N,) complex128.
        peak: largest magnitude, in the unit of u; inf leaves u as it is.
    """
    if np.isinf(peak):
        return u
    return np.asarray(u * (peak / np.maximum(np.abs(u), peak)), np.complex128)
