"""Kinds of model, one file each: the file name is the `kind` of a recipe, and there is no other list of them.

A new kind is one file here with `Config` (its section of the recipe schema) and `Model` (a `BehaviouralModel`).
Files whose names begin with an underscore are helpers. Nothing here imports torch before a kind is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard, cast

from dpdrun.errors import RecipeError
from dpdrun.recipe.conflicts import model_conflicts
from dpdrun.recipe.schema import ModelSection

if TYPE_CHECKING:
    from torch import Tensor, nn

    from dpdrun.models._base import BehaviouralModel

__all__ = ["build", "can_stream", "kinds", "stream", "stream_pieces"]


def kinds() -> list[str]:
    """Return the names of all kinds, sorted."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def build(config: ModelSection, *, scale_x: float, scale_y: float) -> BehaviouralModel:
    """Build an untrained model. Its weights are drawn from torch's global generator.

    Args:
        config: the `model` section of a recipe
        scale_x: rms of the complex training input, in the units of the capture
        scale_y: rms of the complex training output, likewise

    Raises:
        RecipeError: settings that contradict each other.
    """
    if conflicts := model_conflicts(config):
        raise RecipeError("\n".join(message for _, message in conflicts))
    module = import_module(f"{__name__}.{config.kind}")
    return cast("BehaviouralModel", module.Model(config, scale_x=scale_x, scale_y=scale_y))


def can_stream(model: nn.Module) -> TypeGuard[BehaviouralModel]:
    """Tell whether the model can take a record in pieces; attention over the whole record cannot."""
    from dpdrun.models._base import BehaviouralModel

    return isinstance(model, BehaviouralModel) and model.lookahead is not None


def stream(model: BehaviouralModel, x: Tensor, chunk: int) -> Tensor:
    """Run a record through the model in pieces of `chunk` samples; equals `model(x)`. x: (B, T, 2) -> (B, T, 2)."""
    from dpdrun.models import _base

    return _base.stream(model, x, chunk)


def stream_pieces(model: BehaviouralModel, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Run a record that comes in pieces (B, T, 2) through the model; the outputs, joined, equal `model(x)`."""
    from dpdrun.models import _base

    return _base.stream_pieces(model, pieces)
