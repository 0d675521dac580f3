"""What is learnt: a pair (input, target), the module between the two, and who scores it. The loop knows no more.

    task pa                  (x, y)      the model
    task dpd, direct         (x, G x)    the predistorter, its limiter and the frozen PA model, in a row
              indirect       (y / G, x)  the model: it undoes the PA behind it, then is put before it
              ilc            (x, u)      the model; u is the input for which the PA model gives G x (`rf.ilc`)

x, y are input and output of the capture, G the gain to aim at. Whatever it learnt from, a predistorter is scored in
front of the PA model; indirect learning without one is scored by its own pair.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from torch import nn

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.cascade import cascade_of, direct_pair, dpd_settings, indirect_pair, objective_of
from dpdrun.dpd.ilc import learn_input
from dpdrun.errors import RunError
from dpdrun.evaluation.prediction import ALONE, Sharing, piece_of, predict
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.rf.metrics import Signal, nmse_db, one_tap_gain

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Score:
    """One scoring of the validation part.

    Attributes:
        nmse_db: what the rules read, and what a plateau is judged by [dB].
        selection_db: the checkpoint with the lowest one is the best; nan is never.
        line: what else goes into the line of metrics.jsonl.
    """

    nmse_db: float
    selection_db: float
    line: Mapping[str, Any] = field(default_factory=dict)


class TrainingTask(Protocol):
    """What the loop trains by."""

    @property
    def pair(self) -> Capture:
        """Input and target of `module` as a capture; its test part is not looked at."""

    @property
    def module(self) -> nn.Module:
        """The model, or a module that has it inside: (B, T, 2) -> (B, T, 2) in the units of the pair."""

    def score(self) -> Score:
        """Score the model as it is now, and leave it in `train` mode."""


@dataclass(frozen=True)
class PATask:
    """Task pa: the model learns the pair of the capture, and NMSE decides."""

    module: BehaviouralModel
    pair: Capture
    nmse: Callable[[], float]

    def score(self) -> Score:
        """As `Assignment`."""
        value = self.nmse()
        return Score(value, value)


def pa_task(model: BehaviouralModel, capture: Capture, plan: Plan, sharing: Sharing = ALONE) -> PATask:
    """The assignment of task pa."""
    return PATask(model, capture, partial(evaluate_split, model, capture, plan, sharing))


def evaluate_split(model: BehaviouralModel, capture: Capture, plan: Plan, sharing: Sharing = ALONE) -> float:
    """Validation NMSE [dB] as the plan scores it: on the whole record, or cut into frames."""
    model.eval()
    prediction = predict(model, capture.val.x, piece=piece_of(plan), loop=capture.loop_samples, sharing=sharing)
    score = nmse_db(capture.val.y, prediction)
    model.train()
    return score


@dataclass(frozen=True)
class DPDTask:
    """Task dpd. Made by `predistorter`.

    Attributes:
        model: what is trained: the predistorter without its limiter.
        cascade: with limiter and PA model; None where there is no PA model.
        module, pair: as `Assignment`.
        plan, capture: of the run.
        found: what iterative learning control came to, by part; empty for other learning.
        sharing: the processes that score together.
    """

    model: BehaviouralModel
    cascade: BehaviouralModel | None
    module: BehaviouralModel
    pair: Capture
    plan: Plan
    capture: Capture
    found: Mapping[str, Any] = field(default_factory=dict)
    sharing: Sharing = ALONE

    def score(self) -> Score:
        """As `Assignment`: in-band error and leakage together, among those that hold the output power."""
        if self.cascade is None:
            value = nmse_db(self.pair.val.y, self._output(self.model, self.pair.val.x))
            return Score(value, value)
        this = objective_of(self.capture, self.plan, self.capture.val, self._output(self.cascade, self.capture.val.x))
        line = {"in_band_db": this.in_band_db, "aclr_worse_db": this.aclr_worse_db}
        line |= {"power_db": this.power_db, "objective_db": this.objective_db}
        return Score(this.nmse_db, this.selection_db, line)

    def _output(self, model: BehaviouralModel, x: Signal) -> Signal:
        model.eval()
        y = predict(model, x, piece=piece_of(self.plan), loop=self.capture.loop_samples, sharing=self.sharing)
        model.train()
        return y


def scales_of(plan: Plan, capture: Capture) -> dict[str, float]:
    """rms of the model's input and output, for `models.build`."""
    if plan.predistortion is None:
        return {"scale_x": capture.scale_x, "scale_y": capture.scale_y}
    own = abs(one_tap_gain(capture.train.x, capture.train.y))  # what is aimed at needs G / own of the input
    return {"scale_x": capture.scale_x, "scale_y": capture.scale_x * plan.predistortion.gain / own}


