"""Computes the learning rate as a pure function of the optimizer step.

There is no scheduler object to step: stepping one per epoch instead of per step, or once per process, is how
learning rates silently go wrong (docs/results.md, case study: a warmup stepped once an epoch froze the lr at 1/1000).
The plateau schedule alone depends on validation scores; that dependence is one explicit number, `drop`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpdrun.plan.plan import Plan


@dataclass(frozen=True)
class Schedule:
    """Linear warmup, then a decay. All steps are optimizer steps, counted from 1.

    Attributes:
        kind: cosine | linear | inverse_sqrt | constant | plateau.
        peak: highest lr.
        warmup: steps of linear rise, the first at peak / warmup (never at 0: a step at lr 0 is a lost step).
        total: last step.
        end: where cosine and linear head for, one step after `total`, as a share of `peak` (so that at `end` 0 the last
            step is not lost either); for plateau the lowest share.
    """

    kind: str
    peak: float
    warmup: int
    total: int
    end: float

    def lr_at(self, step: int, drop: float = 1.0) -> float:
        """Return the learning rate of one step; `drop` is the product of the plateau reductions so far."""
        if step < 1:
            raise ValueError(f"steps are counted from 1, got {step}")
        if step <= self.warmup:
            return self.peak * step / self.warmup
        return self.peak * self._decay(step, drop)

    def _decay(self, step: int, drop: float) -> float:
        done = (step - self.warmup) / (self.total - self.warmup + 1)  # 0 at the peak, 1 after the last step
        if self.kind == "cosine":  # Loshchilov & Hutter 2017, eq. 5, one cycle
            return self.end + (1.0 - self.end) * 0.5 * (1.0 + math.cos(math.pi * done))
        if self.kind == "linear":
            return self.end + (1.0 - self.end) * (1.0 - done)
        if self.kind == "inverse_sqrt":  # Vaswani et al. 2017, eq. 3, scaled so that the warmup ends at the peak
            return math.sqrt(max(1, self.warmup) / step)
        if self.kind == "plateau":
            return max(drop, self.end)
        return 1.0  # constant


def schedule_of(plan: Plan) -> Schedule:
    """Return the schedule of a plan."""
    return Schedule(plan.schedule, plan.lr, plan.warmup_steps, plan.total_steps, plan.lr_end)


@dataclass
class Plateau:
    """Lowers the lr when validation NMSE stops improving, by absolute decibels.

    PyTorch's ReduceLROnPlateau has a relative threshold by default, which on a negative dB value counts a slight
    worsening as progress; here progress is `best - threshold_db`.
    """

    factor: float
    patience: int
    threshold_db: float
    best_db: float = math.inf
    waited: int = 0
    drop: float = 1.0

    def update(self, nmse_db: float) -> None:
        """Count a validation score [dB]."""
        if nmse_db < self.best_db - self.threshold_db:
            self.best_db, self.waited = nmse_db, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.drop, self.waited = self.drop * self.factor, 0
