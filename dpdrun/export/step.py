"""Expose one step of a model's stream with a flat, named state: the interface of every exported file.

Shapes: T samples of a chunk, any T >= 1; 2 = (I, Q). The batch is fixed at 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dpdrun.errors import RunError
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._cascade import LimitedPredistorter
from dpdrun.models._overlap import of_complete_records

NEXT = "_next"  # suffix of the state that a step returns


class StepGraph(nn.Module):
    """(x: (1, T, 2), state...) -> (y: (1, T, 2), new state...), both in the units of the capture.

    Parts of a state that are empty or never read are omitted.

    Attributes:
        inner: the model without its limiter.
        peak: largest magnitude of the output; inf = no limit.
        state: by name, the initial state of a stream: zeros.
    """

    def __init__(self, model: BehaviouralModel, kind: str) -> None:
        """Raises RunError for a model that depends on its whole record."""
        super().__init__()
        if model.lookahead is None:
            cause, remedy = of_complete_records(model)
            raise RunError(
                f"this model depends on its whole record ({cause}): it has no state to carry from chunk to chunk, "
                f"so it cannot be exported; {remedy}"
            )
        self.model: BehaviouralModel = model
        self.inner, self.peak = (
            (model.model, model.peak) if isinstance(model, LimitedPredistorter) else (model, math.inf)
        )
        self._example = model.initial_state(1)
        leaves = list(_leaves(self._example))
        names = _names(kind, len(leaves))
        unread = (
            {"position"} if getattr(getattr(self.inner, "config", None), "positions", None) != "sinusoidal" else set()
        )
        self._kept = [i for i, leaf in enumerate(leaves) if names[i] not in unread and _count(leaf)]
        self.state = {names[i]: torch.as_tensor(leaves[i]) for i in self._kept}

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Continue a stream; the state in the order of `state`."""
        leaves = list(_leaves(self._example))
        for i, value in zip(self._kept, state, strict=True):
            leaves[i] = value
        y, after = self.model.step(x, _rebuilt(self._example, iter(leaves)))
        leaves = list(_leaves(after))
        return y, *(leaves[i] for i in self._kept)


def _names(kind: str, count: int) -> list[str]:
    """Return names of the parts of a state, in the order of `_leaves`; numbered for other kinds."""
    if kind == "transformer":  # models.transformer.State
        caches = [f"{name}_{layer}" for layer in range((count - 3) // 2) for name in ("keys", "values")]
        return ["conv", *caches, "position", "waiting"]
    return {"gru": ["hidden"], "gmp": ["past"]}.get(kind) or [f"state_{i}" for i in range(count)]


def frequencies(width: int) -> NDArray[np.float32]:
    """Return the frequencies of `models.transformer.sinusoids`, to the bit: (W / 2,). Errors grow with the position."""
    return np.asarray(torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width)).numpy())


def _leaves(state: Any) -> Iterator[Any]:
    """Yield the tensors and numbers of nested tuples."""
    if isinstance(state, tuple):
        for part in state:
            yield from _leaves(part)
    else:
        yield state


def _rebuilt(example: Any, leaves: Iterator[Any]) -> Any:
    """Rebuild nested tuples like `example` from other leaves."""
    if not isinstance(example, tuple):
        return next(leaves)
    parts = [_rebuilt(part, leaves) for part in example]
    return type(example)(*parts) if hasattr(example, "_fields") else tuple(parts)


def _count(leaf: Any) -> int:
    return leaf.numel() if isinstance(leaf, Tensor) else 1
