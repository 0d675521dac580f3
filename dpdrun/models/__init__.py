"""Kinds of model, one file each: the file name is the `kind` of a recipe, and there is no other list of them.

A new kind is one file here with `Config` (its section of the recipe schema) and `Model` (a `BehaviouralModel`).
Files whose names begin with an underscore are helpers. Nothing here imports torch before a model is built.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dpdrun.errors import RecipeError
from dpdrun.recipe.conflicts import model_conflicts
from dpdrun.recipe.schema import ModelSection

if TYPE_CHECKING:
    from dpdrun.models._base import BehaviouralModel

__all__ = ["CHUNK_SAMPLES", "build", "kinds"]

# Samples of a record that go through a model at a time. Up to 32,768 the work of a small Transformer fits the cache of
# a core (width 16: 880,000 samples/s; 460,000 at 65,536); from 4,096 up the overhead of a call does not show.
CHUNK_SAMPLES = 8192


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
