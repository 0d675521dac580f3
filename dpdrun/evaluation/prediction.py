"""The output of a model for a record of any length, cut and looped as its plan scores it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.data.windows import to_complex, to_pairs
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan import Plan

Split = Literal["train", "val", "test"]

# Beyond this a record goes through the model in chunks, with the state carried over: bounded memory, same output.
WHOLE_RECORD_SAMPLES = 200_000
CHUNK_SAMPLES = 65_536
# Context of a loop for a model whose memory has no declared end.
LOOP_CONTEXT_SAMPLES = 1024


def predict(
    model: BehaviouralModel, x: NDArray[np.complex128], *, piece: int | None = None, loop: int | None = None
) -> NDArray[np.complex128]:
    """The model's output for a record of any length.

    Args:
        model: any kind, on any device, in `eval` mode.
        x: PA input, (N,) complex, in the units of the capture, N >= 1.
        piece: cut the record into pieces of this many samples that do not see each other (the last one may be
            shorter); None = do not cut.
        loop: the record is a row of loops of this many samples (`data.frames`): each is given its own end as its past
            and its own beginning as its future. Without effect on pieces.

    Returns:
        (N,) complex, in the units of the capture.
    """
    device = next(model.buffers()).device
    pairs = to_pairs(x).to(device)
    with torch.inference_mode():
        if piece is not None:
            whole = len(pairs) // piece * piece
            pieces = pairs[:whole].view(-1, piece, 2)
            together = max(1, CHUNK_SAMPLES // piece)
            outputs = [model(some).flatten(0, 1) for some in torch.split(pieces, together) if len(some)]
            if whole < len(pairs):
                outputs.append(model(pairs[None, whole:])[0])
            return to_complex(torch.cat(outputs))
        if loop is not None:
            return to_complex(_predict_loops(model, pairs.view(-1, loop, 2)).flatten(0, 1))
        if len(pairs) > WHOLE_RECORD_SAMPLES and models.can_stream(model):
            return to_complex(models.stream(model, pairs[None], chunk=CHUNK_SAMPLES)[0])
        return to_complex(model(pairs[None])[0])


def _predict_loops(model: BehaviouralModel, loops: Tensor) -> Tensor:
    """Output of a model for loops that were each played over and over. loops: (L, T, 2) -> (L, T, 2)."""
    T = loops.shape[1]
    before = LOOP_CONTEXT_SAMPLES if model.context is None else model.context
    index = torch.arange(-before, T + (model.lookahead or 0), device=loops.device) % T
    together = max(1, CHUNK_SAMPLES // len(index))
    return torch.cat([model(some[:, index])[:, before : before + T] for some in torch.split(loops, together)])


def piece_of(plan: Plan) -> int | None:
    """How a plan cuts a record for scoring: the `piece` of `predict`."""
    return plan.frame if plan.recipe.train.eval_on == "frame" else None


def part_of(capture: Capture, split: Split) -> Part:
    """One split of a capture by name."""
    return {"train": capture.train, "val": capture.val, "test": capture.test}[split]
