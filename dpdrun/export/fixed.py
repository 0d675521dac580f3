"""Round a run to a fixed-point program, and say what that costs on its validation split.

Writers of files (`npz`, C, ...) take the program from here; `quantization.reference` is its definition. A rounded model
is a `BehaviouralModel` like any other, so it is scored by the code that scores the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import pa_model_of
from dpdrun.errors import RunError
from dpdrun.evaluation.prediction import predict
from dpdrun.evaluation.scoring import ScoringContext
from dpdrun.export.step import StepGraph
from dpdrun.export.verify import CHUNKS
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._threads import torch_threads
from dpdrun.plan.plan import Plan
from dpdrun.quantization import calibration, network, reference
from dpdrun.quantization.cost import cost_of
from dpdrun.quantization.integers import ROOMY
from dpdrun.quantization.reference import Program, Seen, Weights
from dpdrun.quantization.training import fine_tune
from dpdrun.recipe.fields import OFF
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.schema import GIVEN, QuantizationSection

GOLDEN_SAMPLES = 1024
VERIFIED_SAMPLES = 2**15  # of the test split: a GRU takes a third of a millisecond each
# (T, 2) input words, the state -> (T, 2) output words, the state for the next call
Step = Callable[[NDArray[np.int64], reference.State], tuple[NDArray[np.int64], reference.State]]
# A recipe around the settings: its loader explains what is wrong with them
_RECIPE = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 1}\n"


@dataclass(frozen=True)
class FixedPoint:
    """A run in fixed point.

    Attributes:
        report: what it costs: `change_db` and `scores` on the validation split, saturated words, accumulators, and
            what fine-tuning brought.
    """

    program: Program
    weights: Weights
    settings: QuantizationSection
    report: dict[str, Any]


class FixedPointModel(BehaviouralModel):
    """A program as a model: (B, T, 2) -> (B, T, 2) in units of the capture, its state in words."""

    def __init__(self, program: Program, weights: Weights, context: int | None, seen: Seen | None = None) -> None:
        super().__init__(scale_x=1.0, scale_y=1.0)
        self.program, self.weights, self.seen = program, weights, seen
        self.lookahead, self.context, self.macs_per_sample = program["lookahead"], context, 0

    def initial_state(self, batch: int) -> Any:
        """Return the state of silent streams."""
        state = reference.initial_state(self.program)
        return {name: np.repeat(value[None], batch, axis=0) for name, value in state.items()}

    def step(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Continue a stream; see `BehaviouralModel.step`."""
        pairs = x.detach().cpu().numpy()
        words = reference.to_words(self.program, pairs[..., 0] + 1j * pairs[..., 1].astype(np.float64))
        y, state = reference.step(self.program, self.weights, words, state, self.seen)
        return torch.from_numpy(y * 2.0 ** -self.program["output"]["fraction"]).to(x.dtype), state


def settings_of(plan: Plan, changes: Sequence[str] = ()) -> QuantizationSection:
    """Return the settings of a run, with changes such as `weights=12`.

    Raises:
        RecipeError: a setting does not exist or has no such value.
    """
    section = plan.recipe.quantization
    own = [] if section == OFF else [f"{key}={value}" for key, value in section.model_dump().items()]
    given = [f"quantization.{change.removeprefix('quantization.')}" for change in (*own, *changes)]
    settings = load_text(_RECIPE, "quantization", given).recipe.quantization
    return QuantizationSection() if settings == OFF else settings


def round_run(
    model: BehaviouralModel, plan: Plan, capture: Capture, settings: QuantizationSection,
    doing: Callable[[str], None] = lambda _: None,
) -> FixedPoint:  # fmt: skip
    """Return a run in fixed point: scales from the training split, costs on the validation split.

    Fine-tuned weights are taken if they change the output of the validation split less than those of the run.

    Args:
        model, plan, capture: of the run.
        settings: word lengths, scales, steps of fine-tuning.
        doing: called with what is being done.

    Raises:
        RunError: a setting of the model has no fixed-point form, or a sum can exceed the accumulator.
    """
    section = plan.recipe.model
    if (reason := network.unsupported(section)) is not None:
        raise RunError(f"this model has no fixed-point form: {reason[1]}")
    graph = StepGraph(model, section.kind)
    weights = {n: t.double().numpy() for n, t in graph.inner.state_dict().items() if n not in ("scale_x", "scale_y")}
    scales = {name: float(getattr(graph.inner, name)) for name in ("scale_x", "scale_y")}
    net = network.build(section, weights, **scales, peak=graph.peak)
    context = ScoringContext(model, plan, capture, _pa(plan))
    doing("measuring the ranges of all tensors")
    ranges, net = calibration.observe(net, context.pair.train.x)
    doing("rounding, and running the validation split in integers")
    program, integers = calibration.quantize(net, ranges, settings)
    before = _change_db(context, program, integers)
    tuning = None
    if settings.fine_tune != OFF:
        with torch_threads(1):  # tensors of a few kB
            tuned = fine_tune(
                net,
                ranges,
                settings,
                context.pair.train.x,
                steps=settings.fine_tune,
                context=model.context,
                doing=doing,
            )
        tuning = {"steps": settings.fine_tune, "before_db": before, "after_db": _change_db(context, *tuned)}
        if tuning["after_db"] < before:
            program, integers = tuned
    doing("scoring in floating and in fixed point")
    report = _report(context, program, integers) | {"fine_tuning": tuning}
    return FixedPoint(program, integers, settings, report)


