"""Does the target come before its input? A causal model would have to know the input of tomorrow.

The prediction says nothing of it: such a model has learned to guess, and is not merely late. The input does.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpdrun.rf.alignment import delay
from dpdrun.rf.metrics import Signal, one_tap_nmse_db


@dataclass(frozen=True)
class Lead:
    """By how many samples y comes before x, and what one complex gain makes of it.

    Attributes:
        samples: lag with the largest cross-correlation [samples].
        present_nmse_db: NMSE of y = g x[n] [dB].
        ahead_nmse_db: of y = g x[n + samples], without the end of the record [dB].
    """

    samples: int
    present_nmse_db: float
    ahead_nmse_db: float


def lead(x: Signal, y: Signal) -> Lead | None:
    """By how much y comes before x; None where it does not, by a sample or more, within half of the record.

    x, y: (N,).
    """
    samples = -delay(x, y).whole
    if not 1 <= samples <= len(x) // 2:
        return None
    return Lead(samples, one_tap_nmse_db(x, y), one_tap_nmse_db(x[samples:], y[:-samples]))
