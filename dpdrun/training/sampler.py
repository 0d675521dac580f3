"""Draws frames of a record on the device that holds the record.

The record is kept once; a batch gathers its frames by index from an overlapping view, so nothing is materialised
(cutting every window at stride 1 would copy each sample `frame` times). Which frames a step sees is a pure function of
(seed, step): independent of the number of processes, and a resumed run continues with exactly the frames it would
have seen.

Shapes: B frames, T samples in a frame, N samples in the record, 2 = (I, Q).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class FrameSampler:
    """Draws the frames of each optimizer step from a record pair.

    An epoch is `frames_per_epoch` frame starts, evenly spaced over the record from a random shift and then permuted:
    each sample is scored about once an epoch, with other frame borders in every epoch. Epochs follow each other as
    one endless stream, which steps cut into batches, so there is no partial batch.

    Args:
        x: PA input, (N, 2).
        y: PA output, (N, 2).
        frame: length of a frame [samples].
        frames_per_epoch: number of frames that make an epoch.
        batch_size: frames per optimizer step, over all processes and accumulation.
        seed: of shift, permutation and rotation.
        loop: the record is a row of loops of this many samples (`data.continuity`): a frame lies in one loop, and
            runs on from its end to its beginning. None: one record.
        rotate: turn input and output of each frame by one random phase. An amplifier without I/Q imbalance or DC offset
            commutes with that, f(x e^jp) = f(x) e^jp, so it yields new, equally true training pairs.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        *,
        frame: int,
        frames_per_epoch: int,
        batch_size: int,
        seed: int,
        loop: int | None = None,
        rotate: bool = False,
    ) -> None:
        self._frames_x = _all_frames(x, frame, loop)  # (loops, starts in a loop, 2, frame), a view
        self._frames_y = _all_frames(y, frame, loop)
        self._in_loop = self._frames_x.shape[1]
        self._positions = self._frames_x.shape[0] * self._in_loop
        self._per_epoch = frames_per_epoch
        self._batch_size = batch_size
        self._seed = seed
        self._rotate = rotate
        self._epoch_starts = lru_cache(maxsize=2)(self._draw_epoch)

    def _draw_epoch(self, epoch: int) -> NDArray[np.int64]:
        generator = np.random.Generator(np.random.PCG64([self._seed, epoch]))
        spacing = self._positions / self._per_epoch
        grid = (generator.uniform(0.0, self._positions) + spacing * np.arange(self._per_epoch)) % self._positions
        return generator.permutation(np.minimum(grid.astype(np.int64), self._positions - 1))

    def starts(self, step: int) -> NDArray[np.int64]:
        """Return the first sample of each frame of optimizer step `step` (counted from 1): (B,)."""
        first = (step - 1) * self._batch_size
        epochs = range(first // self._per_epoch, (first + self._batch_size - 1) // self._per_epoch + 1)
        stream = np.concatenate([self._epoch_starts(epoch) for epoch in epochs])
        offset = first - epochs[0] * self._per_epoch
        return stream[offset : offset + self._batch_size]

    def shares(
        self, step: int, *, passes: int, processes: int, process: int
    ) -> Iterator[tuple[NDArray[np.int64], Tensor, Tensor]]:
        """Draw the share of one process in an optimizer step: `passes` batches of S = B / passes / processes frames.

        Yields the starts (S,) and x, y of (S, T, 2).

        The shares of all processes and passes together are the frames of the step, whatever their numbers.
        """
        starts = self.starts(step).reshape(passes, processes, -1)[:, process]
        phases = self._phases(step).reshape(passes, processes, -1)[:, process]
        for start, phase in zip(starts, phases, strict=True):
            index = tuple(torch.from_numpy(i).to(self._frames_x.device) for i in np.divmod(start, self._in_loop))
            x, y = self._frames_x[index].transpose(1, 2), self._frames_y[index].transpose(1, 2)
            if self._rotate:
                x, y = _turn(x, phase), _turn(y, phase)
            yield start, x, y

    def _phases(self, step: int) -> NDArray[np.float64]:
        generator = np.random.Generator(np.random.PCG64([self._seed, step, 1]))  # another stream than the epochs'
        return generator.uniform(0.0, 2.0 * np.pi, self._batch_size)


def _all_frames(record: Tensor, frame: int, loop: int | None) -> Tensor:
    """Return a view of every frame of a record (N, 2): (loops, starts in a loop, 2, frame)."""
    loops = record.view(-1, loop or len(record), 2)
    if loop is not None:
        loops = torch.cat([loops, loops[:, : frame - 1]], dim=1)  # the one copy: a loop and its beginning again
    return loops.unfold(1, frame, 1)


def _turn(pairs: Tensor, phase: NDArray[np.float64]) -> Tensor:
    """Multiply each frame by e^(j phase). pairs: (B, T, 2), phase: (B,)."""
    cos, sin = (torch.from_numpy(part).to(pairs)[:, None] for part in (np.cos(phase), np.sin(phase)))
    i, q = pairs.unbind(-1)
    return torch.stack([i * cos - q * sin, i * sin + q * cos], dim=-1)
