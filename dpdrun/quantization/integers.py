"""Round a network to integers: weights, shifts, and the bits that every accumulator can need.

A product of a weight with f_w fraction bits and a word with f_x has f_w + f_x. All products of one row have the same
number, so that they are added up without shifts: it is the largest at which every weight of the row (by default: of
the operation) fits its bits. A bias is kept with that number; a tensor that is added is shifted left to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.errors import RunError
from dpdrun.quantization.network import Array, Network, Step, Tensor
from dpdrun.quantization.reference import SCORE_FRACTION, WEIGHT_FRACTION, Program, Weights
from dpdrun.recipe.fields import AUTO
from dpdrun.recipe.schema import QuantizationSection

FORMAT = "dpdrun-fixed-1"
Integers = NDArray[np.int64]
# Fraction bits of a sum whose weights are all but zero: a bias and a residual then have this much room above them.
MAX_BIAS_BITS, MAX_LEFT = 44, 30
ROOMY = ("magnitude", "limit")  # a root, a division: not an accumulator of products


@dataclass(frozen=True)
class Words:
    """Bits and fraction bits of a tensor: a value v is the word floor(v 2^fraction + 1/2), saturated.

    Attributes:
        fraction: one number, or one for each channel.
    """

    bits: int
    fraction: Integers

    @property
    def largest(self) -> int:
        """The largest magnitude of a word."""
        return 1 << (self.bits - 1)


Formats = Mapping[str, Words]


def bits_of(name: str, tensor: Tensor, network: Network, settings: QuantizationSection) -> int:
    """Return the word length of a tensor."""
    if tensor.width == "port":
        return settings.port
    state = settings.activations if settings.state == AUTO else settings.state
    is_state = tensor.width == "state" or name in network.history
    return (state if is_state else settings.activations) + tensor.wider


def round_half_up(values: Array | float, fraction: Integers | int, bits: int | None = None) -> Integers:
    """Return floor(v 2^fraction + 1/2), saturated to `bits`."""
    words = np.floor(np.asarray(values) * np.exp2(np.asarray(fraction, np.float64)) + 0.5).astype(np.int64)
    return words if bits is None else np.clip(words, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def fitting_fraction(largest: Array | float, bits: int) -> Integers:
    """Return the most fraction bits at which magnitudes of `largest` fit words of `bits`, after rounding.

    Zero fits any; it gets as many as a magnitude of 1.
    """
    size = np.where(np.asarray(largest) > 0, largest, 1.0)
    found = np.floor(np.log2((2 ** (bits - 1) - 1) / size)).astype(np.int64)
    too_large = np.floor(size * np.exp2(found.astype(np.float64)) + 0.5) > 2 ** (bits - 1) - 1
    return np.asarray(found - too_large)


def to_integers(
    network: Network,
    formats: Formats,
    *,
    weight_bits: int,
    accumulator: int | None = None,
    by_row: bool = False,
    sums: Mapping[str, Integers] | None = None,
) -> tuple[Program, Weights]:
    """Return the program of a network and its integer weights.

    Args:
        formats: of every tensor.
        accumulator: bits that every sum of products has to fit; None = any, the caller knows that int64 does.
        by_row: each row of a matrix has its own scale.
        sums: fraction bits of the sum of each operation, instead of those that its weights allow: of a program whose
            weights have changed since (training).

    Raises:
        RunError: a sum of products can need more bits than `accumulator`.
    """
    rounding = _Rounding(network, formats, weight_bits, by_row, sums or {})
    steps = [rounding.step(dict(each)) for each in network.steps]
    wide = [f"{each['out']}: {each['accumulator_bits']}" for each in steps if
            accumulator and each["accumulator_bits"] > accumulator and each["op"] not in ROOMY]  # fmt: skip
    if wide:
        raise RunError(
            f"sums of products can need more than the {accumulator} bits of quantization.accumulator "
            f"({'; '.join(wide[:4])}{'; ...' if len(wide) > 4 else ''}): use a wider accumulator, or fewer bits of "
            "weights or activations"
        )
    x, y = formats["x"], formats["y"]
    program = {
        "format": FORMAT,
        "kind": network.kind,
        "lookahead": network.lookahead,
        "input": {"tensor": "x", "bits": x.bits, "fraction": int(x.fraction) - network.x_exponent},
        "output": {"tensor": "y", "bits": y.bits, "fraction": int(y.fraction) - network.y_exponent},
        "tensors": {
            name: {"size": tensor.size, "bits": formats[name].bits, "fraction": plain(formats[name].fraction)}
            for name, tensor in network.tensors.items()
        },
        "history": dict(network.history),
        "loops": [list(loop) for loop in network.loops],
        "steps": steps,
        "weights": {
            name: {
                "shape": list(values.shape),
                "bits": max(2, int(np.abs(values).max(initial=0)).bit_length() + 1),
                "fraction": plain(rounding.fractions[name]),
            }
            for name, values in rounding.weights.items()
        },
    }
    return program, rounding.weights


def sum_fractions(network: Network, formats: Formats, *, weight_bits: int, by_row: bool = False) -> dict[str, Integers]:
    """Return the fraction bits of the products of each operation with weights: `sums` of `to_integers`."""
    rounding = _Rounding(network, formats, weight_bits, by_row, {})
    for each in network.steps:
        rounding.step(dict(each))
    return rounding.chosen


def plain(value: Integers | int) -> Any:
    """Return one number if all are equal, else a list."""
    array = np.asarray(value)
    return int(array.flat[0]) if array.size and (array == array.flat[0]).all() else array.tolist()


class _Rounding:
    """Rounds one operation after the other."""

    def __init__(
        self, network: Network, formats: Formats, bits: int, by_row: bool, sums: Mapping[str, Integers]
    ) -> None:
        self.network, self.formats, self.bits, self.by_row, self.sums = network, formats, bits, by_row, sums
        self.chosen: dict[str, Integers] = {}
        self.weights: Weights = {name: values.astype(np.int64) for name, values in network.constants.items()}
        self.fractions: dict[str, Integers] = dict.fromkeys(self.weights, np.asarray(WEIGHT_FRACTION))

    def step(self, each: Step) -> Step:
        """Return the operation with its shifts and the bits of its accumulator."""
        kind, out = each["op"], self.formats[each["out"]]
        fraction, bound = getattr(self, f"_{kind}")(each, out)
        shift = np.broadcast_to(fraction - out.fraction, (self.network.tensors[each["out"]].size,))
        half = 2 ** max(int(shift.max()) - 1, 0)
        each["shift"] = plain(shift)
        each["accumulator_bits"] = int(bound + half).bit_length() + 1
        return each

    def _weight(self, name: str, fraction: Integers, bits: int | None) -> Integers:
        self.weights[name] = round_half_up(self.network.weights[name], fraction, bits)
        self.fractions[name] = np.broadcast_to(fraction, self.weights[name].shape)
        return self.weights[name]

    def _sum_fraction(self, each: Step, largest: Array, bias: Array | None) -> Integers:
        """Return the fraction bits of the products of each row.

        Args:
            largest: by row, the largest magnitude of a weight times 2^-(fraction bits of what it multiplies).
        """
        if each["out"] in self.sums:
            return self.sums[each["out"]]
        found = fitting_fraction(largest, self.bits)
        if not largest.any():
            found = np.full_like(found, int(np.max(self.formats[each["out"]].fraction)))
        elif (largest == 0).any():
            found = np.where(largest == 0, found[largest > 0].max(), found)
        if bias is not None and np.any(bias):
            found = np.minimum(found, fitting_fraction(np.abs(bias), MAX_BIAS_BITS))
        if not self.by_row:
            found = np.full_like(found, found.min())
        self.chosen[each["out"]] = np.asarray(found)
        return self.chosen[each["out"]]

    def _linear(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        net, rows = self.network, self.network.tensors[each["out"]].size
        matrices = [term for term in each["terms"] if term["weight"]]
        identities = [term for term in each["terms"] if not term["weight"]]
        largest = np.zeros(rows)
        for term in matrices:
            scaled = np.abs(net.weights[term["weight"]]) * np.exp2(-self._fraction(term["x"]).astype(float))
            largest = np.maximum(largest, scaled.max(-1))
        bias = net.weights[each["bias"]] if each["bias"] else None
        fraction = self._sum_fraction(each, largest, bias)
        for term in identities:  # neither is shifted right
            fraction = np.minimum(fraction, self._fraction(term["x"]) + MAX_LEFT)
        whole = fraction
        for term in identities:
            whole = np.maximum(whole, self._fraction(term["x"]))
        bound = np.zeros(rows)
        each["terms"] = [dict(term) for term in each["terms"]]
        for term in each["terms"]:
            words = self.formats[term["x"]]
            if term["weight"]:
                product = np.asarray(fraction)[:, None] - np.broadcast_to(
                    words.fraction, (net.tensors[term["x"]].size,)
                )
                size = np.abs(self._weight(term["weight"], product, self.bits)).sum(-1)
                left = whole - fraction
            else:
                size, left = np.ones(rows, np.int64), whole - words.fraction
            term["left"] = plain(np.broadcast_to(left, (rows,)))
            bound = bound + size * np.exp2(left.astype(float)) * words.largest
        if bias is not None:
            bound = bound + np.abs(self._weight(each["bias"], whole, None))
        return whole, math.ceil(bound.max())

    def _fraction(self, name: str) -> Integers:
        return self.formats[name].fraction

    def _fir(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        words = self.formats[each["x"]]
        taps = self.network.weights[each["weight"]]
        largest = np.abs(taps).max(0) * np.exp2(-words.fraction.astype(float))
        fraction = self._sum_fraction(each, largest, None)
        weights = self._weight(each["weight"], fraction - words.fraction, self.bits)
        return fraction, int(np.abs(weights).sum(0).max()) * words.largest

    def _power(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        words = self.formats[each["x"]]
        return 2 * words.fraction, 2 * words.largest**2

    def _magnitude(self, each: Step, out: Words) -> tuple[Integers, int]:
        fraction, bound = self._power(each, out)
        return fraction // 2 + each["extra"], bound << (2 * each["extra"])

    def _multiply(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        a, b = self.formats[each["a"]], self.formats[each["b"]]
        fraction, bound = a.fraction + b.fraction, a.largest * b.largest
        if each.get("add"):
            added = self.formats[each["add"]]
            each["left"] = plain(fraction - added.fraction)
            bound += added.largest << int(np.max(fraction - added.fraction))
        return fraction, bound

    def _blend(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        z, a, b = (self.formats[each[key]] for key in ("x", "a", "b"))
        each["left"] = int(z.fraction)
        return z.fraction + a.fraction, (a.largest << int(z.fraction)) + z.largest * (a.largest + b.largest)

    def _relu(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        words = self.formats[each["x"]]
        return words.fraction, words.largest

    def _table(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        position = int(self.formats[each["x"]].fraction) - each["interval"]
        each["position"] = position
        return np.asarray(WEIGHT_FRACTION + position), 2 ** (WEIGHT_FRACTION + position)

    def _attention(self, each: Step, out: Words) -> tuple[Integers, int]:
        q, k, v = (self.formats[each[key]] for key in ("q", "k", "v"))
        products, width = int(q.fraction + k.fraction), self.network.tensors[each["q"]].size // each["heads"]
        bias = self._weight(each["bias"], np.asarray(products), None)
        each["score_shift"] = [products - SCORE_FRACTION] * each["heads"]
        left = np.maximum(out.fraction - v.fraction, 0)
        each["left"] = plain(left)
        kept = max(len(distances) for distances in each["distances"])
        near = max(int(np.abs(bias[h, each["distances"][h]]).max()) for h in range(each["heads"]))
        total = kept << WEIGHT_FRACTION
        scores = width * q.largest * k.largest + near
        return v.fraction + left, max(scores, 2 * (total * v.largest << int(left.max())) + total)

    def _taps(self, each: Step, out: Words) -> tuple[Integers, int]:  # noqa: ARG002
        x, gain = self.formats[each["x"]], self.formats[each["gain"]]
        fraction, bound = x.fraction + gain.fraction, 2 * each["count"] * x.largest * gain.largest
        if each["image"]:
            bound *= 2
        if each["bias"]:
            bound += int(np.abs(self._weight(each["bias"], fraction, None)).max())
        return fraction, bound

    def _limit(self, each: Step, out: Words) -> tuple[Integers, int]:
        words = self.formats[each["x"]]
        at_x, at_y = (math.floor(each["limit"] * 2.0 ** int(each_.fraction)) for each_ in (words, out))
        each |= {"beyond": at_x, "limit": at_y, "left": int(out.fraction - words.fraction)}
        longest = (2 * words.largest) << each["extra"]
        return out.fraction, 2 * words.largest * (at_y << each["extra"]) + longest
