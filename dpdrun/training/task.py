"""Training tasks: a pair (input, target), the module from one to the other, and its score. The loop knows no more.

    task pa                  (x, y)      the model
    task dpd, direct         (x, G x)    the predistorter, its limiter and the frozen PA model, in a row
              indirect       (y / G, x)  the model: it learns the inverse of the PA, then is put in front of it
              ilc            (x, u)      the model; u is the input for which the PA model gives G x (`dpd.ilc`)

x, y are input and output of the capture, G the target gain. Whatever it learnt from, a predistorter is scored in
front of the PA model; indirect learning without one is scored by its own pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.cascade import cascade_of, direct_pair, dpd_settings, indirect_pair, objective_of
from dpdrun.dpd.ilc import learn_input
from dpdrun.errors import RunError
from dpdrun.evaluation.prediction import ALONE, Sharing, SplitOutput, eval_frame, predict, predict_split
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.rf.metrics import Signal, nmse_db, one_tap_gain
from dpdrun.run.scores import OBJECTIVE_WITH_PAST, VAL_WITH_PAST

Report = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """A scoring of the val split.

    Attributes:
        nmse_db: from a cold start, as published tables have it: for the plateau schedule [dB].
        selection_db: the checkpoint with the lowest one is the best; nan never is. With the past of the record, as the
            rules judge (`run.scores`).
        line: further columns of the line of metrics.jsonl.
    """

    nmse_db: float
    selection_db: float
    line: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingTask:
    """What the loop trains and selects by, from `pa_task` or `dpd_task`.

    Attributes:
        model: what is trained; a predistorter without its limiter.
        module: the model, or a module that it is inside of: (B, T, 2) -> (B, T, 2) in the units of the pair.
        pair: input and target of `module` as a capture; its test split is not used.
        plan, capture: of the run.
        cascade: the predistorter with limiter and PA model, which is scored; None where there is no PA model.
        ilc: results of iterative learning control by split; empty for other learning.
        sharing: the processes that score together.
    """

    model: BehaviouralModel
    module: BehaviouralModel
    pair: Capture
    plan: Plan
    capture: Capture
    cascade: BehaviouralModel | None = None
    ilc: Mapping[str, Any] = field(default_factory=dict)
    sharing: Sharing = ALONE

    def score(self) -> Score:
        """Score the model as it is now, and leave it in `train` mode.

        By NMSE; a predistorter in front of a PA model by in-band error and leakage together, among those that hold the
        output power.
        """
        if self.cascade is None:
            return evaluate_split(self.model, self.pair, self.plan, self.sharing)
        output = _output(self.cascade, self.capture, self.plan, self.sharing)
        cold = objective_of(self.capture, self.plan, self.capture.val, output.cold)
        names = ("in_band_db", "aclr_worse_db", "power_db", "objective_db")
        line = {name: getattr(cold, name) for name in names}
        if output.with_past is None:
            return Score(cold.nmse_db, cold.selection_db, line)
        past = objective_of(self.capture, self.plan, self.capture.val, output.with_past)
        line |= {VAL_WITH_PAST: past.nmse_db, OBJECTIVE_WITH_PAST: past.objective_db}
        return Score(cold.nmse_db, past.selection_db, line)


def evaluate_split(model: BehaviouralModel, capture: Capture, plan: Plan, sharing: Sharing = ALONE) -> Score:
    """Score the val split by its NMSE as the plan does: on the complete record, or cut into frames."""
    output = _output(model, capture, plan, sharing)
    cold = nmse_db(capture.val.y, output.cold)
    if output.with_past is None:
        return Score(cold, cold)
    past = nmse_db(capture.val.y, output.with_past)
    return Score(cold, past, {VAL_WITH_PAST: past})


def _output(model: BehaviouralModel, capture: Capture, plan: Plan, sharing: Sharing) -> SplitOutput:
    model.eval()
    output = predict_split(model, capture.val, frame=eval_frame(plan), loop=capture.loop_samples, sharing=sharing)
    model.train()
    return output


def pa_task(model: BehaviouralModel, capture: Capture, plan: Plan, sharing: Sharing = ALONE) -> TrainingTask:
    """Return the training task of a pa recipe."""
    return TrainingTask(model, model, capture, plan, capture, sharing=sharing)


def scales_of(plan: Plan, capture: Capture) -> dict[str, float]:
    """Return rms of the model's input and output, for `models.build`."""
    if plan.predistortion is None:
        return {"scale_x": capture.scale_x, "scale_y": capture.scale_y}
    pa_gain = abs(one_tap_gain(capture.train.x, capture.train.y))  # the target needs G / pa_gain of the input
    return {"scale_x": capture.scale_x, "scale_y": capture.scale_x * plan.predistortion.gain / pa_gain}


