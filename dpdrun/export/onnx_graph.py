"""Build ONNX graphs: one method call for each node, weights as initializers under their own names.

The graphs are written node by node, not traced by PyTorch: of its two exporters (2.13) the newer one fails on a GRU of
free length and on complex numbers (gmp), the older one on look-ahead and is deprecated; and the graphs change with
their version. Opset 17 (2022) and float32 are enough, so old runtimes read the files too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # of the same release of ONNX
TYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE, "int64": TensorProto.INT64}
END = np.iinfo(np.int64).max  # of a slice that goes to the end

Array = NDArray[Any]


class Graph:
    """Nodes and weights so far. Every method returns the name of its output."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: dict[str, onnx.TensorProto] = {}
        self._real: type[np.floating] = np.float32

    @contextmanager
    def double_precision(self) -> Iterator[None]:
        """Make numbers and weights float64 within this block; `cast` converts on the way in and out."""
        self._real = np.float64
        try:
            yield
        finally:
            self._real = np.float32

    def cast(self, x: str, dtype: str) -> str:
        """Convert to another type."""
        return self.op("Cast", x, to=TYPES[dtype])

    def constant(self, value: Any, name: str | None = None) -> str:
        """Add a weight, under its name, or a number; integers become int64."""
        array = np.asarray(value)
        array = array.astype(self._real if array.dtype.kind == "f" else np.int64)
        name = name or f"constant_{len(self._weights)}"
        self._weights[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.ops(kind, *inputs, outputs=[name or f"{kind}_{len(self._nodes)}"], **attributes)[0]

    def ops(self, kind: str, *inputs: str, outputs: list[str], **attributes: Any) -> list[str]:
        """Add a node with several outputs; an empty name omits one."""
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=f"{kind}_{len(self._nodes)}", **attributes))
        return outputs

    def add(self, *inputs: str) -> str:
        """Add two or more tensors."""
        return self.op("Add" if len(inputs) == 2 else "Sum", *inputs)

    def mul(self, left: str, right: str | float) -> str:
        """Multiply by a tensor or a number."""
        return self.op("Mul", left, right if isinstance(right, str) else self.constant(right))

    def div(self, left: str, right: str | float) -> str:
        """Divide by a tensor or a number."""
        return self.op("Div", left, right if isinstance(right, str) else self.constant(right))

    def concat(self, *inputs: str, axis: int) -> str:
        """Join tensors along an axis."""
        return self.op("Concat", *inputs, axis=axis)

    def slice(self, x: str, start: int, stop: int, axis: int = 0) -> str:
        """Take part of an axis; negative numbers count from its end, END is the end."""
        return self.op("Slice", x, *(self.constant(np.array([value])) for value in (start, stop, axis)))

    def reshape(self, x: str, *shape: int) -> str:
        """Change the shape; 0 keeps a length, -1 is inferred."""
        return self.op("Reshape", x, self.constant(np.array(shape)))

    def squeeze(self, x: str, axis: int = 0) -> str:
        """Remove an axis of length 1."""
        return self.op("Squeeze", x, self.constant(np.array([axis])))

    def unsqueeze(self, x: str, axis: int = 0, name: str | None = None) -> str:
        """Insert an axis of length 1."""
        return self.op("Unsqueeze", x, self.constant(np.array([axis])), name=name)

    def linear(self, x: str, weights: dict[str, Array], name: str) -> str:
        """Compute x W^T + b, with the weights `name.weight` (out, in) and, if there is one, `name.bias`."""
        y = self.op("MatMul", x, self.constant(weights[f"{name}.weight"].T, f"{name}.weight"))
        bias = weights.get(f"{name}.bias")
        return y if bias is None else self.add(y, self.constant(bias, f"{name}.bias"))

    def sum_of_squares(self, x: str) -> str:
        """Sum the squares over the last axis, which stays with length 1."""
        return self.op("ReduceSum", self.mul(x, x), self.constant(np.array([-1])), keepdims=1)

    def finish(
        self,
        inputs: Sequence[dict[str, Any]],
        outputs: Sequence[dict[str, Any]],
        metadata: dict[str, str],
        functions: Sequence[onnx.FunctionProto] = (),
    ) -> onnx.ModelProto:
        """Return the model. Inputs and outputs are given by name, shape (a name for a free length) and dtype.

        Args:
            functions: operations that ONNX does not have, defined by those that it has.
        """
        ends = [[helper.make_tensor_value_info(e["name"], TYPES[e["dtype"]], e["shape"]) for e in side]
                for side in (inputs, outputs)]  # fmt: skip
        graph = helper.make_graph(self._nodes, "dpdrun_step", ends[0], ends[1], list(self._weights.values()))
        opsets = [helper.make_opsetid("", OPSET), *(helper.make_opsetid(each.domain, 1) for each in functions)]
        model = helper.make_model(
            graph, opset_imports=opsets, functions=functions, ir_version=IR_VERSION, producer_name="dpdrun"
        )
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        return model
