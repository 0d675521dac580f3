"""Compute what a predistorter is selected by: in-band error and leakage together, at the target output power.

Leakage alone rewards silence and in-band distortion: selection by ACLR can keep a model whose output has nothing to do
with its input. So the objective is the mean of in-band error and worse-side leakage, among outputs within the power
gate: the rule of OpenDPD's Arena (opendpd 2.4.2, core/arena_engine.py). This is the part that training computes at each
validation; `rf.linearity` has every score of an output, with its intervals.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dpdrun.rf.aclr import aclr
from dpdrun.rf.metrics import Signal, nmse_db, rms, to_db
from dpdrun.rf.spectrum import SEGMENT, in_band_error_db

POWER_GATE_DB = 0.5
# Added to the objective outside of the power gate, so that one number orders all checkpoints.
POWER_GATE_PENALTY_DB = 1000.0
BY_SPECTRUM = "half of in-band error and worse-side ACLR"
BY_NMSE = "NMSE"


@dataclass(frozen=True)
class DPDObjective:
    """Scores of an output y against its target; NaN if y is not finite.

    Attributes:
        nmse_db: error over the target [dB].
        power_db: output power over that of the target [dB].
        in_band_db: error inside the band of the signal over the target there [dB].
        aclr_left_db, aclr_right_db: leakage into the adjacent channels, by the default convention of `rf.aclr` [dBc].
        without: the reason if the last three are None, else None.
    """

    nmse_db: float
    power_db: float
    in_band_db: float | None = None
    aclr_left_db: float | None = None
    aclr_right_db: float | None = None
    without: str | None = None

    @property
    def aclr_worse_db(self) -> float | None:
        """Leakage on the worse side [dBc]."""
        if self.aclr_left_db is None or self.aclr_right_db is None:
            return None
        return max(self.aclr_left_db, self.aclr_right_db)

    @property
    def objective_db(self) -> float:
        """The objective, lower is better [dB]; `selected_by` names it."""
        if self.in_band_db is None or self.aclr_worse_db is None:
            return self.nmse_db
        return (self.in_band_db + self.aclr_worse_db) / 2

    @property
    def selection_db(self) -> float:
        """The objective with the penalty for missing the output power [dB]: ranks checkpoints."""
        return self.objective_db + (0.0 if self.holds_power else POWER_GATE_PENALTY_DB)

    @property
    def selected_by(self) -> str:
        """The name of `objective_db`."""
        return BY_NMSE if self.in_band_db is None else BY_SPECTRUM

    @property
    def holds_power(self) -> bool:
        """Whether the output power is within the gate."""
        return abs(self.power_db) <= POWER_GATE_DB

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with the worse side, the objective and the gate."""
        figures = {name: value for name, value in asdict(self).items() if name != "without"}
        derived = {"aclr_worse_db": self.aclr_worse_db, "objective_db": self.objective_db}
        return {**figures, **derived, "holds_power": self.holds_power}


def dpd_objective(
    target: Signal,
    y: Signal,
    sample_rate_hz: float,
    *,
    bandwidth_hz: float | None,
    carriers: int | None,
    spacing_hz: float | None = None,
) -> DPDObjective:
    """Score an output.

    Args:
        target: what y should be, (N,) complex128.
        y: (N,) complex128.
        sample_rate_hz: [Hz].
        bandwidth_hz: of the signal, all carriers together [Hz]; None if unknown.
        carriers: of equal width in it; None = one.
        spacing_hz: between adjacent channels [Hz]; None if not stated.

    Raises:
        ValueError: shapes differ, or the target has no power.
    """
    if not np.all(np.isfinite(y)):
        return DPDObjective(math.nan, math.nan, without="the output is not finite")
    error_db = nmse_db(target, y)
    power_db = to_db((rms(y) / rms(target)) ** 2)
    if bandwidth_hz is None:
        return DPDObjective(error_db, power_db, without="the capture does not state its bandwidth (data.bandwidth_hz)")
    try:
        leak = aclr(y, sample_rate_hz, bandwidth_hz, carriers=carriers or 1, spacing_hz=spacing_hz)
        inside = in_band_error_db(target, y, sample_rate_hz, bandwidth_hz, nperseg=SEGMENT)
    except ValueError as no_number:
        return DPDObjective(error_db, power_db, without=str(no_number))
    return DPDObjective(error_db, power_db, inside, leak.left_dbc, leak.right_dbc)
