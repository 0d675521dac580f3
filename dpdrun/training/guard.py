"""What stops a run: numbers that are no longer numbers, and signals."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError


def non_finite(line: Mapping[str, Any], starts: NDArray[np.int64], frame: int, last_good: str) -> RunError:
    """The error for a step whose loss or gradient is not finite: raise it before the step touches the parameters.

    Clipping is no remedy: scaling by clip / inf gives NaN in every parameter (pytorch issue 46849).

    Args:
        line: the metrics line of the step.
        starts: first training sample of each frame of the batch, (B,).
        frame: length of a frame [samples].
        last_good: where the parameters of an earlier step are kept.
    """
    first, last = int(starts.min()), int(starts.max()) + frame
    return RunError(
        f"step {line['step']}: loss {line['loss']:g}, gradient norm {line['grad_norm']:g}; stopped before the step\n"
        f"  batch: {len(starts)} frames of {frame} samples between training samples {first} and {last}\n"
        f"  {last_good}\n"
        f"  try: a lower optim.lr (now {line['lr']:g}), a longer optim.warmup, train.precision fp32; "
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
