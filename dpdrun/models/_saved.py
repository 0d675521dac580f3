"""A trained model out of its file: built from its section of a recipe, filled with the tensors of model.safetensors."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.models import _tensors
from dpdrun.models._base import BehaviouralModel
from dpdrun.recipe.schema import ModelSection
from dpdrun.run.folder import RunFolder


def load(source: Path, section: ModelSection, *, described_by: Path) -> BehaviouralModel:
    """The model in `eval` mode.

    Args:
        source: model.safetensors.
        section: how to build it.
        described_by: the file that `section` is from, for the message.

    Raises:
        RunError: the file is missing or damaged, or holds another model.
    """
    try:
        tensors, _ = _tensors.read(source)
    except RunError as exc:
        raise RunError(f"{exc}{_what_is_left(source)}") from exc
    model = models.build(section, scale_x=1.0, scale_y=1.0)  # the scales are among the tensors
    misfit = _tensors.misfit(model.state_dict(), tensors)
    if misfit:
        raise RunError(f"{source}: not the model that {described_by} describes: {misfit}")
    model.load_state_dict(tensors)
    return model.eval()


def _what_is_left(source: Path) -> str:
    """What to do without the model of a run."""
    run = RunFolder(source.parent)
    if source == run.model and run.best.is_file():
        with suppress(RunError):
            _tensors.read(run.best)
            return f"; the same model is in {run.best}, which is whole: once {source.name} is removed, that is read"
    return ""
