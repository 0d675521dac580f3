"""What a model depends on, measured: one input sample is changed, and outputs that change with it depend on it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dpdrun.errors import RecipeError, reason_of

TOLERANCE = 1e-4  # of the rms of the output: rounding, and kernels that depend on the length
CHANGE = 3.0  # of the rms of the input

Forward = Callable[[Tensor], Tensor]


def output_of(forward: Forward, x: Tensor, name: str) -> Tensor:
    """Return the output for a record, (B, T, 2) -> (B, T, 2). Raises RecipeError for one of another shape or type."""
    shape = tuple(x.shape)
    try:
        y = forward(x)
    except Exception as error:  # whatever the code of the user raises
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise RecipeError(
            f"model: {name} fails on a float32 input of shape {shape}: {reason}; it has to map (B, T, 2) to (B, T, 2) "
            "for any T"
        ) from error
    if not isinstance(y, Tensor) or y.shape != x.shape:
        got = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
        raise RecipeError(f"model: {name} maps an input of shape {shape} to {got}; it has to be (B, T, 2) -> (B, T, 2)")
    if not bool(torch.isfinite(y).all()):
        raise RecipeError(f"model: {name} maps an input of unit rms to values that are not finite")
    return y


def effect(forward: Forward, x: Tensor, at: int) -> Tensor:
    """Return how much each output of records changes with the input sample `at`, (T,), over the rms of the output."""
    changed = x.clone()
    changed[:, at] += CHANGE * _rms(x)
    y = forward(x)
    return (forward(changed) - y).detach().abs().amax(dim=(0, 2)) / _rms(y).clamp_min(1e-12)


def reach_of(effects: Tensor, at: int) -> tuple[int, int]:
    """Return how many samples back and ahead of an output the inputs are that it depends on, from `effect`."""
    moved = torch.nonzero(effects > TOLERANCE).flatten() - at
    return (max(int(moved.max()), 0), max(-int(moved.min()), 0)) if len(moved) else (0, 0)


def undeclared(reach: tuple[int, int], context: int | None, ahead: int) -> str | None:
    """Say by what a reach exceeds the declared one; None if by nothing. A context of None is not compared."""
    if context is not None and reach[0] > context:
        return f"declares a context of {context}, but an output depends on {reach[0]} samples back"
    if reach[1] > ahead:
        return f"declares a look_ahead of {ahead}, but an output depends on {reach[1]} later samples"
    return None


def _rms(values: Tensor) -> Tensor:
    return values.detach().square().sum(-1).mean().sqrt()
