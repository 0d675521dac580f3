"""The writer of ONNX graphs, run by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from dpdrun.export.onnx_graph import END, IR_VERSION, OPSET, Graph

X = [{"name": "x", "shape": ["T", 3], "dtype": "float32"}]


def run(graph: Graph, result: str, x: np.ndarray, dtype: str = "float32") -> Any:
    graph.op("Identity", result, name="y")
    model = graph.finish(X, [{"name": "y", "shape": ["m", "n"], "dtype": dtype}], {"key": "value"})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("length", [1, 4, 9])
def test_a_graph_computes_for_every_length(length: int) -> None:
    g = Graph()
    weights = {"l.weight": np.arange(6.0).reshape(2, 3), "l.bias": np.array([1.0, -1.0])}
    x = np.random.default_rng(0).standard_normal((length, 3)).astype(np.float32)
    found = run(g, g.linear("x", weights, "l"), x)
    np.testing.assert_allclose(found, x @ weights["l.weight"].T + weights["l.bias"], rtol=1e-5)


def test_slices_sums_and_shapes() -> None:
    g = Graph()
    last = g.slice(g.slice("x", -2, END), 1, END, axis=1)
    y = g.add(g.mul(last, 2.0), g.div(last, 4.0), g.squeeze(g.unsqueeze(last)))
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    np.testing.assert_allclose(run(g, y, x), 3.25 * x[-2:, 1:])


def test_double_precision_is_double_and_ends() -> None:
    g = Graph()
    with g.double_precision():
        y = g.cast(g.add(g.cast("x", "float64"), g.constant(1e-12)), "float64")
    z = g.constant(0.5)
    found = run(g, y, np.ones((1, 3), np.float32), "float64")
    assert found.dtype == np.float64
    assert (found != 1.0).all()
    assert g._weights[z].data_type == onnx.TensorProto.FLOAT


def test_files_are_of_an_old_version_and_carry_metadata() -> None:
    g = Graph()
    g.op("Identity", "x", name="y")
    model = g.finish(X, [{**X[0], "name": "y"}], {"key": "value"})
    assert model.opset_import[0].version == OPSET == 17
    assert model.ir_version == IR_VERSION == 8
    assert {prop.key: prop.value for prop in model.metadata_props} == {"key": "value"}


def test_a_graph_that_makes_no_sense_is_refused() -> None:
    g = Graph()
    g.op("MatMul", "x", "not there", name="y")
    with pytest.raises(onnx.checker.ValidationError):
        g.finish(X, [{**X[0], "name": "y"}], {})
