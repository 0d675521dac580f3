"""Run a fixed-point program in NumPy int64: the definition that other implementations reproduce bit by bit.

This file needs only NumPy and may be copied. A program is a list of operations for one sample, in order, on named
tensors of integer words; a word v of a tensor with f fraction bits stands for v / 2^f.

    program, weights = load("model.npz")
    y = run(program, weights, x)                                           # a complete record, complex
    state = initial_state(program)
    y, state = step(program, weights, words, state)                        # a chunk: integers (T, 2) -> (T, 2)

Arithmetic, the same everywhere:

    accumulate   exactly, in integers; no partial sum is rounded
    rescale      a shift right by s bits rounds half up, (v + 2^(s - 1)) >> s, with >> rounding to minus infinity; a
                 negative shift multiplies by 2^-s; a list holds one shift for each channel
    divide       rounds half up: floor((2 a + b) / (2 b)), b > 0
    root         floor(sqrt(v))
    store        saturates to the two's-complement words of the tensor

`state` holds, for each tensor that is read with a delay, its last words, oldest first; a new record begins with zeros.
Operations in `loops` [first, last) read words of the sample before that they themselves make: they run a sample at a
time. Shapes: T samples, n channels, W window, H heads, E = n / H; leading axes, before T, are independent records.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Program = dict[str, Any]
Weights = dict[str, Array]
State = dict[str, Array]
SCORE_FRACTION = 12  # fraction bits of attention scores, in octaves
SCORE_BITS = 24
WEIGHT_FRACTION = 15  # of 2^-t, and of the tables of functions
EXP_INDEX_BITS = 6  # the table of 2^-f has 64 intervals


class Seen:
    """What a run reports beside its output; pass one to `step` or `run` to fill it.

    Attributes:
        saturated: by tensor, stored words that were clipped.
        stored: by tensor, all stored words.
        largest: by operation, the largest magnitude of an accumulator.
        trace: by tensor, the words of the last call, if `keep` is set.
        negligible: by attention, (H, W): whether a key had a weight of 0 at every sample.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.saturated: dict[str, int] = {}
        self.stored: dict[str, int] = {}
        self.largest: dict[str, int] = {}
        self.trace: dict[str, Array] = {}
        self.negligible: dict[str, Array] = {}

    def accumulator(self, name: str, *values: Array) -> None:
        """Note the largest magnitude of accumulators."""
        largest = max((int(np.abs(value).max()) for value in values if value.size), default=0)
        self.largest[name] = max(self.largest.get(name, 0), largest)

    def word(self, name: str, exact: Array, kept: Array) -> None:
        """Note how many words were clipped."""
        self.saturated[name] = self.saturated.get(name, 0) + int(np.count_nonzero(exact != kept))
        self.stored[name] = self.stored.get(name, 0) + kept.size

    def over_bounds(self, program: Program) -> list[str]:
        """Return the operations whose accumulator exceeded the bound that the program states: none, or it is wrong."""
        bits = {each["out"]: each["accumulator_bits"] for each in program["steps"]}
        return [name for name, largest in self.largest.items() if largest >= 2 ** (bits[name] - 1)]


def load(path: str | Path) -> tuple[Program, Weights]:
    """Load the program (dict) and its weights (dict of int64 arrays) of a file."""
    with np.load(path, allow_pickle=False) as archive:
        program = json.loads(str(archive["program"]))
        weights = {name: archive[f"weights/{name}"].astype(np.int64) for name in program["weights"]}
    return program, weights


def initial_state(program: Program) -> State:
    """Return the state of a new record: zeros."""
    tensors = program["tensors"]
    return {name: np.zeros((rows, tensors[name]["size"]), np.int64) for name, rows in program["history"].items()}


def run(program: Program, weights: Weights, x: Array, chunk: int = 2048, seen: Seen | None = None) -> Array:
    """Return the output for a complete record, padded with zeros because look-ahead delays it. x: (N,) complex."""
    late = program["lookahead"]
    words = np.concatenate([to_words(program, x), np.zeros((late, 2), np.int64)])
    state, outputs = initial_state(program), []
    for start in range(0, len(words), chunk):
        y, state = step(program, weights, words[start : start + chunk], state, seen)
        outputs.append(y)
    return from_words(program, np.concatenate(outputs)[late:])


def to_words(program: Program, x: Array) -> Array:
    """Round samples to the words of the input: (N,) complex, in units of the capture -> (N, 2)."""
    port = program["input"]
    pairs = np.stack([x.real, x.imag], axis=-1).astype(np.float64)
    return clip(np.floor(pairs * 2.0 ** port["fraction"] + 0.5).astype(np.int64), port["bits"])


