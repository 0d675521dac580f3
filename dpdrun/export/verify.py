"""Is an exported file the run? Its output on the test part, streamed in uneven chunks, against the model's."""

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
CHUNKS = (1, 7, 64, 333, 1000, 2, 2048)  # [samples], in turn: no length of a chunk may be built into a file


def streamed(step: Step, state: State, x: NDArray[np.complex128], lookahead: int) -> NDArray[np.complex128]:
    """The output of an exported step for a record. x: (N,) complex -> (N,) complex.

    Args:
        state: what a stream begins with.
        lookahead: samples by which outputs come late; the record is followed by as much silence.
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
    return np.asarray(joined[:, 0] + 1j * joined[:, 1])


def outputs_of(model: BehaviouralModel, x: NDArray[np.complex128]) -> list[NDArray[np.complex128]]:
    """What the run says, (N,) each: in float32, as it is scored, and in float64, free of rounding.

    The two differ where large terms cancel (a fitted gmp: 3e-5 of the rms), and a file may be either.
    """
    pairs = to_pairs(x)[None]
    with torch.inference_mode():
        return [
            to_complex(stream(each, pairs.to(each.scale_x.dtype), CHUNK_SAMPLES)[0])
            for each in (model, deepcopy(model).double())
        ]


def error_of(found: NDArray[np.complex128], expected: NDArray[np.complex128]) -> float:
    """Largest error of a sample relative to the rms of what is expected; inf where something is not finite."""
    error = float(np.max(np.abs(found - expected))) / rms(expected)
    return error if np.isfinite(error) else float("inf")


def require_equal(found: NDArray[np.complex128], expected: Sequence[NDArray[np.complex128]], what: str) -> float:
    """The error of an exported file against the nearer of `outputs_of`.

    Raises:
        RunError: it is larger than TOLERANCE.
    """
    error = min(error_of(found, each) for each in expected)
    if error > TOLERANCE:
        raise RunError(
            f"{what}: the exported file does not do what the run does: on the test part its largest error is "
            f"{error:.1e} of the rms, allowed is {TOLERANCE:g}; nothing was written. Try another --to, and please "
            "report it with the recipe of the run"
        )
    return error
