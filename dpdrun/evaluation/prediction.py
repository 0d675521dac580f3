"""Predict the output of a model for a record of any length: complete, in chunks, or as a stream from a reader.

A split is a piece of a record, so `predict_split` predicts it twice: from a cold start, as published tables score, and
with what the record holds around it, which is what a model in use has seen.

A model that streams takes a record in chunks of CHUNK_SAMPLES with its state carried over, so memory does not grow with
the record; the joined outputs equal those of one pass within float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpdrun.data.capture import Capture, Part
from dpdrun.errors import RunError
from dpdrun.models import CHUNK_SAMPLES
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.models._base import BehaviouralModel, stream, stream_chunks
from dpdrun.models._overlap import of_complete_records
from dpdrun.plan.plan import Plan

Samples = NDArray[np.complex128]
Split = Literal["train", "val", "test"]

# Longest record that a reader may stream into a model that attends to all of it: its cost grows with the square.
FULL_ATTENTION_SAMPLES = 200_000
# A model whose memory has no declared end is taken to have forgotten its initial state after as many samples.
SETTLING_SAMPLES = 1024


@dataclass(frozen=True)
class Sharing:
    """Split a prediction over processes.

    Attributes:
        process, processes: rank of this process, and the number of processes.
        add: all-reduce (sum) of an array (N,); each process fills its own share and leaves zeros elsewhere.
    """

    process: int = 0
    processes: int = 1
    add: Callable[[Samples], Samples] = lambda part: part

    def mine(self, count: int) -> slice:
        """Return this process's share of `count` items; shares differ by one item at most and cover all of them."""
        return slice(count * self.process // self.processes, count * (self.process + 1) // self.processes)


ALONE = Sharing()


@dataclass(frozen=True, eq=False)
class SplitOutput:
    """A model's output for a split.

    Attributes:
        cold: from a cold start: what is around the split is taken for silence, (N,) complex.
        with_past: from the samples around the split in its record; None where they are not known, or do not matter: the
            split is scored in frames, or is a row of loops, whose past `cold` has already.
    """

    cold: Samples
    with_past: Samples | None = None

    @property
    def chosen(self) -> Samples:
        """The output by which a model is judged."""
        return self.cold if self.with_past is None else self.with_past

    def map(self, change: Callable[[Samples], Samples]) -> SplitOutput:
        """Return both outputs changed."""
        return SplitOutput(change(self.cold), None if self.with_past is None else change(self.with_past))


def predict_split(
    model: BehaviouralModel, part: Part, *, frame: int | None = None, loop: int | None = None, sharing: Sharing = ALONE
) -> SplitOutput:
    """Predict a split from a cold start, and in the middle of its record. Arguments as of `predict`."""
    cold = predict(model, part.x, frame=frame, loop=loop, sharing=sharing)
    if frame is not None or loop is not None or (part.past is None and part.future is None):
        return SplitOutput(cold)
    return SplitOutput(cold, _with_surroundings(model, part, cold))


def _with_surroundings(model: BehaviouralModel, part: Part, cold: Samples) -> Samples:
    """Return the output for a split in its record: `cold`, and both ends of it predicted again where that is enough."""
    memory = SETTLING_SAMPLES if model.context is None else model.context
    ahead, N = model.lookahead or 0, len(part)
    past, future = part.around
    past, future = past[max(0, len(past) - memory) :], future[:ahead]
    record = np.concatenate([past, part.x, future])
    if model.lookahead is None or 2 * memory + ahead >= N:
        return predict(model, record)[len(past) :][:N]
    y = cold.copy()
    y[:memory] = predict(model, record[: len(past) + memory + ahead])[len(past) :][:memory]
    if len(future):  # the last outputs, from as much of the split as they depend on
        y[N - ahead :] = predict(model, record[len(past) + N - ahead - memory :])[memory:][:ahead]
    return y


def predict(
    model: BehaviouralModel, x: Samples, *, frame: int | None = None, loop: int | None = None, sharing: Sharing = ALONE
) -> Samples:
    """Return the model's output for a record of any length.

    Args:
        model: any kind, on any device, in `eval` mode.
        x: PA input, (N,) complex, in the units of the capture, N >= 1.
        frame: cut the record into independent frames of this many samples, each with a silent past (the last one may
            be shorter); None = one record.
        loop: the record is a row of loops of this many samples (`data.continuity`): the past of each is its own
            end, its future its own beginning. Ignored with `frame`.
        sharing: the processes that share this prediction. A model of unlimited memory predicts a complete record in
            each of them.

    Returns:
        (N,) complex, in the units of the capture; the complete output in every process.
    """
    device = next(model.buffers()).device
    pairs = to_pairs(x).to(device)
    with torch.inference_mode():
        if frame is not None:
            return _gather(sharing, len(pairs), *_predict_frames(model, pairs, frame, sharing))
        if loop is not None:
            loops = pairs.view(-1, loop, 2)
            mine = sharing.mine(len(loops))
            y = _predict_loops(model, loops[mine]) if mine.stop > mine.start else loops[:0]
            return _gather(sharing, len(pairs), slice(mine.start * loop, mine.stop * loop), y.flatten(0, 1))
        if sharing.processes > 1 and model.context is not None and model.lookahead is not None:
            mine = sharing.mine(len(pairs))
            begin, end = max(0, mine.start - model.context), min(len(pairs), mine.stop + model.lookahead)
            if mine.stop == mine.start:  # fewer samples than processes
                return _gather(sharing, len(pairs), mine, pairs[:0])
            y = _predict_record(model, pairs[begin:end])[mine.start - begin :][: mine.stop - mine.start]
            return _gather(sharing, len(pairs), mine, y)
        return to_complex(_predict_record(model, pairs))


def predict_stream(
    model: BehaviouralModel, chunks: Iterable[Samples], *, frame: int | None = None
) -> Iterator[tuple[Samples, Samples]]:
    """Yield the model's output for a record that a reader delivers in chunks.

    Args:
        model: as in `predict`.
        chunks: the input, (n,) complex in the units of the capture, of any lengths n >= 1.
        frame: as in `predict`.

    Yields:
        input and output of the same instants, (n,) complex each, n >= 1; other lengths than the chunks that came in.

    Raises:
        RunError: the model attends to its complete record, and that is longer than FULL_ATTENTION_SAMPLES.
    """
    if frame is not None:
        whole_frames = max(1, CHUNK_SAMPLES // frame) * frame
        return ((x, predict(model, x, frame=frame)) for x in _regroup(chunks, whole_frames))
    if model.lookahead is None:
        return _predict_collected(model, chunks)
    return _predict_chunks(model, _regroup(chunks, CHUNK_SAMPLES))


def _gather(sharing: Sharing, total: int, mine: slice, y: Tensor) -> Samples:
    """Join the shares of all processes; this one predicted y, (M, 2), for the samples `mine`."""
    if sharing.processes == 1:
        return to_complex(y)
    share = np.zeros(total, dtype=np.complex128)
    share[mine] = to_complex(y)
    return sharing.add(share)


def _predict_record(model: BehaviouralModel, pairs: Tensor) -> Tensor:
    """Return the output for one record. (N, 2) -> (N, 2)."""
    if len(pairs) > CHUNK_SAMPLES and model.lookahead is not None:
        return stream(model, pairs[None], CHUNK_SAMPLES)[0]
    return torch.as_tensor(model(pairs[None])[0])


def _predict_frames(model: BehaviouralModel, pairs: Tensor, frame: int, sharing: Sharing) -> tuple[slice, Tensor]:
    """Return the samples of this process's frames of a record (N, 2), and their output; the last may be shorter."""
    count = len(pairs) // frame
    mine = sharing.mine(count + (len(pairs) > count * frame))
    samples = slice(mine.start * frame, min(mine.stop * frame, len(pairs)))
    own = pairs[samples]
    full = len(own) // frame * frame
    batch = max(1, CHUNK_SAMPLES // frame)
    outputs = [own[:0]]
    outputs += [model(some).flatten(0, 1) for some in torch.split(own[:full].view(-1, frame, 2), batch) if len(some)]
    if full < len(own):
        outputs.append(model(own[None, full:])[0])
    return samples, torch.cat(outputs)


def _predict_loops(model: BehaviouralModel, loops: Tensor) -> Tensor:
    """Return the steady-state output for loops that were each played repeatedly. loops: (L, T, 2) -> (L, T, 2)."""
    T = loops.shape[1]
    before = SETTLING_SAMPLES if model.context is None else model.context
    index = torch.arange(-before, T + (model.lookahead or 0), device=loops.device) % T
    batch = max(1, CHUNK_SAMPLES // len(index))
    return torch.cat([model(some[:, index])[:, before : before + T] for some in torch.split(loops, batch)])


def _predict_chunks(model: BehaviouralModel, chunks: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
    waiting: list[Samples] = []  # inputs whose outputs need later samples

    def inputs() -> Iterator[Tensor]:
        for x in chunks:
            waiting.append(x)
            yield to_pairs(x)[None].to(device)

    device = next(model.buffers()).device
    outputs = stream_chunks(model, inputs())
    while True:
        with torch.inference_mode():  # not around a yield: the caller's code would run in this mode
            y = next(outputs, None)
        if y is None:
            return
        x = np.concatenate(waiting)
        waiting[:] = [x[y.shape[1] :]]
        if y.shape[1]:
            yield x[: y.shape[1]], to_complex(y[0])


def _predict_collected(model: BehaviouralModel, chunks: Iterable[Samples]) -> Iterator[tuple[Samples, Samples]]:
    held: list[Samples] = []
    for x in chunks:
        held.append(x)
        if sum(map(len, held)) > FULL_ATTENTION_SAMPLES:
            cause, remedy = of_complete_records(model)
            raise RunError(
                f"this model depends on the complete record ({cause}), so it cannot stream one of more than "
                f"{FULL_ATTENTION_SAMPLES:,} samples; {remedy}, or cut the record"
            )
    x = np.concatenate(held)
    yield x, predict(model, x)


def _regroup(chunks: Iterable[Samples], size: int) -> Iterator[Samples]:
    """Yield the same samples in chunks of `size`; the last one may be shorter."""
    held: list[Samples] = []
    count = 0
    for x in chunks:
        held.append(x)
        count += len(x)
        if count >= size:
            joined = np.concatenate(held)
            full = count // size * size
            yield from np.split(joined[:full], full // size)
            held, count = [joined[full:]], count - full
    if count:
        yield np.concatenate(held)


def eval_frame(plan: Plan) -> int | None:
    """Return the frame that a plan scores on, for `predict`; None where it scores complete records."""
    return plan.frame if plan.recipe.train.eval_on == "frame" else None


def part_of(capture: Capture, split: Split) -> Part:
    """Return one split of a capture by name."""
    return {"train": capture.train, "val": capture.val, "test": capture.test}[split]