def dpd_task(
    model: BehaviouralModel, plan: Plan, capture: Capture, pa: BehaviouralModel | None, tell: Tell,
    sharing: Sharing = ALONE,
) -> DPDTask:  # fmt: skip
    """The assignment of a dpd recipe.

    Args:
        model: what is trained.
        plan: with its `predistortion`.
        capture: the measured pair.
        pa: the frozen PA model, or None for indirect learning without one.
        tell: is told what takes a while.
        sharing: the processes that score together.

    Raises:
        RunError: iterative learning control came to nothing.
    """
    cascade = None if pa is None else cascade_of(model, plan, capture, pa)
    learning = plan.recipe.dpd.learning
    if learning == "direct":
        assert cascade is not None  # `pa: off` is refused with the recipe
        return DPDTask(model, cascade, cascade, direct_pair(capture, plan), plan, capture, sharing=sharing)
    if learning == "indirect":
        return DPDTask(model, cascade, model, indirect_pair(capture, plan), plan, capture, sharing=sharing)
    assert pa is not None
    pair, found = _ideal_input(plan, capture, pa, tell)
    return DPDTask(model, cascade, model, pair, plan, capture, found, sharing)


def variants(x: Signal) -> Signal:
    """A signal and three others of its level, peaks and bandwidth, one after the other: (N,) -> (4 N,).

    Reversed in time, conjugated, and both. An amplifier answers them differently, for it has memory; a predistorter
    that knows all four has seen four times as many ways to a peak.
    """
    return np.concatenate([x, x[::-1], x.conj(), x[::-1].conj()])


def _ideal_input(
    plan: Plan, capture: Capture, pa: BehaviouralModel, tell: Tell
) -> tuple[Capture, dict[str, dict[str, Any]]]:
    """The pair (x, u) of training and validation part, and how well u does."""
    made = dpd_settings(plan)
    parts: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    # Up to the far end of adjacent channels as wide as the signal: what lies beyond, the PA model has hardly seen
    reach = 0.5 if capture.bandwidth_hz is None else min(0.5, 1.5 * capture.bandwidth_hz / capture.sample_rate_hz)

    def plant(u: Signal) -> Signal:
        return predict(pa, u, loop=capture.loop_samples)

    train = variants(capture.train.x) if plan.recipe.dpd.augment == "on" else capture.train.x
    for name, x in (("train", train), ("val", capture.val.x)):
        try:
            learned = learn_input(plant, x, made.gain * x, made.peak_limit, reach=reach)
        except ValueError as exc:
            raise RunError(f"iterative learning control through {plan.recipe.pa} failed: {exc}") from exc
        parts[name] = Part(x, learned.u)
        steps = len(learned.history_db) - 1
        found[name] = {"iterations": steps, "nmse_db": learned.nmse_db, "ended": learned.reason}
        tell(
            f"ilc, {name} part: error {learned.history_db[0]:.2f} dB without predistortion, "
            f"{learned.history_db[-1]:.2f} dB with the ideal input after {steps} iterations ({learned.reason})"
        )
    return replace(capture, **parts), found
