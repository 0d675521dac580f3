"""Cost of a plan: parameters and multiply-accumulates in closed form, and an estimate of time and memory here.

Free of torch, so that `dpdrun recommend` is quick. The time of a step is modelled as a sum of what its work
takes: a constant, matrix arithmetic, attention, element-wise passes over memory, and one pass of the optimizer. The
seconds for a unit of each were fitted to measured steps on one core of one machine (benchmarks/effort, with the errors
of the estimates); a short benchmark in numpy scales them to this machine.

Shapes: D = d_model, H heads, W = window, L layers, S = samples in an optimizer step.
"""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dpdrun.models import CHUNK_SAMPLES
from dpdrun.recipe.schema import GMPModel, GRUModel, ModelSection, TransformerModel

FEATURES = {"iq": 2, "envelope": 4}  # as models/_features.py
FULL_ATTENTION_MACS_LENGTH = 256  # as models/transformer.py: the record that MACs are stated for
SMALLEST_HALF = 8  # as there: hidden width of `embedding: layernorm_mlp`


@dataclass(frozen=True)
class Size:
    """Trainable parameters, and real multiply-accumulates for one output sample."""

    parameters: int
    macs_per_sample: int


def size_of(model: ModelSection) -> Size:
    """Count a model without building it; equal to the counts of the built one."""
    if isinstance(model, TransformerModel):
        return _transformer(model)
    return _gru(model) if isinstance(model, GRUModel) else _gmp(model)


def samples_seen(model: TransformerModel) -> int | None:
    """Return the input samples that one output depends on, its own included; None where there is no limit."""
    if model.window == "full":
        return None
    return model.layers * (model.window - 1) + max(model.conv - 1, 0) + 1 + model.lookahead


