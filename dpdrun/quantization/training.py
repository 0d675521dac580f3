"""Fine-tune the weights of a network for its words: quantization-aware training with straight-through estimators.

The forward pass is the integer program itself (`reference`), so that what is trained is what runs, to the last bit. The
gradient is that of the network in floating point at the rounded weights and tensors: rounding passes it unchanged, a
clipped word stops it (Bengio, Leonard, Courville, "Estimating or propagating gradients through stochastic neurons",
arXiv 1308.3432, 2013). Scales stay as calibrated. The target is the output of the network before rounding, so no
measured output and no PA model is needed: the change caused by rounding is minimized.

Shapes: B frames, T samples, n channels, W window, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dpdrun.errors import RunError
from dpdrun.quantization import reference
from dpdrun.quantization.calibration import Range, choose
from dpdrun.quantization.integers import Formats, sum_fractions, to_integers
from dpdrun.quantization.network import Network, Step
from dpdrun.recipe.schema import QuantizationSection

FRAMES, FRAME = 8, 448  # a step sees FRAMES x FRAME samples; those at the start of a frame only give context
SETTLING = 64  # samples of context of a network with loops, which never forgets completely
STEP_WORDS = 0.1  # learning rate at the start, in the weight of the last bit
Values = dict[str, Tensor]


class Forward:
    """A network in floating point on frames that are preceded by zeros, with a gradient.

    Args:
        weights: by name, in place of those of the network.
        words: by tensor, the rounded values, (B, T, n), and where they were clipped; None = no rounding.
    """

    def __init__(
        self, network: Network, weights: Mapping[str, Tensor], words: Mapping[str, tuple[Tensor, Tensor]] | None = None
    ) -> None:
        self.network, self.weights, self.words = network, weights, words
        self.values: Values = {}
        self.before: Values = {}  # in a loop: the values of the last sample

    def run(self, x: Tensor) -> Tensor:
        """Return the output of frames: (B, T, 2) -> (B, T, 2)."""
        steps, at = self.network.steps, 0
        self.values["x"] = x
        for first, last in [*self.network.loops, [len(steps), len(steps)]]:
            for each in steps[at:first]:
                self.values[each["out"]] = self._rounded(each["out"], self._do(each))
            if first < len(steps):
                self._loop(steps[first:last])
            at = last
        return self.values["y"]

    def _loop(self, steps: list[Step]) -> None:
        outside, made = self.values, [each["out"] for each in steps]
        B, T = outside["x"].shape[:2]
        self.before = {n: outside["x"].new_zeros(B, 1, self.network.tensors[n].size) for n in made}
        rows: dict[str, list[Tensor]] = {name: [] for name in made}
        for t in range(T):
            self.values = {name: value[:, t : t + 1] for name, value in outside.items()}
            for each in steps:
                self.values[each["out"]] = self._rounded(each["out"], self._do(each), t)
            self.before = {name: self.values[name] for name in made}
            for name in made:
                rows[name].append(self.values[name])
        self.values, self.before = outside | {name: torch.cat(each, 1) for name, each in rows.items()}, {}

    def _rounded(self, name: str, value: Tensor, t: int | None = None) -> Tensor:
        if self.words is None:
            return value
        word, clipped = (each if t is None else each[:, t : t + 1] for each in self.words[name])
        passed: Tensor = torch.where(clipped, word, value + (word - value).detach())
        return passed

    def _read(self, name: str, delay: int = 0) -> Tensor:
        if delay == 0:
            return self.values[name]
        return self.before[name] if name in self.before else F.pad(self.values[name], (0, 0, delay, 0))[:, :-delay]

    def _do(self, each: Step) -> Tensor:
        done: Tensor = getattr(self, f"_{each['op']}")(each)
        return done

    def _linear(self, each: Step) -> Tensor:
        total = self.weights[each["bias"]] if each["bias"] else self.values["x"].new_zeros(())
        for term in each["terms"]:
            x = self._read(term["x"], term["delay"])
            total = total + (x if term["weight"] is None else x @ self.weights[term["weight"]].T)
        return total.expand(*self.values["x"].shape[:2], self.network.tensors[each["out"]].size)

    def _fir(self, each: Step) -> Tensor:
        taps = self.weights[each["weight"]]
        return torch.stack([row * self._read(each["x"], len(taps) - 1 - d) for d, row in enumerate(taps)]).sum(0)

    def _power(self, each: Step) -> Tensor:
        return self._read(each["x"]).square().sum(-1, keepdim=True)

    def _magnitude(self, each: Step) -> Tensor:
        return (self._power(each) + 1e-12).sqrt()

    def _multiply(self, each: Step) -> Tensor:
        product = self._read(each["a"]) * self._read(each["b"])
        return product + self._read(each["add"]) if each.get("add") else product

    def _blend(self, each: Step) -> Tensor:
        z, a, b = self._read(each["x"]), self._read(each["a"]), self._read(each["b"], 1)
        return a + z * (b - a)

    def _relu(self, each: Step) -> Tensor:
        return self._read(each["x"]).relu()

    def _table(self, each: Step) -> Tensor:
        return FUNCTIONS[each["table"]](self._read(each["x"]))

    def _attention(self, each: Step) -> Tensor:
        H, W = each["heads"], each["window"]
        q = self._read(each["q"])
        k, v = (F.pad(self._read(each[name]), (0, 0, W - 1, 0)).unfold(1, W, 1) for name in ("k", "v"))  # (B, T, n, W)
        E, outputs = q.shape[-1] // H, []
        for head, distances in enumerate(each["distances"]):
            part, at = slice(head * E, (head + 1) * E), torch.as_tensor(distances)
            scores = (q[..., part, None] * k[..., part, W - 1 - at]).sum(-2) + self.weights[each["bias"]][head, at]
            share = (scores * math.log(2)).softmax(-1)
            outputs.append((share[..., None, :] * v[..., part, W - 1 - at]).sum(-1))
        return torch.cat(outputs, -1)

    def _taps(self, each: Step) -> Tensor:
        count = each["count"]
        total = self.weights[each["bias"]] if each["bias"] else self.values["x"].new_zeros(())
        for k in range(count):
            i, q = self._read(each["x"], each["delay"] + k).unbind(-1)
            for name, sign in ((each["gain"], 1), (each["image"], -1)):
                if name:
                    g = self._read(name, k)
                    re, im = g[..., k], g[..., count + k]
                    total = total + torch.stack([re * i - sign * im * q, sign * re * q + im * i], -1)
        return total

    def _limit(self, each: Step) -> Tensor:
        x = self._read(each["x"])
        limited: Tensor = x * (
            each["limit"] / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min(each["limit"])
        )
        return limited


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "normal": torch.special.ndtr,
}


def fine_tune(
    network: Network,
    ranges: dict[str, Range],
    settings: QuantizationSection,
    x: NDArray[np.complex128],
    *,
    steps: int,
    context: int | None,
    seed: int = 0,
    doing: Callable[[str], None] = lambda _: None,
) -> tuple[reference.Program, reference.Weights]:
    """Return the program of a network with weights for which rounding changes the output least.

    Args:
        network, ranges: from `calibration.observe`; the scales are those of `calibration.quantize`.
        x: record to train on, (N,), in units of the capture.
        steps: of AdamW, with a learning rate that falls as a cosine.
        context: past samples that an output depends on; None = it has no limit.
        seed: of the order of the frames.
        doing: called with what is being done.

    Raises:
        RunError: a sum of products can need more bits than `settings.accumulator`.
    """
    formats = choose(network, ranges, settings)
    options: dict[str, Any] = {"weight_bits": settings.weights, "by_row": settings.per_channel != "off"}
    options["sums"] = sum_fractions(network, formats, **options)

    def program_of(weights: Mapping[str, Tensor], accumulator: int | None = None) -> Any:
        arrays = {name: value.detach().numpy() for name, value in weights.items()}
        return to_integers(replace(network, weights=arrays), formats, accumulator=accumulator, **options)

    weights = {name: torch.tensor(value, requires_grad=True) for name, value in network.weights.items()}
    exact = {name: value.detach().clone() for name, value in weights.items()}
    program, _ = program_of(weights)
    groups = zip(weights.values(), _last_bits(program, weights), strict=True)
    optimizer = torch.optim.AdamW(
        [{"params": [value], "lr": STEP_WORDS * size} for value, size in groups],
        betas=(0.9, 0.99), eps=1e-12, weight_decay=0.0,
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    before = (SETTLING if context is None else context) + network.lookahead
    frames, order = _frames(reference.to_words(program, x), before), np.random.default_rng(seed)
    for step in range(steps):
        doing(f"fine-tuning, step {step + 1} of {steps}")
        words = frames[order.integers(len(frames), size=FRAMES)]
        with torch.no_grad():
            target = Forward(network, exact).run(_values(words, formats["x"].fraction))[:, before:]
        error = through_words(network, program_of(weights), weights, formats, words)[:, before:] - target
        optimizer.zero_grad()
        (error.square().mean() / target.square().mean()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    found: tuple[reference.Program, reference.Weights] = program_of(weights, settings.accumulator)
    return found


def _last_bits(program: reference.Program, names: Iterable[str]) -> list[float]:
    """Return the weight of the last bit of each array; of those that are kept at the precision of a sum, the median."""
    matrices = {term["weight"] for each in program["steps"] for term in each.get("terms", ()) if term["weight"]}
    matrices |= {each["weight"] for each in program["steps"] if each["op"] == "fir"}
    found = {name: float(np.exp2(-np.max(program["weights"][name]["fraction"]))) for name in matrices}
    middle = float(np.median(list(found.values()))) if found else 2.0**-10
    return [found.get(name, middle) for name in names]


def through_words(
    network: Network,
    rounded: tuple[reference.Program, reference.Weights],
    weights: Mapping[str, Tensor],
    formats: Formats,
    words: NDArray[np.int64],
) -> Tensor:
    """Return the output of the integer program, (B, T, 2), with the gradient to the weights before rounding."""
    program, integers = rounded
    seen = reference.Seen(keep=True)
    reference.step(program, integers, words, reference.initial_state(program), seen)
    traced = {name: _values(value, formats[name].fraction) for name, value in seen.trace.items()}
    limits = {name: 2 ** (formats[name].bits - 1) for name in traced}
    kept = {
        name: (traced[name], torch.as_tensor((value == limits[name] - 1) | (value == -limits[name])))
        for name, value in seen.trace.items()
    }
    quantized = {
        name: value + (_values(integers[name], np.asarray(program["weights"][name]["fraction"])) - value).detach()
        for name, value in weights.items()
    }
    return Forward(network, quantized, kept).run(traced["x"])


def _values(words: NDArray[np.int64], fraction: Any) -> Tensor:
    return torch.as_tensor(words * np.exp2(-np.asarray(fraction, np.float64)))


def _frames(words: NDArray[np.int64], before: int) -> NDArray[np.int64]:
    """Cut a record into frames that overlap by their context: (frames, FRAME, 2)."""
    length = min(max(FRAME, 3 * before), len(words))
    if length <= before:
        raise RunError(f"fine-tuning needs frames of more than {before} samples, and the record has {len(words)}")
    view = np.lib.stride_tricks.sliding_window_view(words, length, axis=0)[:: max(1, length - before)]
    return np.ascontiguousarray(view.transpose(0, 2, 1))