def from_words(program: Program, y: Array) -> Array:
    """Return what words of the output stand for: (N, 2) -> (N,) complex, in units of the capture."""
    values = y * 2.0 ** -program["output"]["fraction"]
    return np.asarray(values[..., 0] + 1j * values[..., 1])


class _Chunk:
    """Words of the tensors of one chunk, and those before it."""

    def __init__(self, state: State, leading: tuple[int, ...], length: int) -> None:
        self.state, self.leading, self.length = state, leading, length
        self.values: dict[str, Array] = {}
        self._joined: dict[str, Array] = {}

    def joined(self, name: str) -> Array:
        """Return the past and the chunk: (rows + T, n)."""
        if name not in self._joined:
            self._joined[name] = np.concatenate([self.state[name], self.values[name]], axis=-2)
        return self._joined[name]

    def read(self, name: str, delay: int = 0) -> Array:
        """Return the words of `delay` samples ago: (T, n)."""
        if delay == 0:
            return self.values[name]
        rows = self.state[name].shape[-2]
        if name not in self.values:  # made later in this sample: inside a loop, where T = 1
            return self.state[name][..., rows - delay : rows - delay + 1, :]
        return self.joined(name)[..., rows - delay : rows - delay + self.length, :]

    def window(self, name: str, length: int) -> Array:
        """Return the last `length` words of each sample, oldest first: (T, n, length)."""
        rows = self.state[name].shape[-2]
        view = np.lib.stride_tricks.sliding_window_view(self.joined(name), length, axis=-2)
        return view[..., rows - (length - 1) :, :, :]


def step(program: Program, weights: Weights, x: Array, state: State, seen: Seen | None = None) -> tuple[Array, State]:
    """Continue a stream. x: (T, 2) words, the state -> y: (T, 2) words, the state for the next call."""
    steps, length = program["steps"], x.shape[-2]
    state = {name: np.broadcast_to(past, (*x.shape[:-2], *past.shape[-2:])) for name, past in state.items()}
    chunk = _Chunk(state, x.shape[:-2], length)
    chunk.values[program["input"]["tensor"]] = np.asarray(x, np.int64)
    at = 0
    for first, last in [*program["loops"], [len(steps), len(steps)]]:
        for each in steps[at:first]:
            _do(each, program, weights, chunk, seen)
        if first < len(steps):
            _loop(steps[first:last], program, weights, chunk, seen)
        at = last
    if seen is not None and seen.keep:
        seen.trace = chunk.values
    after = {name: chunk.joined(name)[..., -rows:, :] for name, rows in program["history"].items()}
    return chunk.values[program["output"]["tensor"]], after


def _loop(steps: list[Any], program: Program, weights: Weights, chunk: _Chunk, seen: Seen | None) -> None:
    """Run operations that need their own words of the sample before, a sample at a time."""
    made = [each["out"] for each in steps]
    given = {each for part in steps for each in _reads(part) if each in chunk.values}
    own = {name: chunk.state[name] for name in made if name in chunk.state}
    outputs: dict[str, list[Array]] = {name: [] for name in made}
    for t in range(chunk.length):
        now = _Chunk(own, chunk.leading, 1)
        now.values = {name: chunk.values[name][..., t : t + 1, :] for name in given}
        for each in steps:
            _do(each, program, weights, now, seen)
        own = {name: now.joined(name)[..., 1:, :] for name in own}
        for name in made:
            outputs[name].append(now.values[name])
    for name, rows in outputs.items():
        chunk.values[name] = np.concatenate(rows, axis=-2)


def _reads(each: dict[str, Any]) -> list[str]:
    """Return the tensors that an operation reads."""
    return [each[key] for key in ("x", "a", "b", "add", "q", "k", "v", "gain", "image") if each.get(key)] + [
        term["x"] for term in each.get("terms", ())
    ]


def _do(each: dict[str, Any], program: Program, weights: Weights, chunk: _Chunk, seen: Seen | None) -> None:
    """Run one operation: accumulate, rescale, saturate, store."""
    out = each["out"]
    total = OPERATIONS[each["op"]](each, weights, chunk, seen)
    if seen is not None:
        seen.accumulator(out, total)
    exact = rescale(total, each["shift"])
    kept = clip(exact, program["tensors"][out]["bits"])
    if seen is not None and each["op"] != "table":  # there 1 becomes the largest word below it: no peak was clipped
        seen.word(out, exact, kept)
    chunk.values[out] = kept