def _transformer(model: TransformerModel) -> Size:
    D, L, inputs = model.d_model, model.layers, FEATURES[model.features]
    wide = max(1, round(model.ff_mult * D))
    matrices, vectors = inputs * D, D  # embedding: weights and bias
    if model.embedding == "layernorm_mlp":
        half = max(D // 2, SMALLEST_HALF)
        matrices, vectors = (inputs + D) * half, 3 * half + D
    wide_in = 2 * wide if model.activation == "bilinear" else wide
    matrices += L * (4 * D * D + D * (wide_in + wide)) + 2 * D
    norms, biases = 4 * D if model.norm == "layer" else 0, 4 * D if model.attention_bias == "all" else 2 * D
    vectors += L * (norms + biases + wide_in + D) + 2  # the last: biases of the MLP, and of the head
    matrices += 2 * inputs if model.skip == "on" else 0
    matrices += 4 * model.lookahead
    positions = L * model.heads * model.window if model.positions == "relative" and model.window != "full" else 0
    keys = FULL_ATTENTION_MACS_LENGTH if model.window == "full" else model.window
    taps = model.conv * D
    return Size(matrices + vectors + positions + taps, matrices + taps + L * 2 * keys * D)


def _gru(model: GRUModel) -> Size:
    inputs, h = FEATURES[model.features], model.hidden
    matrices = 3 * h * (inputs + h) + (model.layers - 1) * 6 * h * h + 2 * h
    matrices += 2 * inputs if model.skip == "on" else 0
    return Size(matrices + model.layers * 6 * h + 2, matrices)


def _gmp(model: GMPModel) -> Size:
    crossed = 2 * model.cross * (model.order - 1)
    conjugated = model.order if model.conjugate == "on" else 0
    coefficients = 2 * model.delays * (model.order + crossed + conjugated)
    products = 4 * model.delays * (2 if conjugated else 1)
    return Size(coefficients + (2 if model.constant == "on" else 0), coefficients + products)


@dataclass(frozen=True)
class MachineSpeed:
    """Speed of one core of this machine: seconds for a unit of three kinds of work, each the best of a few tries.

    Attributes:
        matrix: of one multiply-accumulate in a product of 64 x 64 float32 matrices.
        memory: of one float32 element read, multiplied and written, in arrays of 4 MiB.
        call: of one operation on a tiny array: the overhead of calling a kernel.
    """

    matrix: float
    memory: float
    call: float


def measure_speed() -> MachineSpeed:
    """Run the numpy benchmark, about 20 ms. Small products, so that BLAS takes one thread for them."""
    import numpy as np

    a = np.full((64, 64), 0.5, np.float32)
    product = np.empty_like(a)
    large = np.full(1 << 20, 0.5, np.float32)
    result = np.empty_like(large)
    tiny = np.zeros(8, np.float32)

    def best(work: Callable[[], object], count: int, tries: int) -> float:
        found = math.inf
        for _ in range(tries):
            began = time.perf_counter()
            for _ in range(count):
                work()
            found = min(found, (time.perf_counter() - began) / count)
        return found

    return MachineSpeed(
        matrix=best(lambda: np.matmul(a, a, out=product), 50, 8) / 64**3,
        memory=best(lambda: np.multiply(large, large, out=result), 2, 8) / large.size,
        call=best(lambda: np.add(tiny, tiny, out=tiny), 500, 5),
    )


@dataclass(frozen=True)
class Workload:
    """Amounts of work by kind, for a step, a scoring, or memory."""

    step: dict[str, float]
    score: dict[str, float]
    step_memory: dict[str, float]
    score_memory: dict[str, float]


# Which property of the machine each kind of work goes with.
SCALES_WITH = {"once": "call", "each sample in turn": "call", "matrix": "matrix", "scores": "memory", "wide": "memory"}


def workload_of(
    model: TransformerModel | GRUModel, *, batch: int, frame: int, val_samples: int, chunk: int = CHUNK_SAMPLES
) -> Workload:
    """Count the work of one optimizer step and of one scoring of the validation split.

    "matrix" counts multiply-accumulates, "scores" the attention scores that are computed (twice the window for each
    sample, in blocks), "wide" features of all samples, "each sample in turn" the steps of a recurrence. A scoring holds
    the work of `chunk` samples at a time.
    """
    macs, S = size_of(model).macs_per_sample, batch * frame
    V = min(val_samples, chunk)
    if isinstance(model, GRUModel):
        h, L = model.hidden, model.layers
        return Workload(
            {"once": 1, "each sample in turn": frame * L, "matrix": S * macs, "wide": S * h * L},
            {"once": 1, "each sample in turn": val_samples * L, "matrix": val_samples * macs},
            {"once": 1, "wide": S * h * L},
            {"once": 1, "wide": V * h},
        )
    D, L, keys = model.d_model, model.layers, 2 * int(model.window) * model.heads
    linear = macs - L * 2 * int(model.window) * D
    return Workload(
        {"once": 1, "matrix": S * linear, "scores": S * L * keys, "wide": S * D},
        {"once": 1, "matrix": val_samples * linear, "scores": val_samples * L * keys, "wide": val_samples * D * L},
        {"once": 1, "scores": S * L * keys, "wide": S * D * L, "weights": size_of(model).parameters},
        {"once": 1, "scores": V * keys, "wide": V * D},
    )


# benchmarks/effort: `python -m benchmarks.effort.fit` prints these. Times in units of `Speed`, memory in bytes.
# BEGIN FITTED
COSTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "transformer": {
        "step": {"once": 3530.0, "matrix": 3.95, "scores": 176.0, "wide": 450.0},
        "score": {"once": 34100.0, "matrix": 2.52, "scores": 77.9},
        "step_memory": {"once": 91900000.0, "scores": 11.7, "wide": 88.8, "weights": 46.0},
        "score_memory": {"once": 88800000.0, "scores": 11.8, "wide": 60.3},
    },
    "gru": {
        "step": {"once": 9620.0, "each sample in turn": 294.0, "matrix": 4.07, "wide": 245.0},
        "score": {"once": 5620.0, "each sample in turn": 26.7, "matrix": 5.68},
        "step_memory": {"once": 79000000.0, "wide": 62.7},
        "score_memory": {"once": 81800000.0, "wide": 33.5},
    },
}
RUN_MIB = 438  # what a run holds in addition to training: python, torch, the data, what it writes
END_MIB = 705  # peak of a run whose training takes little: the scores at its end, with the gmp's fit
# END FITTED
WITHIN = 1.3  # all settings of the study that were not fitted were met within this factor, in time
TIMED = {"d_model": (8, 256), "hidden": (8, 64), "layers": (1, 4), "samples": (2_048, 8_192)}  # a step


@dataclass(frozen=True)
class DownstreamPA:
    """The frozen PA model after a predistorter.

    Attributes:
        model: its section of the recipe.
        in_steps: whether every optimizer step goes through it (direct learning), or the scorings alone.
    """

    model: ModelSection
    in_steps: bool


@dataclass(frozen=True)
class Estimate:
    """Time and memory of a plan on this machine: on one core of its CPU, unless a probe measured it.

    Attributes:
        seconds: of all steps and scorings [s].
        step_s: of one optimizer step [s].
        memory_mib: peak of the whole process, the scores at its end included; on a GPU what torch allocated in a
            probe [MiB].
        machine: in words.
        basis: timed = within the sizes of the study; extrapolated = outside of them; probe = measured here, on the
            device of a run.
        assumed: sizes that were not given, as flags such as `--heads 4 --window 32`.
    """

    seconds: float
    step_s: float
    memory_mib: float
    machine: str
    basis: Literal["timed", "extrapolated", "probe"]
    assumed: str = ""

    def to_json(self) -> dict[str, Any]:
        """The stable machine-readable form."""
        return {
            "seconds": float(f"{self.seconds:.3g}"),
            "step_s": float(f"{self.step_s:.3g}"),
            "memory_mib": round(self.memory_mib),
            "machine": self.machine,
            "basis": self.basis,
            "within_factor": WITHIN if self.basis == "timed" else None,
            "assumed": self.assumed or None,
        }

    def __str__(self) -> str:
        time_ = f"about {about_time(self.seconds)}" if self.seconds < MOST_S else "more than a hundred years"
        size = f"{self.memory_mib:,.0f} MiB" if self.memory_mib < 10_000 else f"{self.memory_mib / 1024:,.0f} GiB"
        trust = {
            "timed": f"within a factor of {WITHIN:g} on an idle core",
            "extrapolated": "rough: outside the range of timed sizes",
            "probe": "measured here",
        }[self.basis]
        assumed = f"; assumed: {self.assumed}" if self.assumed else ""
        return f"{time_} and a peak of {size} on {self.machine} ({trust}{assumed})"


