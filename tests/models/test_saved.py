"""Reading a trained model back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.models import _saved
from dpdrun.recipe.schema import GRUModel


@pytest.mark.parametrize("value", [torch.nan, -torch.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    section, path = GRUModel(kind="gru", hidden=3), tmp_path / "model.safetensors"
    model = models.build(section, scale_x=1.0, scale_y=1.0)
    save_file(model.state_dict(), path)
    assert _saved.load(path, section, described_by=tmp_path) is not None
    torch.nn.init.constant_(next(model.parameters()), value)
    save_file(model.state_dict(), path)
    with pytest.raises(RunError, match=r"model\.safetensors: weights .*: not finite"):
        _saved.load(path, section, described_by=tmp_path)