def rescale(v: Array, shift: int | list[int]) -> Array:
    """Shift right by `shift` bits, half up; a negative shift is a multiplication. A list has one for each channel."""
    if isinstance(shift, int):  # as below, quickly
        return (v + (1 << shift >> 1)) >> shift if shift >= 0 else v * (1 << -shift)
    s = np.asarray(shift, np.int64)
    right, left = np.maximum(s, 0), np.maximum(-s, 0)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    return np.asarray(((v + half) >> right) * (np.int64(1) << left))


def shifted_left(v: Array, bits: int | list[int]) -> Array:
    """Multiply by 2^bits; a list has one for each channel."""
    if isinstance(bits, int):
        return v * (1 << bits) if bits else v
    return np.asarray(v * (np.int64(1) << np.asarray(bits, np.int64)))


def clip(v: Array, bits: int) -> Array:
    """Saturate to two's-complement words."""
    return np.asarray(np.minimum(np.maximum(v, -(1 << (bits - 1))), (1 << (bits - 1)) - 1))


def root(v: Array) -> Array:
    """Return floor(sqrt(v)) of integers below 2^62: the float root is at most one off."""
    r = np.floor(np.sqrt(v.astype(np.float64))).astype(np.int64)
    r -= r * r > v
    return np.asarray(r + ((r + 1) * (r + 1) <= v))


