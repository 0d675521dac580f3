"""Weights, description and golden vector in one file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.errors import RunError
from dpdrun.export import npz
from dpdrun.export.verify import relative_error


def test_the_file_does_what_the_model_does(case: Any, tmp_path: Path) -> None:
    npz.write(tmp_path / "m.npz", case.graph, case.description, case.x)
    error = relative_error(case.through(npz.load(tmp_path / "m.npz", case.description)), case.expected[1])
    assert error < (1e-5 if "position" in case.graph.state else 1e-7)  # sinusoids are computed in float32


def test_weights_are_those_of_the_run_and_the_description_names_them(case: Any, tmp_path: Path) -> None:
    npz.write(tmp_path / "m.npz", case.graph, case.description, case.x)
    with np.load(tmp_path / "m.npz") as archive:
        said = json.loads(str(archive["description"]))
        weights = {name: archive[f"weights/{name}"] for name in said["weights"]}
    parameters = dict(case.graph.inner.named_parameters())
    assert set(weights) - {"frequencies"} == set(parameters)
    for name, parameter in parameters.items():
        np.testing.assert_array_equal(weights[name], parameter.detach().numpy())
        assert any(name.split(".")[0].rstrip("s") in text for text in said["how"].values()), name
    assert said.items() > case.description.items()


def test_the_golden_vector_is_the_answer_after_silence(case: Any, tmp_path: Path) -> None:
    npz.write(tmp_path / "m.npz", case.graph, case.description, case.x)
    with np.load(tmp_path / "m.npz") as archive:
        x, y = archive["golden/x"], archive["golden/y"]
    np.testing.assert_array_equal(x, case.x[: npz.GOLDEN_SAMPLES].astype(np.complex64))
    known = len(x) - case.description["lookahead"]  # the record that was cut off is silent
    assert relative_error(y[:known], case.expected[1][:known]) < 1e-6


def test_a_kind_without_a_reference_is_refused(gru: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"npz has no reference for model.kind lstm"):
        npz.write(tmp_path / "m.npz", gru.graph, gru.description | {"kind": "lstm"}, gru.x)
