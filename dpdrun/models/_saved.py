"""A trained model out of its file: built from its section of a recipe, filled with the tensors of model.safetensors."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.models._base import BehaviouralModel
from dpdrun.recipe.schema import ModelSection


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
        tensors = load_file(source)
    except FileNotFoundError as exc:
        raise RunError(f"{source}: missing") from exc
    except (SafetensorError, OSError, ValueError) as exc:
        raise RunError(f"{source}: damaged or not a safetensors file ({exc})") from exc
    model = models.build(section, scale_x=1.0, scale_y=1.0)  # the scales are among the tensors
    misfit = _misfit(model.state_dict(), tensors)
    if misfit:
        raise RunError(f"{source}: not the model that {described_by} describes: {misfit}")
    model.load_state_dict(tensors)
    return model.eval()


def sha256_of(source: Path) -> str:
    """sha256 of a file. Raises RunError when it cannot be read."""
    try:
        return hashlib.sha256(source.read_bytes()).hexdigest()
    except OSError as exc:
        raise RunError(f"{source}: cannot read: {exc.strerror}") from exc


def _misfit(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str | None:
    """The first tensor that is missing, has another shape, or is not wanted; None when all fit."""
    for name, tensor in wanted.items():
        if name not in found:
            return f"it has no tensor {name}"
        if found[name].shape != tensor.shape:
            return f"tensor {name} is {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
    return next((f"it has a tensor {name} too many" for name in found if name not in wanted), None)
