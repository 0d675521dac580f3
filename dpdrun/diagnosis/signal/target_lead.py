"""Find a target that precedes its input, which no causal model can follow.

The prediction does not show it: such a model has learned to guess, and is not merely late. The input does.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import Signal, one_tap_nmse_db


@dataclass(frozen=True)
class Lead:
    """Lead of y over x, and NMSE of one complex gain without and with it.

    Attributes:
        samples: lag with the largest cross-correlation [samples].
        present_nmse_db: NMSE of y = g x[n] [dB].
        ahead_nmse_db: of y = g x[n + samples], without the end of the record [dB].
    """

    samples: int
    present_nmse_db: float
    ahead_nmse_db: float


def lead(x: Signal, y: Signal) -> Lead | None:
    """Return the lead of y over x; None where it is below one sample or above half of the record.

    x, y: (N,).
    """
    samples = -delay(x, y).whole
    if not 1 <= samples <= len(x) // 2:
        return None
    return Lead(samples, one_tap_nmse_db(x, y), one_tap_nmse_db(x[samples:], y[:-samples]))
