"""Verify an exported file: compare its output on the test split, streamed in uneven chunks, with the model's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from itertools import cycle

import numpy as np
import torch
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.models import CHUNK_SAMPLES
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.models._base import BehaviouralModel, stream
from dpdrun.rf.metrics import rms

Array = NDArray[np.generic]
State = Mapping[str, Array]
Step = Callable[[NDArray[np.float32], State], tuple[NDArray[np.floating], State]]  # x: (1, T, 2) -> y: (1, T, 2)

TOLERANCE = 1e-5  # largest error of a sample, relative to the rms of the output
CHUNKS = (1, 7, 64, 333, 1000, 2, 2048)  # [samples], in turn: a file must take chunks of any length


def stream_step(step: Step, state: State, x: NDArray[np.complex128], lookahead: int) -> NDArray[np.complex128]:
    """Return the output of an exported step for a record. x: (N,) complex -> (N,) complex.

    Args:
        state: the initial state.
        lookahead: delay of the outputs [samples]; as much silence follows the record.
    """
    padded = np.append(x, np.zeros(lookahead))
    pairs = np.stack([padded.real, padded.imag], axis=-1).astype(np.float32)[None]
    outputs, at = [], 0
    for length in cycle(CHUNKS):
        if at >= len(padded):
            break
        y, state = step(pairs[:, at : at + length], state)
        outputs.append(np.asarray(y, np.float64)[0])
        at += length
    joined = np.concatenate(outputs)[lookahead:]
    return np.ascontiguousarray(joined).view(np.complex128)[:, 0]


def reference_outputs(model: BehaviouralModel, x: NDArray[np.complex128]) -> list[NDArray[np.complex128]]:
    """Return the output of the run, (N,) each: in float32, as it is scored, and in float64.

    The two differ where large terms cancel (a fitted gmp: 3e-5 of the rms), and a file may equal either.

    Raises:
        RunError: an output is not finite, so that no file can equal it.
    """
    pairs = to_pairs(x)[None]
    with torch.inference_mode():
        outputs = [
            to_complex(stream(each, pairs.to(each.scale_x.dtype), CHUNK_SAMPLES)[0])
            for each in (model, deepcopy(model).double())
        ]
    if not all(np.isfinite(each).all() for each in outputs):
        raise RunError("the output of this run is not finite on the test split; it diverged, so it cannot be exported")
    return outputs


def relative_error(output: NDArray[np.complex128], expected: NDArray[np.complex128]) -> float:
    """Return the largest error of a sample relative to the expected rms; inf if any is not finite."""
    return ratio(float(np.max(np.abs(output - expected))), rms(expected))


def ratio(error: float, level: float) -> float:
    """Return an error relative to the level of what was expected; 0 where both are silent, inf where it is none."""
    if error == 0.0:
        return 0.0
    return error / level if level and np.isfinite(error) else float("inf")


def require_equal(output: NDArray[np.complex128], expected: Sequence[NDArray[np.complex128]], what: str) -> float:
    """Return the error of an exported file against the nearer of `reference_outputs`.

    Raises:
        RunError: it is larger than TOLERANCE.
    """
    error = min(relative_error(output, each) for each in expected)
    if error > TOLERANCE:
        raise RunError(
            f"{what}: the output of the exported file differs from the run's: on the test split its largest error is "
            f"{error:.1e} of the rms (limit {TOLERANCE:g}); nothing was written. Try another --to, and please report "
            "it with the recipe of the run"
        )
    return error
