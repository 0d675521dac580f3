"""What stops a run: numbers that are no longer numbers, and signals."""

from __future__ import annotations

import math
import signal
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError


def require_finite(
    *, step: int, loss: float, grad_norm: float, lr: float, starts: NDArray[np.int64], frame: int, last_good: str
) -> None:
    """Refuse a step whose loss or gradient is not finite, before it touches the parameters.

    Clipping is no remedy: scaling by clip / inf gives NaN in every parameter (pytorch issue 46849).

    Raises:
        RunError: with the step, the numbers, the samples of the batch, and what to try.
    """
    if math.isfinite(loss) and math.isfinite(grad_norm):
        return
    first, last = int(starts.min()), int(starts.max()) + frame
    raise RunError(
        f"step {step}: loss {loss:g}, gradient norm {grad_norm:g}; stopped before the step, parameters are as after "
        f"step {step - 1}\n"
        f"  batch: {len(starts)} frames of {frame} samples between training samples {first} and {last}\n"
        f"  {last_good}\n"
        f"  try: a lower optim.lr (now {lr:g}), a longer optim.warmup, train.precision fp32; "
        "`dpdrun data inspect` shows outliers in the capture"
    )


class StopSignal:
    """Turns SIGTERM into a flag that the loop reads between steps, so that a checkpoint can be written first.

    Python runs signal handlers between bytecodes, also inside an optimizer step; raising there could leave half an
    update behind.
    """

    def __init__(self) -> None:
        self.received = False
        self._previous: Any = None

    def __enter__(self) -> StopSignal:
        self._previous = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def _receive(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature is fixed
        self.received = True
