"""TorchScript files, run as a program without dpdrun would."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from dpdrun.export import torchscript
from dpdrun.export.verify import TOLERANCE, relative_error


def test_the_file_does_what_the_model_does(case: Any, tmp_path: Path) -> None:
    torchscript.write(tmp_path / "m.pt", case.graph, case.description)
    found = case.through(torchscript.load(tmp_path / "m.pt", case.description))
    assert relative_error(found, case.expected[0]) < TOLERANCE


def test_the_description_is_an_extra_file(gru: Any, tmp_path: Path) -> None:
    torchscript.write(tmp_path / "m.pt", gru.graph, gru.description)
    extra = {"dpdrun.json": ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.load(tmp_path / "m.pt", _extra_files=extra)
    assert json.loads(extra["dpdrun.json"]) == gru.description
