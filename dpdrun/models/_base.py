"""Define what every kind of model provides: capture units in and out, and a stream that equals the complete record.

A model maps the complex input of a power amplifier to its complex output. Complex samples are held as real pairs:
the last axis of `x: (B, T, 2)` is (I, Q). Inputs and outputs are in the units of the capture; the model divides and
multiplies by the rms values that it was built with, which are saved with its weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BehaviouralModel(nn.Module, ABC):
    """Base of all kinds.

    Subclasses set three attributes:
      lookahead: future input samples that one output needs; None = the complete record
      context: past input samples before the current one that one output depends on; None = no limit
      macs_per_sample: real multiply-accumulates for one output sample in a stream; each kind documents what it counts

    A record is silent before its first and after its last sample.
    """

    lookahead: int | None
    context: int | None
    macs_per_sample: int
    scale_x: Tensor
    scale_y: Tensor

    def __init__(self, *, scale_x: float, scale_y: float) -> None:
        """`scale_x`, `scale_y`: rms of the complex training input and output, in the units of the capture."""
        super().__init__()
        self.register_buffer("scale_x", torch.tensor(float(scale_x)))
        self.register_buffer("scale_y", torch.tensor(float(scale_y)))

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """Return the state of `batch` streams that have been silent so far."""

    @abstractmethod
    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Continue a stream.

        Output `n` of the stream belongs to input `n - lookahead`: with look-ahead, outputs are late.

        Args:
            x: next input samples, (B, T, 2), any T >= 1
            state: what the previous call returned, or `initial_state(B)`

        Returns:
            y: (B, T, 2), and the state for the next call
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the output for a complete record. x: (B, T, 2) -> (B, T, 2)."""
        delay = self.lookahead or 0
        y, _ = self.step(F.pad(x, (0, 0, 0, delay)), self.initial_state(x.shape[0]))
        return y[:, delay:]

    def no_decay(self) -> set[str]:
        """Return names of parameters without weight decay: all but matrices."""
        return {name for name, parameter in self.named_parameters() if parameter.ndim < 2}


def stream(model: BehaviouralModel, x: Tensor, chunk: int) -> Tensor:
    """Run a record through `model.step` in chunks; equals `model(x)`.

    Args:
        x: (B, T, 2)
        chunk: samples per call
    """
    return torch.cat(list(stream_chunks(model, torch.split(x, chunk, dim=1))), dim=1)


def stream_chunks(model: BehaviouralModel, chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """Run the chunks of a record through `model.step` with the state carried over; the joined outputs equal `model(x)`.

    The first `lookahead` outputs precede the record and are dropped; the last ones come from a flush with silence. So
    an output chunk covers other samples than the input chunk before it, and may be empty.

    Args:
        chunks: (B, T, 2), any T >= 1, at least one chunk

    Raises:
        ValueError: the model needs the complete record.
    """
    if model.lookahead is None:
        raise ValueError("a model that needs the complete record cannot stream")
    state, early = None, model.lookahead
    for chunk in chunks:
        if state is None:
            state = model.initial_state(chunk.shape[0])
        y, state = model.step(chunk, state)
        dropped = min(early, y.shape[1])
        early -= dropped
        yield y[:, dropped:]
    if model.lookahead:
        y, _ = model.step(chunk.new_zeros(chunk.shape[0], model.lookahead, 2), state)
        yield y[:, early:]