def divide(a: Array, b: Array) -> Array:
    """Return a / b rounded half up, b > 0."""
    return np.asarray((2 * a + b) // (2 * b))


def linear(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Sum matrices times tensors, tensors as they are (no weight), and a bias: (T, n).

    A term: {x, delay, weight: name of (n, m) or null, left: shift left of the product, one or one for each row}.
    """
    total = np.zeros((*chunk.leading, chunk.length, 1), np.int64) + (weights[each["bias"]] if each["bias"] else 0)
    for term in each["terms"]:
        x = chunk.read(term["x"], term["delay"])
        product = x if term["weight"] is None else x @ weights[term["weight"]].T
        total = total + shifted_left(product, term["left"])
    return np.asarray(total)


def fir(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Filter each channel with its own taps: sum over d of taps[d] x[taps - 1 - d samples ago]. weight: (taps, n)."""
    taps = weights[each["weight"]]
    terms = [row * chunk.read(each["x"], len(taps) - 1 - d) for d, row in enumerate(taps)]
    return np.asarray(np.sum(terms, axis=0))


def power(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Return I^2 + Q^2: (T, 1)."""
    x = chunk.read(each["x"])
    return np.asarray((x * x).sum(-1, keepdims=True))


def magnitude(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:
    """Return the root of I^2 + Q^2, with `extra` more fraction bits than I and Q: (T, 1)."""
    return root(power(each, weights, chunk, seen) << (2 * each["extra"]))


def multiply(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Multiply channel by channel: a b, plus the tensor `add` shifted left by `left` if it is there."""
    product = chunk.read(each["a"]) * chunk.read(each["b"])
    if each.get("add"):
        product = product + shifted_left(chunk.read(each["add"]), each["left"])
    return product


def blend(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Return (1 - z) a + z b as a 2^left + z (b - a), with z = `x` of `left` fraction bits and b one sample old."""
    z, a, b = chunk.read(each["x"]), chunk.read(each["a"]), chunk.read(each["b"], 1)
    return np.asarray(shifted_left(a, each["left"]) + z * (b - a))


def relu(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Return max(x, 0)."""
    return np.maximum(chunk.read(each["x"]), 0)


def table(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Interpolate a function linearly between the points of a table, which holds x >= 0 with 15 fraction bits.

    The last point holds beyond the table. x < 0 is minus the value for -x (`odd`), or 1 minus it. `position` bits of a
    word are below an interval; the result has 15 + position fraction bits.
    """
    points, x, position = weights[each["table"]], chunk.read(each["x"]), each["position"]
    size = np.minimum(np.abs(x), (len(points) - 1) << position)
    index = np.minimum(size >> position, len(points) - 2)
    rest = size - (index << position)
    value = points[index] * (1 << position) + (points[index + 1] - points[index]) * rest
    mirror = 0 if each["odd"] else 1 << (WEIGHT_FRACTION + position)
    return np.asarray(np.where(x < 0, mirror - value, value))


def attention(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:
    """Attend to the samples at the `distances` of each head, with weights 2^-(largest score - score).

    Scores: q k + bias (H, W, by distance), rescaled by `score_shift` (one for each head) to 12 fraction bits, stored in
    24 bits. 2^-t = table[first 6 fraction bits of t], interpolated by the other 6, then shifted right by the integer
    part of t (half up). The result is the quotient of sum e (v << left) and sum e.
    """
    H, W = each["heads"], each["window"]
    q, bias = chunk.read(each["q"]), weights[each["bias"]]
    k, v = chunk.window(each["k"], W), chunk.window(each["v"], W)  # (T, n, W), oldest first
    E = q.shape[-1] // H
    left = np.broadcast_to(np.asarray(each["left"], np.int64), q.shape[-1])
    outputs = []
    for head in range(H):
        part, at = slice(head * E, (head + 1) * E), np.asarray(each["distances"][head])
        near, values = k[..., part, W - 1 - at], v[..., part, W - 1 - at]  # (T, E, kept)
        exact = (q[..., part, None] * near).sum(-2) + bias[head, at]  # (T, kept)
        score = clip(rescale(exact, each["score_shift"][head]), SCORE_BITS)
        e = exp2_negative(score.max(-1, keepdims=True) - score, weights["exp2"])
        total, mixed = e.sum(-1)[..., None], (e[..., None, :] * values).sum(-1) * (np.int64(1) << left[part])
        outputs.append(divide(mixed, total))
        if seen is not None:
            seen.accumulator(each["out"], exact, 2 * np.abs(mixed) + total)
            silent = seen.negligible.setdefault(each["out"], np.ones((H, W), bool))
            silent[head, at] &= ~e.any(axis=tuple(range(e.ndim - 1)))
    return np.concatenate(outputs, axis=-1)


def exp2_negative(t: Array, points: Array) -> Array:
    """Return 2^-t with 15 fraction bits; t >= 0 has 12. points: 65 of 2^-f, f = 0 .. 1."""
    below = SCORE_FRACTION - EXP_INDEX_BITS
    octaves = np.minimum(t >> SCORE_FRACTION, 31)  # 2^-17 and less round to 0
    index, rest = (t >> below) & (2**EXP_INDEX_BITS - 1), t & (2**below - 1)
    value = points[index] + rescale((points[index + 1] - points[index]) * rest, below)
    half = np.where(octaves > 0, np.int64(1) << np.maximum(octaves - 1, 0), 0)
    return np.asarray((value + half) >> octaves)


def taps(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:
    """Filter with complex taps that change from sample to sample: sum over k of gain_k[n - k] x[n - k], plus a bias.

    gain: (T, 2 K), real parts of the K taps, then imaginary parts; read at the same sample as x, which is `delay`
    samples old. `image`, if there, holds the taps of conj(x).
    """
    count = each["count"]
    total = np.zeros((*chunk.read(each["gain"]).shape[:-1], 2), np.int64)
    for k in range(count):
        x = chunk.read(each["x"], each["delay"] + k)
        for name, sign in ((each["gain"], 1), (each["image"], -1)):
            if name:
                g = chunk.read(name, k)
                re, im, i, q = g[..., k], g[..., count + k], x[..., 0], sign * x[..., 1]
                total = total + np.stack([re * i - im * q, re * q + im * i], axis=-1)
    if seen is not None:
        seen.accumulator(each["out"], total)
    return total + weights[each["bias"]] if each["bias"] else total


def limit(each: dict[str, Any], weights: Weights, chunk: _Chunk, seen: Seen | None) -> Array:  # noqa: ARG001
    """Scale samples beyond a limit back to it: x limit / |x|, |x| with `extra` more fraction bits; else x << left.

    beyond: the limit in words of x; limit: in words of the result.
    """
    x = chunk.read(each["x"])
    square = (x * x).sum(-1, keepdims=True)
    size = np.maximum(root(square << (2 * each["extra"])), 1)
    scaled = divide(x * (each["limit"] << each["extra"]), size)
    return np.where(square > each["beyond"] ** 2, scaled, x * (1 << each["left"]))


OPERATIONS: dict[str, Callable[[dict[str, Any], Weights, _Chunk, Seen | None], Array]] = {
    "linear": linear,
    "fir": fir,
    "power": power,
    "magnitude": magnitude,
    "multiply": multiply,
    "blend": blend,
    "relu": relu,
    "table": table,
    "attention": attention,
    "taps": taps,
    "limit": limit,
}
