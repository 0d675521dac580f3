"""The operations of a program once more: one sample after the other, in Python's integers, which never overflow."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

Word = list[int]


def rounded(value: Fraction) -> int:
    return math.floor(value + Fraction(1, 2))


def channel(value: Any, i: int) -> int:
    return value[i] if isinstance(value, list) else value


class Naive:
    """A stream of one record."""

    def __init__(self, program: dict[str, Any], weights: dict[str, Any]) -> None:
        self.program = program
        self.weights = {name: value.tolist() for name, value in weights.items()}
        self.past: dict[str, list[Word]] = {name: [] for name in program["tensors"]}  # latest last

    def old(self, name: str, delay: int) -> Word:
        history = self.past[name]
        return history[-1 - delay] if delay < len(history) else [0] * self.program["tensors"][name]["size"]

    def step(self, x: Word) -> Word:
        self.past["x"].append(x)
        for each in self.program["steps"]:
            size, bits = (self.program["tensors"][each["out"]][key] for key in ("size", "bits"))
            exact = getattr(self, each["op"])(each, size)
            words = [rounded(Fraction(v) / Fraction(2) ** channel(each["shift"], i)) for i, v in enumerate(exact)]
            self.past[each["out"]].append([max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, v)) for v in words])
        return self.past["y"][-1]

    def now(self, each: dict[str, Any], key: str) -> Word:
        return self.past[each[key]][-1]

    def linear(self, each: dict[str, Any], size: int) -> Word:
        sums = list(self.weights[each["bias"]]) if each["bias"] else [0] * size
        for term in each["terms"]:
            # a tensor that is made later in this sample still ends with the word of the sample before
            late = term["delay"] - (len(self.past[term["x"]]) < len(self.past["x"]))
            x = self.old(term["x"], late)
            for o in range(size):
                row = self.weights[term["weight"]][o] if term["weight"] else [i == o for i in range(size)]
                sums[o] += sum(w * v for w, v in zip(row, x, strict=True)) * 2 ** channel(term["left"], o)
        return sums

    def fir(self, each: dict[str, Any], size: int) -> Word:
        taps = self.weights[each["weight"]]
        return [
            sum(row[i] * self.old(each["x"], len(taps) - 1 - d)[i] for d, row in enumerate(taps)) for i in range(size)
        ]

    def power(self, each: dict[str, Any], size: int) -> Word:
        return [sum(v * v for v in self.now(each, "x"))]

    def magnitude(self, each: dict[str, Any], size: int) -> Word:
        return [math.isqrt(self.power(each, 1)[0] * 4 ** each["extra"])]

    def multiply(self, each: dict[str, Any], size: int) -> Word:
        more = self.now(each, "add") if each.get("add") else [0] * size
        pairs = zip(self.now(each, "a"), self.now(each, "b"), more, strict=True)
        return [a * b + c * 2 ** channel(each.get("left", 0), i) for i, (a, b, c) in enumerate(pairs)]

    def blend(self, each: dict[str, Any], size: int) -> Word:
        z, new, old = self.now(each, "x"), self.now(each, "a"), self.old(each["b"], 0)
        return [(2 ** each["left"] - z[i]) * new[i] + z[i] * old[i] for i in range(size)]

    def relu(self, each: dict[str, Any], size: int) -> Word:
        return [max(v, 0) for v in self.now(each, "x")]

    def table(self, each: dict[str, Any], size: int) -> Word:
        points, one = self.weights[each["table"]], 2 ** each["position"]
        out = []
        for v in self.now(each, "x"):
            i, rest = divmod(abs(v), one)
            value = points[-1] * one if i >= 512 else points[i] * (one - rest) + points[i + 1] * rest
            out.append(value if v >= 0 else -value if each["odd"] else 2**15 * one - value)
        return out

    def attention(self, each: dict[str, Any], size: int) -> Word:
        wide = size // each["heads"]
        q, points, out = self.now(each, "q"), self.weights["exp2"], []
        for head, distances in enumerate(each["distances"]):
            own = range(head * wide, (head + 1) * wide)
            scores = []
            for d in distances:
                k = self.old(each["k"], d)
                exact = sum(q[i] * k[i] for i in own) + self.weights[each["bias"]][head][d]
                score = rounded(Fraction(exact) / Fraction(2) ** each["score_shift"][head])
                scores.append(max(-(2**23), min(2**23 - 1, score)))
            e = []
            for score in scores:
                octaves, part = divmod(max(scores) - score, 4096)
                i, rest = divmod(part, 64)
                value = points[i] + rounded(Fraction((points[i + 1] - points[i]) * rest, 64))
                e.append(rounded(Fraction(value, 2**octaves)))
            for i in own:
                mixed = sum(w * self.old(each["v"], d)[i] for w, d in zip(e, distances, strict=True))
                out.append(rounded(Fraction(mixed * 2 ** channel(each["left"], i), sum(e))))
        return out

    def taps(self, each: dict[str, Any], size: int) -> Word:
        total = list(self.weights[each["bias"]]) if each["bias"] else [0, 0]
        for k in range(each["count"]):
            i, q = self.old(each["x"], each["delay"] + k)
            for name, sign in ((each["gain"], 1), (each["image"], -1)):
                if name:
                    g = self.old(name, k)
                    value = complex(g[k], g[each["count"] + k]) * complex(i, sign * q)  # exact: below 2^53
                    total = [total[0] + int(value.real), total[1] + int(value.imag)]
        return total

    def limit(self, each: dict[str, Any], size: int) -> Word:
        i, q = x = self.now(each, "x")
        if i * i + q * q <= each["beyond"] ** 2:
            return [v * 2 ** each["left"] for v in x]
        length = math.isqrt((i * i + q * q) * 4 ** each["extra"])
        return [rounded(Fraction(v * each["limit"] * 2 ** each["extra"], length)) for v in x]


def run(program: dict[str, Any], weights: dict[str, Any], words: Any) -> Any:
    """The output words of a record from silence."""
    naive = Naive(program, weights)
    return np.array([naive.step(x) for x in words.tolist()])
