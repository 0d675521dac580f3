"""CCDF of the envelope: how often a signal exceeds its mean power, and by how much."""

from __future__ import annotations

import numpy as np

from dpdrun.rf.metrics import Signal, to_db

# As instruments state it: a signal is above these levels for 10, 1, 0.1 and 0.01 % of the time.
PROBABILITIES = (1e-1, 1e-2, 1e-3, 1e-4)
MIN_ABOVE = 10  # samples above a level; fewer say nothing about it


def ccdf_db(x: Signal, probabilities: tuple[float, ...] = PROBABILITIES) -> dict[float, float | None]:
    """Return the level over the mean power that the samples exceed with each probability [dB].

    Args:
        x: (N,) complex128, as sampled (no oversampling).

    Returns:
        Level by probability; None where fewer than MIN_ABOVE of the N samples would be above it.

    Raises:
        ValueError: x has no power.
    """
    power = np.abs(x) ** 2
    mean = float(np.mean(power)) if len(power) else 0.0
    if mean == 0:
        raise ValueError("the CCDF of a signal without power is undefined")
    return {
        p: to_db(float(np.quantile(power, 1 - p)) / mean) if p * len(power) >= MIN_ABOVE else None
        for p in probabilities
    }
