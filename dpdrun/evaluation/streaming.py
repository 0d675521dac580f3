"""A record of any length through a model, piece by piece: what `dpdrun apply` computes.

Memory does not grow with the record, and the joined pieces equal the output for the whole record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.evaluation.prediction import WHOLE_RECORD_SAMPLES, predict
from dpdrun.models._arrays import to_complex, to_pairs
from dpdrun.models._base import BehaviouralModel

Samples = NDArray[np.complex128]
Pair = tuple[Samples, Samples]

# What a core's cache holds of a small model's work: longer chunks are slower (a Transformer of width 16: 470,000
# samples/s, at 65,536 half of that) and need more memory; shorter ones are slower too
CHUNK_SAMPLES = 8192


def predict_pieces(model: BehaviouralModel, pieces: Iterable[Samples], *, piece: int | None = None) -> Iterator[Pair]:
    """The model's output for a record that comes in pieces.

    Args:
        model: any kind, on any device, in `eval` mode.
        pieces: the input, (n,) complex in the units of the capture, of any lengths n >= 1.
        piece: as in `evaluation.predict`: cut the record into pieces of this many samples that do not see each other.

    Yields:
        input and output of the same instants, (n,) complex each, n >= 1; not the pieces that came in.

    Raises:
        RunError: the model attends to the whole record, and the record is longer than WHOLE_RECORD_SAMPLES.
    """
    if piece is not None:
        together = max(1, CHUNK_SAMPLES // piece) * piece
        return ((x, predict(model, x, piece=piece)) for x in _regrouped(pieces, together))
    if models.can_stream(model):
        return _streamed(model, _regrouped(pieces, CHUNK_SAMPLES))
    return _whole(model, pieces)


def _streamed(model: BehaviouralModel, pieces: Iterable[Samples]) -> Iterator[Pair]:
    waiting: list[Samples] = []  # inputs whose outputs need later samples

    def inputs() -> Iterator[torch.Tensor]:
        for x in pieces:
            waiting.append(x)
            yield to_pairs(x)[None].to(device)

    device = next(model.buffers()).device
    outputs = models.stream_pieces(model, inputs())
    while True:
        with torch.inference_mode():  # not around a yield: it would reach into the code that asks for the next piece
            y = next(outputs, None)
        if y is None:
            return
        x = np.concatenate(waiting)
        waiting[:] = [x[y.shape[1] :]]
        if y.shape[1]:
            yield x[: y.shape[1]], to_complex(y[0])


def _whole(model: BehaviouralModel, pieces: Iterable[Samples]) -> Iterator[Pair]:
    held: list[Samples] = []
    for x in pieces:
        held.append(x)
        if sum(map(len, held)) > WHOLE_RECORD_SAMPLES:
            raise RunError(
                f"this model attends to its whole record (model.window: full), so it cannot take one of more "
                f"than {WHOLE_RECORD_SAMPLES:,} samples in pieces; train it with model.window in samples (such as 32), "
                "with train.eval_on: frame, or cut the record"
            )
    x = np.concatenate(held)
    yield x, predict(model, x)


def _regrouped(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    """The same samples in pieces of `size`; the last one may be shorter."""
    held: list[Samples] = []
    count = 0
    for x in pieces:
        held.append(x)
        count += len(x)
        if count >= size:
            joined = np.concatenate(held)
            whole = count // size * size
            yield from np.split(joined[:whole], whole // size)
            held, count = [joined[whole:]], count - whole
    if count:
        yield np.concatenate(held)
