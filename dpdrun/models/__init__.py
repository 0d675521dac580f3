"""Kinds of model, one file each, for the registry of `recipe.plugins`: kinds of plug-ins are built in the same way.

A kind is a `Config` (its section of the recipe schema) and a `Model`: a `BehaviouralModel`, or a plain module that gets
its stream by overlap (`_overlap`). Files whose names begin with an underscore are helpers. Nothing here imports torch
before a model is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from dpdrun.errors import RecipeError
from dpdrun.recipe import plugins
from dpdrun.recipe.conflicts import model_conflicts
from dpdrun.recipe.schema import KINDS, ModelSection

if TYPE_CHECKING:
    from dpdrun.models._base import BehaviouralModel

__all__ = ["CHUNK_SAMPLES", "build", "kinds", "require_as_declared"]

# Samples of a record that go through a model at a time. Up to 32,768 the work of a small Transformer fits the cache of
# a core (width 16: 880,000 samples/s; 460,000 at 65,536); from 4,096 up the overhead of a call does not show.
CHUNK_SAMPLES = 8192


def kinds() -> list[str]:
    """Return the names of all kinds, those of plug-ins included, sorted."""
    return sorted(plugins.names("models"))


def build(config: ModelSection, *, scale_x: float, scale_y: float) -> BehaviouralModel:
    """Build an untrained model. Its weights are drawn from torch's global generator.

    Args:
        config: the `model` section of a recipe
        scale_x: rms of the complex training input, in the units of the capture
        scale_y: rms of the complex training output, likewise

    Raises:
        RecipeError: settings that contradict each other.
        PluginError: the kind is of a plug-in, and its Model makes no torch module.
    """
    if conflicts := model_conflicts(config):
        raise RecipeError("\n".join(message for _, message in conflicts))
    entry = plugins.find("models", config.kind)
    assert entry is not None, config.kind  # the section was made by the schema, which knows the kinds
    made = entry.value.model_class()
    if entry.origin is None:
        return cast("BehaviouralModel", made(config, scale_x=scale_x, scale_y=scale_y))
    from dpdrun.models._overlap import built_by

    try:
        return built_by(made, config, scale_x=scale_x, scale_y=scale_y)
    except plugins.PluginError as error:
        raise plugins.PluginError(f"{entry.origin.path}: {error}") from None


def require_as_declared(model: BehaviouralModel, config: ModelSection, *, to_train: bool = False) -> None:
    """Try the model of a plug-in on a short record: its shapes, and how far it looks ahead.

    Args:
        model: of any kind; ours are passed over.
        config: its section.
        to_train: try that it can be trained, too; also a module that was passed from Python.

    Raises:
        PluginError: it does not map (B, T, 2) to (B, T, 2), looks further ahead than it declares, or has nothing to
            train. RecipeError of a module that was passed.
    """
    entry = plugins.find("models", config.kind)
    if entry is None or isinstance(config, KINDS):
        return
    from dpdrun.models._given import try_as_declared, try_gradient

    if entry.origin is None:
        if to_train:
            try_gradient(model, config.kind)
        return
    try:
        try_as_declared(model, config.kind)
        if to_train:
            try_gradient(model, config.kind)
    except RecipeError as error:
        path = entry.origin.path
        in_its_file = None if error.__cause__ is None else plugins.blamed(error.__cause__)
        message = f"{path}: {error}; `dpdrun plugins check {path}` tries all that a kind must do"
        raise in_its_file or plugins.PluginError(message) from None
