"""Mistakes in the data: each takes a capture and gives it back with the mistake in it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part

Samples = NDArray[np.complex128]
Change = Callable[[Samples], Samples]


def target(change: Change, *parts: str) -> Callable[[Capture], Capture]:
    """The output of some parts (all, where none is named) is changed."""

    def changed(capture: Capture) -> Capture:
        chosen = {name: part for name, part in capture.parts.items() if not parts or name in parts}
        return _with(capture, {name: Part(part.x, change(part.y)) for name, part in chosen.items()})

    return changed


def _with(capture: Capture, parts: dict[str, Part]) -> Capture:
    found = capture.parts | parts
    return replace(capture, train=found["train"], val=found["val"], test=found["test"])


def early(samples: int) -> Change:
    """The output comes too early: a causal model would have to know the input of tomorrow."""
    return lambda y: np.roll(y, -samples)


def late(samples: int) -> Change:
    """The output comes too late."""
    return lambda y: np.roll(y, samples)


def swapped(y: Samples) -> Samples:
    """I and Q in each other's columns."""
    return y.imag + 1j * y.real


def scaled(factor: float) -> Change:
    """Another receiver gain."""
    return lambda y: factor * y


def noisy(floor_db: float) -> Callable[[Capture], Capture]:
    """White noise on the output of all parts [dB of its power]; where the floor is known, so is the new one."""
    rng = np.random.Generator(np.random.PCG64(2026))

    def noise(y: Samples) -> Samples:
        rms = math.sqrt(float(np.mean(np.abs(y) ** 2)) / 2 * 10 ** (floor_db / 10))
        return y + rms * (rng.standard_normal(len(y)) + 1j * rng.standard_normal(len(y)))

    def changed(capture: Capture) -> Capture:
        old = capture.noise_floor_db
        floor = None if old is None else 10 * math.log10(10 ** (old / 10) + 10 ** (floor_db / 10))
        return replace(target(noise)(capture), noise_floor_db=floor)

    return changed


def shortened(train: int | None = None, val: int | None = None) -> Callable[[Capture], Capture]:
    """The first samples of the training or the validation part alone."""

    def changed(capture: Capture) -> Capture:
        cut = {"train": train, "val": val}
        parts = {
            name: Part(part.x[: cut[name]], part.y[: cut[name]])
            for name, part in capture.parts.items()
            if cut.get(name) is not None
        }
        return _with(capture, parts)

    return changed


def misaligned_shard(capture: Capture) -> Capture:
    """A twentieth of the training part is 40 samples out of step with its input."""
    x, y = capture.train.x, capture.train.y.copy()
    shard = slice(len(y) // 2, len(y) // 2 + len(y) // 20)
    y[shard] = np.roll(y[shard], 40)
    return replace(capture, train=Part(x, y))
