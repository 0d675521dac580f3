"""ONNX files, run by onnxruntime as a program without dpdrun would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx as library
import onnxruntime
import pytest

from dpdrun.errors import RunError
from dpdrun.export import onnx
from dpdrun.export.verify import TOLERANCE, relative_error


def test_the_file_does_what_the_model_does(case: Any, tmp_path: Path) -> None:
    onnx.write(tmp_path / "m.onnx", case.graph, case.description)
    found = case.through(onnx.load(tmp_path / "m.onnx", case.description))
    assert relative_error(found, case.expected[1]) < TOLERANCE


def test_the_description_is_in_the_metadata_with_how_to_run_it(case: Any, tmp_path: Path) -> None:
    """By onnxruntime alone, from what the file says."""
    onnx.write(tmp_path / "m.onnx", case.graph, case.description)
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    said = session.get_modelmeta().custom_metadata_map
    late = int(said["lookahead"])
    feeds = {part["name"]: np.zeros(part["shape"], part["dtype"]) for part in json.loads(said["inputs"])[1:]}
    x = np.append(case.x, np.zeros(late))
    feeds["x"] = np.stack([x.real, x.imag], axis=-1).astype(np.float32)[None]
    y, *after = session.run(None, feeds)
    assert relative_error(y[0, late:, 0] + 1j * y[0, late:, 1], case.expected[1]) < TOLERANCE
    assert [o.name.removesuffix("_next") for o in session.get_outputs()[1:]] == list(case.graph.state)
    for state, value in zip(after, case.graph.state.values(), strict=True):
        assert state.shape == tuple(value.shape)


def test_weights_keep_their_names(gru: Any, tmp_path: Path) -> None:
    onnx.write(tmp_path / "m.onnx", gru.graph, gru.description)
    names = {each.name for each in library.load(tmp_path / "m.onnx").graph.initializer}
    assert {"scale_x", "scale_y", "gru.W_0", "gru.R_1", "head.weight", "head.bias", "skip.weight"} <= names


def test_a_kind_that_is_not_known_says_what_is(gru: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"onnx has no graph for model.kind lstm.*use --to torchscript"):
        onnx.write(tmp_path / "m.onnx", gru.graph, gru.description | {"kind": "lstm"})
    assert not list(tmp_path.iterdir())


def test_a_missing_library_gives_the_line_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.require()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(RunError, match=r"needs the package onnxruntime.*\n  pip install 'dpdrun\[export\]'"):
        onnx.require()
