"""The output of a model for a record of any length, cut and looped as its plan scores it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpdrun import models
from dpdrun.data.capture import Capture, Part
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan

Split = Literal["train", "val", "test"]

# Beyond this a record goes through the model in chunks, with the state carried over: bounded memory, same output.
WHOLE_RECORD_SAMPLES = 200_000
CHUNK_SAMPLES = 65_536
# Context of a loop for a model whose memory has no declared end.
LOOP_CONTEXT_SAMPLES = 1024


@dataclass(frozen=True)
class Sharing:
    """Which part of a prediction this process makes, and how the parts come together.

    Attributes:
        process, processes: this one, and of how many.
        add: the sum of an array (N,) over all processes; each fills its own part, and zeros elsewhere.
    """

    process: int = 0
    processes: int = 1
    add: Callable[[NDArray[np.complex128]], NDArray[np.complex128]] = lambda part: part

    def mine(self, count: int) -> slice:
        """This process's part of `count` things; the parts of all are as equal as can be, and none is left out."""
        return slice(count * self.process // self.processes, count * (self.process + 1) // self.processes)


ALONE = Sharing()


def predict(
    model: BehaviouralModel, x: NDArray[np.complex128], *, piece: int | None = None, loop: int | None = None,
    sharing: Sharing = ALONE,
) -> NDArray[np.complex128]:  # fmt: skip
    """The model's output for a record of any length.

    Args:
        model: any kind, on any device, in `eval` mode.
        x: PA input, (N,) complex, in the units of the capture, N >= 1.
        piece: cut the record into pieces of this many samples that do not see each other (the last one may be
            shorter); None = do not cut.
        loop: the record is a row of loops of this many samples (`data.frames`): each is given its own end as its past
            and its own beginning as its future. Without effect on pieces.
        sharing: the processes that make this prediction together. A model whose memory has no end makes a whole record
            in each of them.

    Returns:
        (N,) complex, in the units of the capture; of several processes, the whole in each.
    """
    device = next(model.buffers()).device
    pairs = to_pairs(x).to(device)
    with torch.inference_mode():
        if piece is not None:
            return _join(sharing, len(pairs), *_predict_pieces(model, pairs, piece, sharing))
        if loop is not None:
            loops = pairs.view(-1, loop, 2)
            mine = sharing.mine(len(loops))
            y = _predict_loops(model, loops[mine]) if mine.stop > mine.start else loops[:0]
            return _join(sharing, len(pairs), slice(mine.start * loop, mine.stop * loop), y.flatten(0, 1))
        if sharing.processes > 1 and model.context is not None and model.lookahead is not None:
            mine = sharing.mine(len(pairs))
            begin, end = max(0, mine.start - model.context), min(len(pairs), mine.stop + model.lookahead)
            if mine.stop == mine.start:  # fewer samples than processes
                return _join(sharing, len(pairs), mine, pairs[:0])
            y = _predict_record(model, pairs[begin:end])[mine.start - begin :][: mine.stop - mine.start]
            return _join(sharing, len(pairs), mine, y)
        return to_complex(_predict_record(model, pairs))


def _join(sharing: Sharing, total: int, mine: slice, y: Tensor) -> NDArray[np.complex128]:
    """Put the parts of all processes together; this one made y, (M, 2), of the samples `mine`."""
    if sharing.processes == 1:
        return to_complex(y)
    part = np.zeros(total, dtype=np.complex128)
    part[mine] = to_complex(y)
    return sharing.add(part)


def _predict_record(model: BehaviouralModel, pairs: Tensor) -> Tensor:
    """Output for one record. (N, 2) -> (N, 2)."""
    if len(pairs) > WHOLE_RECORD_SAMPLES and models.can_stream(model):
        return models.stream(model, pairs[None], chunk=CHUNK_SAMPLES)[0]
    return torch.as_tensor(model(pairs[None])[0])


def _predict_pieces(model: BehaviouralModel, pairs: Tensor, piece: int, sharing: Sharing) -> tuple[slice, Tensor]:
    """This process's pieces of a record (N, 2), the shorter last one among them: which samples, and their output."""
    whole = len(pairs) // piece
    mine = sharing.mine(whole + (len(pairs) > whole * piece))
    samples = slice(mine.start * piece, min(mine.stop * piece, len(pairs)))
    own = pairs[samples]
    full = len(own) // piece * piece
    together = max(1, CHUNK_SAMPLES // piece)
    outputs = [own[:0]]
    outputs += [model(some).flatten(0, 1) for some in torch.split(own[:full].view(-1, piece, 2), together) if len(some)]
    if full < len(own):
        outputs.append(model(own[None, full:])[0])
    return samples, torch.cat(outputs)


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
