"""Write the operations of a fixed-point program as ONNX nodes, on values instead of words: word 2^-fraction.

All scales are powers of two, so shifts to the left vanish, and each rounding is one IntQuant, from float64 to float32
as the package qonnx computes it. Shapes: one sample, (1, n); past words (rows, n), oldest first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from dpdrun.export.onnx_graph import END, OPSET, Graph
from dpdrun.export.qonnx import PAST
from dpdrun.export.step import NEXT
from dpdrun.quantization.reference import (
    EXP_INDEX_BITS,
    SCORE_BITS,
    SCORE_FRACTION,
    WEIGHT_FRACTION,
    Array,
    Program,
    Weights,
)

DOMAIN = "qonnx.custom_op.general"
ROUNDING = {"signed": 1, "narrow": 0, "rounding_mode": "FLOOR", "domain": DOMAIN}
MAX_OCTAVES = 31  # 2^-17 and less round to 0
SINGLE_BITS = 24  # IntQuant of the package qonnx returns float32, whatever it is given
WIDE_BITS = 44  # of a quotient before its shift


def step_of(program: Program, weights: Weights, metadata: dict[str, str]) -> onnx.ModelProto:
    """Return one sample of a program: x and past words -> y and new past words, all float64."""
    g = _Step(program, weights)
    with g.double_precision():
        return g.build(metadata)


def int_quant() -> onnx.FunctionProto:
    """Return IntQuant as this file uses it (signed, FLOOR, no zero point), for runtimes that do not have it."""
    nodes = [
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("CastLike", ["one", "x"], ["unit"]),
        helper.make_node("Add", ["unit", "unit"], ["two"]),
        helper.make_node("Sub", ["bits", "unit"], ["exponent"]),
        helper.make_node("Pow", ["two", "exponent"], ["beyond"]),
        helper.make_node("Neg", ["beyond"], ["lowest"]),
        helper.make_node("Sub", ["beyond", "unit"], ["highest"]),
        helper.make_node("Div", ["x", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "zero"], ["moved"]),
        helper.make_node("Floor", ["moved"], ["floor"]),
        helper.make_node("Max", ["floor", "lowest"], ["low"]),
        helper.make_node("Min", ["low", "highest"], ["word"]),
        helper.make_node("Sub", ["word", "zero"], ["back"]),
        helper.make_node("Mul", ["back", "scale"], ["value"]),
        helper.make_node("Cast", ["value"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    return helper.make_function(
        DOMAIN, "IntQuant", ["x", "scale", "zero", "bits"], ["y"], nodes, [helper.make_opsetid("", OPSET)],
        attributes=["signed", "narrow", "rounding_mode"],
    )  # fmt: skip


class _Step(Graph):
    """One sample of a program."""

    def __init__(self, program: Program, weights: Weights) -> None:
        super().__init__()
        self.program, self.weights = program, weights
        self.values: dict[str, str] = {}  # of this sample, by tensor
        self.joined: dict[str, str] = {}  # with the past before it
        self.numbers: dict[float, str] = {}

    def build(self, metadata: dict[str, str]) -> onnx.ModelProto:
        tensors, history = self.program["tensors"], self.program["history"]
        port, at = self.program["input"], self.program["input"]["tensor"]
        x = self.rounded("x", port["fraction"], port["bits"])
        self.values[at] = self.mul(x, self.number(2.0 ** (port["fraction"] - tensors[at]["fraction"])))
        for each in self.program["steps"]:
            total = getattr(self, f"_{each['op']}")(each)
            out = tensors[each["out"]]
            self.values[each["out"]] = self.rounded(total, out["fraction"], out["bits"], f"{each['out']}.stored")
        port, at = self.program["output"], self.program["output"]["tensor"]
        self.op("Mul", self.values[at], self.number(2.0 ** (tensors[at]["fraction"] - port["fraction"])), name="y")
        for name, rows in history.items():
            self.op("Slice", self.with_past(name), *map(self.index, (-rows, END, 0)), name=f"{name}{PAST}{NEXT}")
        signal = {"shape": [1, 2], "dtype": "float64"}
        past = [{"name": f"{n}{PAST}", "shape": [rows, tensors[n]["size"]], "dtype": "float64"}
                for n, rows in history.items()]  # fmt: skip
        after = [{**each, "name": f"{each['name']}{NEXT}"} for each in past]
        model = self.finish(
            [{"name": "x", **signal}, *past], [{"name": "y", **signal}, *after], metadata, functions=[int_quant()]
        )
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)

    def number(self, value: float) -> str:
        """Return a number, one constant for each."""
        if value not in self.numbers:
            self.numbers[value] = self.constant(float(value), f"number_{len(self.numbers)}")
        return self.numbers[value]

    def index(self, value: int) -> str:
        return self.constant(np.array([value]))

    def power_of_two(self, exponent: Any) -> str:
        """Return 2^exponent: one number, or one for each channel."""
        values = np.exp2(np.asarray(exponent, np.float64))
        return self.constant(values) if values.ndim else self.number(float(values))

    def rounded(self, x: str, fraction: Any, bits: int, name: str | None = None) -> str:
        """Round half up to so many fraction bits, and saturate to words of `bits`."""
        half = self.add(x, self.power_of_two(-np.asarray(fraction) - 1))
        return self.quantized(half, fraction, bits, name)

    def quantized(self, x: str, fraction: Any, bits: int, name: str | None = None) -> str:
        """Round down to so many fraction bits, and saturate to words of `bits`."""
        scale = self.power_of_two(-np.asarray(fraction))
        if bits <= SINGLE_BITS:
            word = self.op("IntQuant", x, scale, self.number(0.0), self.number(bits), name=name, **ROUNDING)
            return self.cast(word, "float64")
        word = self.op("Floor", self.div(x, scale))
        low, high = self.number(-(2.0 ** (bits - 1))), self.number(2.0 ** (bits - 1) - 1)
        return self.op("Mul", self.op("Min", self.op("Max", word, low), high), scale, name=name)

    def weight(self, name: str, part: Any = ..., *, transposed: bool = False) -> str:
        """Return a weight tensor or a part of it, in values, as words of its bits."""
        said = self.program["weights"][name]
        words, fraction = self.weights[name], np.broadcast_to(said["fraction"], said["shape"])
        words, fraction = (each[part].T if transposed else each[part] for each in (words, fraction))
        values = self.constant(words * np.exp2(-fraction.astype(np.float64)))
        if said["bits"] > SINGLE_BITS:
            return values
        uniform = fraction.flat[0] if (fraction == fraction.flat[0]).all() else fraction
        return self.quantized(values, uniform, said["bits"])

    def with_past(self, name: str) -> str:
        """Return the past words of a tensor and this sample's: (rows + 1, n)."""
        if name not in self.joined:
            self.joined[name] = self.concat(f"{name}{PAST}", self.values[name], axis=0)
        return self.joined[name]

    def read(self, name: str, delay: int = 0) -> str:
        """Return a tensor of `delay` samples ago: (1, n)."""
        if delay == 0:
            return self.values[name]
        row = self.program["history"][name] - delay
        return self.slice(f"{name}{PAST}", row, row + 1)

    def last(self, name: str, length: int, delay: int = 0) -> str:
        """Return the `length` samples that end `delay` samples ago, oldest first: (length, n)."""
        if length == 1:
            return self.read(name, delay)
        end = self.program["history"][name] + 1 - delay
        return self.slice(self.with_past(name), end - length, end)

    def _linear(self, each: dict[str, Any]) -> str:
        parts = [self.weight(each["bias"])] if each["bias"] else []
        for term in each["terms"]:
            x = self.read(term["x"], term["delay"])
            matrix = term["weight"]
            parts.append(x if matrix is None else self.op("MatMul", x, self.weight(matrix, transposed=True)))
        return self.add(*parts) if len(parts) > 1 else parts[0]

    def _fir(self, each: dict[str, Any]) -> str:
        taps = self.program["weights"][each["weight"]]["shape"][0]
        product = self.mul(self.last(each["x"], taps), self.weight(each["weight"]))
        return self.op("ReduceSum", product, self.index(0), keepdims=1)

    def _power(self, each: dict[str, Any]) -> str:
        return self.sum_of_squares(self.read(each["x"]))

    def _magnitude(self, each: dict[str, Any]) -> str:
        fraction = self.program["tensors"][each["x"]]["fraction"] + each["extra"]
        return self.root(self._power(each), fraction)

    def root(self, square: str, fraction: int) -> str:
        """Return the root of a square, rounded down to so many fraction bits."""
        word = self.op("Floor", self.op("Sqrt", self.mul(square, self.number(4.0**fraction))))
        return self.mul(word, self.number(2.0**-fraction))

    def _multiply(self, each: dict[str, Any]) -> str:
        product = self.mul(self.read(each["a"]), self.read(each["b"]))
        return self.add(product, self.read(each["add"])) if each.get("add") else product

    def _blend(self, each: dict[str, Any]) -> str:
        z, a, b = self.read(each["x"]), self.read(each["a"]), self.read(each["b"], 1)
        return self.add(a, self.mul(z, self.op("Sub", b, a)))

    def _relu(self, each: dict[str, Any]) -> str:
        return self.op("Max", self.read(each["x"]), self.number(0.0))

    def _table(self, each: dict[str, Any]) -> str:
        x, points = self.read(each["x"]), self.weights[each["table"]]
        u = self.mul(self.op("Abs", x), self.number(2.0 ** each["interval"]))  # in intervals
        u = self.op("Min", u, self.number(len(points) - 1))
        index = self.op("Min", self.op("Floor", u), self.number(len(points) - 2))
        value = self.interpolated(points, index, self.op("Sub", u, index), each["table"])
        mirror = self.op("Neg", value) if each["odd"] else self.op("Sub", self.number(1.0), value)
        return self.op("Where", self.op("Less", x, self.number(0.0)), mirror, value)

    def interpolated(self, points: Array, index: str, rest: str, name: str, bits: int | None = None) -> str:
        """Return a value of a table: its points have 15 fraction bits, and so has the slope's part if `bits` are given.

        Args:
            rest: from the point on, 0 .. 1 of the interval.
        """
        at, values = self.cast(index, "int64"), points * 2.0**-WEIGHT_FRACTION
        start, slope = (
            self.op("Gather", self.constant(array, f"table.{name}.{part}"), at, axis=0)
            for part, array in (("points", values), ("slopes", np.diff(values)))
        )
        rise = self.mul(slope, rest)
        return self.add(start, rise if bits is None else self.rounded(rise, WEIGHT_FRACTION, bits))

    def _attention(self, each: dict[str, Any]) -> str:
        heads, W = each["heads"], each["window"]
        size = self.program["tensors"][each["q"]]["size"] // heads
        q, k, v = self.read(each["q"]), self.last(each["k"], W), self.last(each["v"], W)
        outputs = []
        for head, distances in enumerate(each["distances"]):
            first, rows = head * size, self.constant(W - 1 - np.asarray(distances))
            near, values = (self.op("Gather", self.slice(x, first, first + size, 1), rows, axis=0) for x in (k, v))
            own = self.op("Transpose", self.slice(q, first, first + size, 1), perm=[1, 0])
            bias = self.weight(each["bias"], (head, np.asarray(distances)[:, None]))
            scores = self.rounded(self.add(self.op("MatMul", near, own), bias), SCORE_FRACTION, SCORE_BITS)  # (kept, 1)
            below = self.op("Sub", self.op("ReduceMax", scores, axes=[0], keepdims=1), scores)
            shares = self.op("Transpose", self.exp2_negative(below), perm=[1, 0])
            total = self.op("ReduceSum", shares, self.index(1), keepdims=1)
            outputs.append(self.op("Div", self.op("MatMul", shares, values), total))
        mixed = self.concat(*outputs, axis=1)
        if not np.any(each["shift"]):
            return mixed
        fraction = np.asarray(self.program["tensors"][each["out"]]["fraction"]) + np.asarray(each["shift"])
        return self.rounded(mixed, fraction, WIDE_BITS)

    def exp2_negative(self, t: str) -> str:
        """Return 2^-t with 15 fraction bits."""
        octaves = self.op("Floor", t)
        u = self.mul(self.op("Sub", t, octaves), self.number(2.0**EXP_INDEX_BITS))
        index = self.op("Floor", u)
        bits = WEIGHT_FRACTION + 2
        value = self.interpolated(self.weights["exp2"], index, self.op("Sub", u, index), "exp2", bits)
        shift = self.cast(self.op("Min", octaves, self.number(MAX_OCTAVES)), "int64")
        halves = self.constant(np.exp2(-np.arange(MAX_OCTAVES + 1.0)), "table.octaves")
        return self.rounded(self.mul(value, self.op("Gather", halves, shift, axis=0)), WEIGHT_FRACTION, bits)

    def _taps(self, each: dict[str, Any]) -> str:
        K, x = each["count"], self.last(each["x"], each["count"], each["delay"])  # (K, 2), oldest first
        i, q = (self.slice(x, c, c + 1, 1) for c in (0, 1))
        parts = [self.weight(each["bias"])] if each["bias"] else []
        for name, sign in ((each["gain"], 1.0), (each["image"], -1.0)):
            if not name:
                continue
            flat = self.reshape(self.last(name, K), -1)  # the gain of delay k was made k samples ago
            row = 2 * K * np.arange(K)
            re, im = (
                self.op("Gather", flat, self.constant((row + K - 1 - np.arange(K) + part)[:, None]), axis=0)
                for part in (0, K)
            )
            mirrored = self.mul(q, self.number(sign))
            real = self.op("Sub", self.mul(re, i), self.mul(im, mirrored))
            product = self.concat(real, self.add(self.mul(re, mirrored), self.mul(im, i)), axis=1)
            parts.append(self.op("ReduceSum", product, self.index(0), keepdims=1))
        return self.add(*parts) if len(parts) > 1 else parts[0]

    def _limit(self, each: dict[str, Any]) -> str:
        tensors, x = self.program["tensors"], self.read(each["x"])
        fraction = tensors[each["x"]]["fraction"]
        square, unit = self.sum_of_squares(x), 2.0**-fraction
        size = self.op("Max", self.root(square, fraction + each["extra"]), self.number(unit * 2.0 ** -each["extra"]))
        limit = self.number(each["limit"] * 2.0 ** -tensors[each["out"]]["fraction"])
        scaled = self.op("Div", self.mul(x, limit), size)
        return self.op("Where", self.op("Greater", square, self.number((each["beyond"] * unit) ** 2)), scaled, x)