def dpd_task(
    model: BehaviouralModel, plan: Plan, capture: Capture, pa: BehaviouralModel | None, report: Report,
    sharing: Sharing = ALONE,
) -> TrainingTask:  # fmt: skip
    """Return the training task of a dpd recipe.

    Args:
        model: what is trained.
        plan: with its `predistortion`.
        capture: the measured pair.
        pa: the frozen PA model, or None for indirect learning without one.
        report: gets messages about what takes a while.
        sharing: the processes that score together.

    Raises:
        RunError: iterative learning control failed.
    """
    cascade = None if pa is None else cascade_of(model, plan, capture, pa)
    learning, module, ilc = plan.recipe.dpd.learning, model, dict[str, Any]()
    if learning == "direct":
        assert cascade is not None  # `pa: off` is refused with the recipe
        module, pair = cascade, direct_pair(capture, plan)
    elif learning == "indirect":
        pair = indirect_pair(capture, plan)
    else:
        assert pa is not None
        pair, ilc = _ideal_input(plan, capture, pa, report)
    return TrainingTask(model, module, pair, plan, capture, cascade, ilc, sharing)


def augmented(x: Signal) -> Signal:
    """Concatenate a signal and three others of its level, peaks and bandwidth: (N,) -> (4 N,).

    Reversed in time, conjugated, and both. The outputs of an amplifier differ, since it has memory; a predistorter that
    was trained on all four has seen four times as many ways to a peak.
    """
    return np.concatenate([x, x[::-1], x.conj(), x[::-1].conj()])


def _ideal_input(
    plan: Plan, capture: Capture, pa: BehaviouralModel, report: Report
) -> tuple[Capture, dict[str, dict[str, Any]]]:
    """Learn the pair (x, u) of train and val split; returns it with the results by split."""
    settings = dpd_settings(plan)
    parts: dict[str, Any] = {}
    results: dict[str, dict[str, Any]] = {}
    # Up to the far end of adjacent channels as wide as the signal: the PA model has hardly seen frequencies beyond
    reach = 0.5 if capture.bandwidth_hz is None else min(0.5, 1.5 * capture.bandwidth_hz / capture.sample_rate_hz)

    def plant(u: Signal) -> Signal:
        return predict(pa, u, loop=capture.loop_samples)

    train = augmented(capture.train.x) if plan.recipe.dpd.augment == "on" else capture.train.x
    for name, x in (("train", train), ("val", capture.val.x)):
        try:
            learned = learn_input(plant, x, settings.gain * x, settings.peak_limit, reach=reach)
        except ValueError as exc:
            raise RunError(f"iterative learning control through {plan.recipe.pa} failed: {exc}") from exc
        parts[name] = Part(x, learned.u)
        steps = len(learned.history_db) - 1
        results[name] = {
            "iterations": steps, "nmse_db": learned.nmse_db, "within_reach_db": learned.history_db[-1],
            "ended": learned.reason,
        }  # fmt: skip
        report(
            f"ilc, {name} split: error {learned.history_db[0]:.2f} dB without predistortion, "
            f"{learned.history_db[-1]:.2f} dB with the ideal input after {steps} iterations ({learned.reason})"
        )
    return replace(capture, **parts), results
