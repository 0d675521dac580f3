"""Load a trained model: built from its section of a recipe, filled with the tensors of model.safetensors."""

from __future__ import annotations

from pathlib import Path

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.models import _tensors
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._random_state import random_state_preserved
from dpdrun.recipe.given import GivenModel
from dpdrun.recipe.schema import ModelSection
from dpdrun.run.folder import RunFolder


def load(source: Path, section: ModelSection, *, described_by: Path) -> BehaviouralModel:
    """Load a model, in `eval` mode.

    Args:
        source: model.safetensors.
        section: how to build it.
        described_by: the file with `section`, for the error message.

    Raises:
        RunError: the file is missing or damaged, holds another model, or weights that are not finite.
        PluginError: its plug-in is another than it was, and does not do what it declares.
    """
    try:
        tensors, _ = _tensors.read(source)
    except RunError as exc:
        raise RunError(f"{exc}{_recovery_hint(source)}") from exc
    layers = getattr(section, "layers", 0)
    if layers > len(tensors):  # before they are built, one after the other
        raise RunError(
            f"{source}: not the model that {described_by} describes: {layers} layers, {len(tensors)} tensors"
        )
    with random_state_preserved():
        model = models.build(section, scale_x=1.0, scale_y=1.0)  # the scales are among the tensors
    misfit = _tensors.misfit(model.state_dict(), tensors)
    if misfit and isinstance(section, GivenModel):
        raise RunError(
            f"{source}: does not fit the module that was passed: {misfit}; pass one like that of the training"
        )
    if misfit:
        raise RunError(f"{source}: not the model that {described_by} describes: {misfit}")
    model.load_state_dict(tensors)
    wrong = next((name for name, weights in model.named_parameters() if not bool(weights.isfinite().all())), None)
    if wrong is not None:
        raise RunError(f"{source}: weights {wrong}: not finite; this run diverged, or the file is damaged; train again")
    models.require_as_declared(model, section)  # its plug-in may have changed
    return model.eval()


def _recovery_hint(source: Path) -> str:
    """Return how to recover a damaged model, or nothing."""
    run = RunFolder(source.parent)
    if source == run.model and _tensors.is_intact(run.best):
        return f"; the same model is in {run.best}, which is intact: remove {source.name} to use it"
    return ""
