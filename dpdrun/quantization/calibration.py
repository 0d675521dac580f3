"""Choose the fraction bits of every tensor from its values over a record.

The values are those of the program itself, in words that are wide enough to lose nothing: 20 fraction bits and more,
which is -100 dB. Their magnitudes are counted in bins of 1/16 octave, so a record of any length takes no more memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dpdrun.quantization import reference
from dpdrun.quantization.integers import Formats, Words, bits_of, fitting_fraction, to_integers
from dpdrun.quantization.network import Network
from dpdrun.quantization.reference import Program, Weights
from dpdrun.recipe.schema import QuantizationSection

WIDE_FRACTION, WIDE_BITS, WIDE_WEIGHTS = 20, 44, 24
BINS_PER_OCTAVE, LOWEST, OCTAVES = 16, -32, 64
HEADROOM = 1.25  # above the largest value of the record: other records have higher peaks, and clipping is costly
PERCENTILE = 99.99
CANDIDATES = 4  # scales that `mse` tries: that of the largest value, and up to 3 bits finer
MAX_SAMPLES, MAX_LOOPED = 2**18, 2**15  # of the record; a network with loops runs a sample at a time
Method = Literal["minmax", "percentile", "mse"]


@dataclass
class Range:
    """Magnitudes of a tensor: largest by channel, and counts by channel and bin of the logarithm."""

    largest: NDArray[np.float64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, channels: int) -> Range:
        """Return the range of a tensor without values."""
        return cls(np.zeros(channels), np.zeros((channels, OCTAVES * BINS_PER_OCTAVE), np.int64))

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values, (T, channels)."""
        size = np.abs(values)
        self.largest = np.maximum(self.largest, size.max(0))
        bins = np.floor((np.log2(np.maximum(size, 2.0**LOWEST)) - LOWEST) * BINS_PER_OCTAVE).astype(np.int64)
        bins = np.clip(bins, 0, self.counts.shape[1] - 1)
        for channel, row in enumerate(self.counts):
            row += np.bincount(bins[:, channel], minlength=len(row))

    def pooled(self) -> Range:
        """Return the range of all channels together."""
        return Range(self.largest.max(keepdims=True), self.counts.sum(0, keepdims=True))

    def fraction(self, bits: int, method: Method) -> NDArray[np.int64]:
        """Return the fraction bits of each channel."""
        exact = fitting_fraction(HEADROOM * self.largest, bits)
        if method == "minmax":
            return exact
        middle = np.exp2(LOWEST + (np.arange(self.counts.shape[1]) + 0.5) / BINS_PER_OCTAVE)
        found = []
        for first, row in zip(exact, self.counts, strict=True):
            total = max(int(row.sum()), 1)
            if method == "percentile":
                inside = np.searchsorted(np.cumsum(row), total * PERCENTILE / 100)
                upper = middle[min(int(inside), len(middle) - 1)] * 2 ** (0.5 / BINS_PER_OCTAVE)
                found.append(max(int(first), int(fitting_fraction(HEADROOM * upper, bits))))
                continue
            errors = []
            for fraction in range(int(first), int(first) + CANDIDATES):
                beyond = np.maximum(HEADROOM * middle - 2.0 ** (bits - 1 - fraction), 0.0)
                errors.append(float(row @ beyond**2) / total + 4.0**-fraction / 12)
            found.append(int(first) + int(np.argmin(errors)))
        return np.array(found, np.int64)


def observe(network: Network, x: NDArray[np.complex128]) -> tuple[dict[str, Range], Network]:
    """Return the ranges of all tensors over a record, and the network without the keys that never had a weight.

    A key is left out if 2^-t was 0 in 15 fraction bits at every sample of the record: a learned relative bias masks
    distances in this way, 23 to 50 % of those of the predistorters of benchmarks/arena.

    Args:
        x: (N,), in units of the capture; its beginning, if it is longer than MAX_SAMPLES.
    """
    x = x[: MAX_LOOPED if network.loops else MAX_SAMPLES]
    largest = max(float(np.abs(x.real).max()), float(np.abs(x.imag).max())) / 2.0**network.x_exponent
    at_port = fitting_fraction(largest, WIDE_FRACTION + 2)
    wide = {name: Words(WIDE_BITS, np.asarray(at_port if name == "x" else WIDE_FRACTION)) for name in network.tensors}
    program, weights = to_integers(network, wide, weight_bits=WIDE_WEIGHTS)
    seen, state = reference.Seen(keep=True), reference.initial_state(program)
    words = reference.to_words(program, x)
    ranges = {name: Range.of(tensor.size) for name, tensor in network.tensors.items()}
    for start in range(0, len(words), 4096):
        _, state = reference.step(program, weights, words[start : start + 4096], state, seen)
        for name, values in seen.trace.items():
            ranges[name].add(values * np.exp2(-wide[name].fraction.astype(float)))
    steps = [
        {**each, "distances": [np.flatnonzero(~row).tolist() for row in seen.negligible[each["out"]]]}
        if each["op"] == "attention" else each
        for each in network.steps
    ]  # fmt: skip
    return ranges, replace(network, steps=steps)


def choose(network: Network, ranges: dict[str, Range], settings: QuantizationSection) -> Formats:
    """Return the words of every tensor: as many fraction bits as its range allows."""
    formats: dict[str, Words] = {}
    for name, tensor in network.tensors.items():
        bits = bits_of(name, tensor, network, settings)
        alone = settings.per_channel == "all" and not (tensor.shared or tensor.unit) and tensor.size > 1
        found = ranges[name] if alone else ranges[name].pooled()
        method: Method = "minmax" if tensor.width == "port" else settings.scales
        fraction = np.full(1, bits - 1) if tensor.unit else found.fraction(bits, method)
        formats[name] = Words(bits, fraction if alone else np.asarray(fraction[0]))
    for each in network.steps:
        if each["op"] == "table":  # an interval is at least one word
            formats[each["x"]] = _at_least(formats[each["x"]], each["interval"])
        if each["op"] == "multiply" and each.get("add"):  # it is shifted left to the product
            product = formats[each["a"]].fraction + formats[each["b"]].fraction
            added = formats[each["add"]]
            formats[each["add"]] = Words(added.bits, np.minimum(added.fraction, product))
        if each["op"] == "limit":  # so is what is not limited
            formats["y"] = _at_least(formats["y"], formats[each["x"]].fraction)
    return formats


def _at_least(words: Words, fraction: NDArray[np.int64] | int) -> Words:
    return Words(words.bits, np.maximum(words.fraction, fraction))


def quantize(network: Network, ranges: dict[str, Range], settings: QuantizationSection) -> tuple[Program, Weights]:
    """Return the program of a network, with the scales that its ranges require.

    Raises:
        RunError: a sum of products can need more bits than `settings.accumulator`.
    """
    return to_integers(
        network,
        choose(network, ranges, settings),
        weight_bits=settings.weights,
        accumulator=settings.accumulator,
        by_row=settings.per_channel != "off",
    )


def decibel(changed: NDArray[np.complex128], exact: NDArray[np.complex128]) -> float:
    """Return the power of a change over that of the exact output [dB]."""
    power = float(np.square(np.abs(changed - exact)).sum()) / float(np.square(np.abs(exact)).sum())
    return 10 * math.log10(max(power, 1e-40))
