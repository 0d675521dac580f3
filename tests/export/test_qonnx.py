"""QONNX files, run by onnxruntime and by the package qonnx, by no code of this project, against the NumPy reference."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.export import fixed, qonnx
from dpdrun.quantization import reference
from tests.export.c.test_fixed import CASES, demanding_words, rounded

Run = Callable[[dict[str, Any]], dict[str, Any]]


def streamed(path: Path, run: Run, words: NDArray[np.int64]) -> NDArray[np.float64]:
    """The output words of a file, as the page describes it."""
    model = onnx.load(path)
    said = {each.key: each.value for each in model.metadata_props}
    assert said["format"] == "dpdrun-qonnx-1"
    shapes = {each.name: [d.dim_value for d in each.type.tensor_type.shape.dim] for each in model.graph.input}
    past = {name: np.zeros(shape) for name, shape in shapes.items() if name != "x"}
    outputs = []
    for pair in words:
        got = run({"x": pair[None] / 2.0 ** json.loads(said["input"])["fraction"], **past})
        past = {name: got[f"{name}_next"] for name in past}
        outputs.append(got["y"][0] * 2.0 ** json.loads(said["output"])["fraction"])
    return np.array(outputs)


def by_onnxruntime(path: Path) -> Run:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def by_qonnx(path: Path) -> Run:
    pytest.importorskip("qonnx")
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    return partial(execute_onnx, ModelWrapper(str(path)))


def expected_of(point: fixed.FixedPoint, words: NDArray[np.int64]) -> NDArray[np.int64]:
    return reference.step(point.program, point.weights, words, reference.initial_state(point.program))[0]


@pytest.mark.parametrize("name", CASES)
def test_every_word_equals_the_reference(name: str, tmp_path: Path) -> None:
    point, description, x = rounded(name)
    qonnx.write(tmp_path / "m.onnx", point, description)
    words = demanding_words(point.program, x)[1400::2]
    np.testing.assert_array_equal(
        streamed(tmp_path / "m.onnx", by_onnxruntime(tmp_path / "m.onnx"), words), expected_of(point, words)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_package_qonnx_gives_the_same_words(name: str, tmp_path: Path) -> None:
    point, description, x = rounded(name)
    qonnx.write(tmp_path / "m.onnx", point, description)
    words = demanding_words(point.program, x)[1495:2000:25]
    np.testing.assert_array_equal(
        streamed(tmp_path / "m.onnx", by_qonnx(tmp_path / "m.onnx"), words), expected_of(point, words)
    )


def test_words_are_stored_by_quantizers_of_their_bits(tmp_path: Path) -> None:
    point, description, _ = rounded("gru, limited")
    qonnx.write(tmp_path / "m.onnx", point, description)
    graph = onnx.load(tmp_path / "m.onnx").graph
    numbers = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    bits = {each.output[0]: int(numbers[each.input[3]]) for each in graph.node if each.op_type == "IntQuant"}
    stored = {name: said["bits"] for name, said in point.program["tensors"].items() if name != "x"}
    assert {name: bits[f"{name}.stored"] for name in stored} == stored
    assert len(bits) > len(stored) + 4  # the weights too


def test_the_step_of_a_file_is_that_of_its_program_and_a_wrong_one_is_found(tmp_path: Path) -> None:
    point, description, x = rounded("transformer, look-ahead")
    qonnx.write(tmp_path / "m.onnx", point, description)
    assert fixed.require_equal(tmp_path, qonnx.load(tmp_path / "m.onnx", point), point, x, 500) == 500
    changed = {**point.weights, "head": point.weights["head"] + 1}
    qonnx.write(tmp_path / "m.onnx", replace(point, weights=changed), description)
    step = qonnx.load(tmp_path / "m.onnx", point)
    with pytest.raises(RunError, match="does not give the words of its program"):
        fixed.require_equal(tmp_path, step, point, x, 500)


def test_sums_that_float64_does_not_hold_are_refused(tmp_path: Path) -> None:
    point, description, _ = rounded("gru")
    steps = [{**each, "accumulator_bits": 53} for each in point.program["steps"]]
    with pytest.raises(RunError, match=r"holds sums of 52 bits, and power, cube, .* can need more"):
        qonnx.write(tmp_path / "m.onnx", replace(point, program={**point.program, "steps": steps}), description)
    assert list(tmp_path.iterdir()) == []