def _change_db(context: ScoringContext, program: Program, weights: Weights, seen: Seen | None = None) -> float:
    """Return how much of the output on the validation split rounding changes [dB]."""
    rounded, x = FixedPointModel(program, weights, context.model.context, seen), context.pair.val.x
    return calibration.decibel(predict(rounded.eval(), x), predict(context.model, x))


def _pa(plan: Plan) -> BehaviouralModel | None:
    """Return the PA model of a predistorter, if this process can load it."""
    if plan.predistortion is None or plan.recipe.pa == GIVEN:
        return None
    try:
        return pa_model_of(plan)
    except RunError:
        return None


def _report(context: ScoringContext, program: Program, weights: Weights) -> dict[str, Any]:
    seen, model = Seen(), context.model
    change = _change_db(context, program, weights, seen)
    rounded = FixedPointModel(program, weights, model.context).eval()
    bounds = {each["out"]: each["accumulator_bits"] for each in program["steps"]}
    widest = max((each["out"] for each in program["steps"] if each["op"] not in ROOMY), key=bounds.__getitem__)
    judged = context.plan.predistortion is None or context.pa is not None
    return {
        "split": "val",
        "samples": len(context.pair.val.x),
        "change_db": change,
        "scores": {
            name: _scores(ScoringContext(each, context.plan, context.capture, context.pa))
            for name, each in (("float", model), ("fixed", rounded))
        } if judged else None,
        "saturated": {name: [count, seen.stored[name]] for name, count in seen.saturated.items() if count},
        "accumulator": {
            "bits": bounds,
            "widest": widest,
            "largest_seen_bits": {name: value.bit_length() + 1 for name, value in seen.largest.items()},
        },
        "cost": cost_of(program),
    }  # fmt: skip


def _scores(context: ScoringContext) -> dict[str, float | None] | None:
    """Return the figures of a model on the validation split."""
    found = context.scores("val", context.output("val").chosen)
    if found is None:
        return None
    return {
        "nmse_db": found.nmse_db,
        "in_band_error_db": found.in_band_error_db,
        "evm_db": found.evm_db,
        "aclr_worse_dbc": None if found.main_aclr is None else found.main_aclr.worse_dbc,
    }


def write(path: Path, fixed: FixedPoint, description: dict[str, Any], x: NDArray[np.complex128]) -> None:
    """Write program, weights and a golden vector to one .npz; docs/fixed-point.md describes it.

    Args:
        description: origin of the file (`description.describe`).
        x: input of the golden vector, (N,); the first GOLDEN_SAMPLES are used.
    """
    words = reference.to_words(fixed.program, x[:GOLDEN_SAMPLES])
    y, _ = reference.step(fixed.program, fixed.weights, words, reference.initial_state(fixed.program))
    content = description | {"quantization": fixed.settings.model_dump(mode="json"), "report": fixed.report}
    arrays: dict[str, Any] = {
        f"weights/{name}": values.astype(_dtype(values)) for name, values in fixed.weights.items()
    }
    arrays |= {"golden/x": words.astype(np.int32), "golden/y": y.astype(np.int32)}
    arrays |= {"program": np.array(json.dumps(fixed.program, indent=1)), "description": np.array(json.dumps(content))}
    with path.open("wb") as handle:
        np.savez(handle, **arrays)


def words_of(
    fixed: FixedPoint, x: NDArray[np.complex128], samples: int = VERIFIED_SAMPLES
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return input and output words of the first `samples` of a record, (N, 2) each; the output is not late.

    Raises:
        RunError: an accumulator exceeded its bound.
    """
    program, seen = fixed.program, Seen()
    words, late = reference.to_words(program, x[:samples]), program["lookahead"]
    padded = np.pad(words, ((0, late), (0, 0)))
    y, _ = reference.step(program, fixed.weights, padded, reference.initial_state(program), seen)
    if over := seen.over_bounds(program):
        raise RunError(f"accumulators exceeded their stated bits ({', '.join(over)}); nothing was written")
    return words, y[late:]


def require_equal(
    path: Path, step: Step, fixed: FixedPoint, x: NDArray[np.complex128], samples: int = VERIFIED_SAMPLES
) -> int:
    """Stream a record through the step of a file, in uneven chunks; return how many samples were compared.

    Raises:
        RunError: a word differs from that of the program, or an accumulator exceeded its bound.
    """
    words, expected = words_of(fixed, x, samples)
    late = fixed.program["lookahead"]
    padded, outputs, at = np.pad(words, ((0, late), (0, 0))), [], 0
    state = reference.initial_state(fixed.program)
    for length in cycle(CHUNKS):
        y, state = step(padded[at : at + length], state)
        outputs.append(y)
        at += length
        if at >= len(padded):
            break
    if not np.array_equal(np.concatenate(outputs)[late:], expected):
        raise RunError(f"{path}: the file does not give the words of its program; nothing was written")
    return len(words)


def _dtype(values: NDArray[np.int64]) -> type[np.signedinteger[Any]]:
    largest = int(np.abs(values).max(initial=0))
    return np.int16 if largest < 2**15 else np.int32 if largest < 2**31 else np.int64