def estimate(
    model: ModelSection,
    *,
    batch: int,
    frame: int,
    steps: int,
    scorings: int,
    val_samples: int,
    speed: MachineSpeed | None = None,
    pa: DownstreamPA | None = None,
) -> Estimate | None:
    """Estimate time and memory of training a plan on one core; None for what was never timed (gmp, full attention).

    Args:
        model: the `model` section of a recipe.
        batch, frame: frames in an optimizer step, and samples in a frame.
        steps, scorings: optimizer steps, and scorings of the validation split.
        val_samples: length of that split.
        speed: of this machine; measured (about 20 ms) if not given.
        pa: the PA model after a predistorter.
    """
    timed, timed_pa = _timed(model), None if pa is None else _timed(pa.model)
    if timed is None or (pa is not None and timed_pa is None):
        return None
    speed = measure_speed() if speed is None else speed
    work, costs = workload_of(timed, batch=batch, frame=frame, val_samples=val_samples), COSTS[timed.kind]
    step_s = _seconds(work.step, costs["step"], speed)
    score_s = _seconds(work.score, costs["score"], speed)
    step_held = _total(work.step_memory, costs["step_memory"])
    score_held = _total(work.score_memory, costs["score_memory"])
    if pa is not None and timed_pa is not None:
        work, costs = workload_of(timed_pa, batch=batch, frame=frame, val_samples=val_samples), COSTS[timed_pa.kind]
        score_s += _seconds(work.score, costs["score"], speed)
        score_held = max(score_held, _total(work.score_memory, costs["score_memory"]))  # one after the other
        if pa.in_steps:  # forward and backward; gradients of weights and the optimizer are a small part of a step
            step_s += _seconds(work.step, costs["step"], speed)
            step_held += _total(work.step_memory, costs["step_memory"]) - costs["step_memory"]["once"]
    held = max(step_held, score_held)
    width, name = (timed.hidden, "hidden") if isinstance(timed, GRUModel) else (timed.d_model, "d_model")
    sizes = {name: width, "layers": timed.layers, "samples": batch * frame}
    return Estimate(
        seconds=steps * step_s + scorings * score_s,
        step_s=step_s,
        memory_mib=peak_mib(held / 2**20),
        machine=f"one core of {cpu_name()}",
        basis="timed"
        if all(TIMED[size][0] <= value <= TIMED[size][1] for size, value in sizes.items())
        else "extrapolated",
    )


# benchmarks/arena: 0.35, 1.24 and 5 s for 496, 974 and 1,882 parameters, on a core with 21 ps for a unit of "matrix"
REFINEMENT = 68_000.0


def refinement_seconds(model: ModelSection, iterations: int, speed: MachineSpeed) -> float:
    """Estimate the time of `optim.refine: lm` on one core [s]: the curvature of all parameters takes most of it.

    Args:
        model: the `model` section of a recipe.
        iterations: `optim.refine_iterations`.
        speed: of this machine.
    """
    return iterations * REFINEMENT * size_of(model).parameters ** 2 * speed.matrix


def _timed(model: ModelSection) -> TransformerModel | GRUModel | None:
    """Return the section, if the study timed models like it; none of a plug-in was."""
    if isinstance(model, GRUModel) or (isinstance(model, TransformerModel) and model.window != "full"):
        return model
    return None


def peak_mib(training_mib: float) -> float:
    """Return the peak memory of a run on a CPU, from what training and scoring take [MiB]."""
    return max(END_MIB, RUN_MIB + training_mib)


def _seconds(work: Mapping[str, float], costs: Mapping[str, float], speed: MachineSpeed) -> float:
    return sum(work[name] * cost * float(getattr(speed, SCALES_WITH[name])) for name, cost in costs.items())


def _total(work: Mapping[str, float], costs: Mapping[str, float]) -> float:
    return sum(work[name] * cost for name, cost in costs.items())


YEAR_S = 31_557_600
MOST_S = 100 * YEAR_S


def about_time(seconds: float) -> str:
    """Round a time: `40 s`, `4 min`, `1.5 h`, `3 days`, `2 years`."""
    for unit, name in ((YEAR_S, "years"), (86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 1.5 * unit:
            return f"{float(f'{seconds / unit:.2g}'):g} {name}"
    return f"{max(1.0, float(f'{seconds:.1g}')):g} s"


def cpu_name() -> str:
    """Return the name of this machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "this CPU"
