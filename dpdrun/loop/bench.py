"""The amplifier and its bench, as round 0 measured them: what a later round is compared with.

Between two measurements the gain of a bench drifts, its phase is arbitrary, and its delay differs. To tell that from
what the new waveform changed, a memory polynomial that is fitted to round 0 predicts the output of each waveform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dpdrun.dpd.limiter import limit_magnitude
from dpdrun.dpd.target_gain import target_gain
from dpdrun.loop.folder import LoopFolder
from dpdrun.rf.memory_polynomial import fitted
from dpdrun.rf.metrics import Signal, one_tap_gain


@dataclass(frozen=True, eq=False)
class Bench:
    """Round 0.

    Attributes:
        x, y: waveform and output, (K,) complex128.
    """

    x: Signal
    y: Signal

    @classmethod
    def of(cls, folder: LoopFolder) -> Bench:
        """Return the bench of a loop whose round 0 has been measured. Raises RunError."""
        _, x, y = folder.measured(0)
        return cls(x, y)

    @cached_property
    def target_gain(self) -> complex:
        """Gain of the linear target: the peaks of the original reach the largest output of round 0; its phase."""
        return target_gain(self.x, self.y, "peak") * complex(np.exp(1j * np.angle(one_tap_gain(self.x, self.y))))

    def predict(self, u: Signal) -> Signal:
        """Return the output of the looping waveform u, (N,), as this bench would have measured it.

        Peaks above those of round 0 are limited to them: a polynomial says nothing about what it has not seen.
        """
        return self._polynomial(limit_magnitude(u, float(np.max(np.abs(self.x)))))

    @cached_property
    def _polynomial(self) -> Callable[[Signal], Signal]:
        return fitted(self.x, self.y)
