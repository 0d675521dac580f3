"""Evaluate a model on a capture: the content of report.json, and the signals that its plots draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.cascade import dpd_settings, objective_of, pa_model_of
from dpdrun.evaluation import baselines
from dpdrun.evaluation.baselines import floor_estimates
from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.evaluation.prediction import Split, eval_frame, part_of, predict
from dpdrun.evaluation.scoring import ScoringContext, scores_of
from dpdrun.evaluation.signal import opendpd_legacy_score, signal_facts_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import nmse_db, one_tap_gain, papr_db
from dpdrun.run.folder import SCHEMA_VERSION

THIS = "this run"
CURVES = ("gain_curve", "ccdf_db", "reference_ccdf_db")  # long, and not needed of baselines
NOT_SCORED: dict[str, Any] = {"missing": {"all": "the output is silent or not finite"}}
# Names of the baselines in a legend.
NONE_DPD, ONE_GAIN, GMP = "no predistortion", "one complex gain", "gmp, least squares"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        report: the content of report.json without the steps and times of the training.
        plots: one for each split, its traces the baselines and this run.
    """

    report: dict[str, Any]
    plots: list[PlotData]


def evaluate(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split] = ("val", "test"),
    *,
    pa: nn.Module | None = None,
) -> dict[str, Any]:
    """Score a model: return the content of report.json without the steps and times of the training.

    Args:
        model: trained, in the units of the capture; left in `eval` mode.
        plan: sets how a record is cut for scoring, and which rules derived its values.
        capture: the pair and its splits.
        splits: which ones to score. Score the test split once, when everything is decided.
        pa: the PA model of a predistorter that was trained with `pa: given`.

    Returns:
        For each split its NMSE [dB], the gain over a GMP (positive: this model is better), the distance to the noise
        floor, and under `linearity` every score (`rf.linearity_scores`); the baselines on the same samples; the floor;
        the size of the model. `db_left` is that of the last split.
        `signal` holds the `SignalFacts` of the first split, None if it is too short or the output is not finite.
        For a PA model, `amplifier` holds the linearity of the measured output over its input, and of the model's.
        For a predistorter, scores are those of the PA model's output against the target, with the figures of
        `DPDObjective`; its baselines are one complex factor, and a GMP by indirect learning, in its place.

    Raises:
        RunError: the PA model of a predistorter is missing, or not the one that it was trained through.
    """
    return evaluate_with_plots(model, plan, capture, splits, pa=pa).report


def evaluate_with_plots(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split] = ("val", "test"),
    *,
    pa: nn.Module | None = None,
) -> Evaluation:
    """Do the same as `evaluate`, and return the scored signals too. Raises RunError as it does."""
    context = ScoringContext(model.eval(), plan, capture, None if plan.predistortion is None else pa_model_of(plan, pa))
    if context.pa is not None:
        return _evaluate_cascade(context, context.pa, splits)
    evaluation = _evaluate_pair(context, splits)
    if plan.predistortion is not None:
        evaluation.report.update({"simulated": False, **_target_fields(plan)})
    return evaluation


def _evaluate_pair(context: ScoringContext, splits: Sequence[Split]) -> Evaluation:
    """Score a model on the pair that it was trained on."""
    pair, plan = context.pair, context.plan
    one_tap = baselines.one_tap_outputs(pair, splits)
    least, parameters = baselines.gmp_outputs(pair, splits)
    floor = baselines.floor_of(pair)
    baseline_scores: dict[str, Any] = {"one_tap": {}, "gmp": {"parameters": parameters}}
    scores: dict[str, Any] = {}
    amplifier: dict[str, Any] = {}
    plots: list[PlotData] = []
    signal: dict[str, Any] | None = None
    for split in splits:
        part, y = part_of(pair, split), context.output(split)
        if split == splits[0]:
            signal = signal_facts_of(context.model, plan, pair, part, y)
        drawn = [context.trace(ONE_GAIN, split, one_tap[split]), context.trace(GMP, split, least[split]),
                 context.trace(THIS, split, y)]  # fmt: skip
        for name, output, trace in zip(("one_tap", "gmp"), (one_tap, least), drawn, strict=False):
            figures = {"nmse_db": nmse_db(part.y, output[split])}
            baseline_scores[name][split] = figures | linearity_field(trace, curves=False)
        score = _scores(context, part, y) | linearity_field(drawn[-1])
        score["gain_over_gmp_db"] = baseline_scores["gmp"][split]["nmse_db"] - score["nmse_db"]
        score["db_left"] = None if floor["nmse_db"] is None else score["nmse_db"] - floor["nmse_db"]
        scores[split] = score
        if plan.predistortion is None:
            amplifier[split] = _amplifier_linearity(context.capture, split, {"measured": part.y, "model": y})
        plots.append(context.plot_data(split, drawn))
    last = splits[-1]
    floors = floor_estimates(pair, last, y, {"the gmp": least[last]}) if plan.predistortion is None else []
    report = {
        **_run_fields(context),
        "splits": scores,
        "baselines": baseline_scores,
        **({"amplifier": amplifier} if amplifier else {}),
        "floor": floor,
        "floors": floors,
        "signal": signal,
        "db_left": scores[last]["db_left"],
    }
    return Evaluation(report, plots)


def _evaluate_cascade(context: ScoringContext, pa: BehaviouralModel, splits: Sequence[Split]) -> Evaluation:
    """Score a predistorter followed by its PA model."""
    plan, capture, made = context.plan, context.capture, dpd_settings(context.plan)
    none = baselines.without_predistortion(plan, capture, pa, splits)
    least = baselines.gmp_predistorted(plan, capture, pa, splits)
    pa_scores, of_gmp = pa_model_nmse(pa, capture, splits), baselines.gmp_baseline(capture, splits)
    baseline_scores: dict[str, Any] = {"one_tap": {}, "gmp": {}}
    scores: dict[str, Any] = {}
    plots: list[PlotData] = []
    signal: dict[str, Any] | None = None
    selected_by, without = "", None
    for split in splits:
        part, y = part_of(context.pair, split), context.output(split)
        if split == splits[0]:
            signal = signal_facts_of(context.scored, plan, capture, part, y)
        drawn = [context.trace(NONE_DPD, split, none[split]), context.trace(GMP, split, least[split]),
                 context.trace(THIS, split, y)]  # fmt: skip
        for name, output, trace in zip(("one_tap", "gmp"), (none, least), drawn, strict=False):
            figures = objective_of(capture, plan, part, output[split])
            baseline_scores[name][split] = figures.to_json() | linearity_field(trace, curves=False)
        figures = objective_of(capture, plan, part, y)
        selected_by, without = figures.selected_by, figures.without
        scores[split] = {
            **figures.to_json(),
            "nmse_as_one_record_db": None,
            "nmse_opendpd_legacy_db": None,
            "samples": len(part),
            **_drive_fields(context, split),
            "gain_over_gmp_db": baseline_scores["gmp"][split]["nmse_db"] - figures.nmse_db,
            "db_left": None,
            **linearity_field(drawn[-1]),
        }
        plots.append(context.plot_data(split, drawn))
    weak = pa_scores[splits[0]] > of_gmp[splits[0]]["nmse_db"]
    gmp_scores = {split: of_gmp[split]["nmse_db"] for split in splits}
    report = {
        **_run_fields(context),
        "simulated": True,
        **_target_fields(plan),
        "selected_by": selected_by,
        "without_spectrum": without,
        "pa": {"path": plan.recipe.pa, "sha256": made.pa_sha256, "nmse_db": pa_scores, "gmp_nmse_db": gmp_scores,
               "weak": weak},
        "splits": scores,
        "baselines": baseline_scores,
        "floor": baselines.THROUGH_A_MODEL,
        "floors": [],
        "signal": signal,
        "db_left": None,
    }  # fmt: skip
    return Evaluation(report, plots)


def pa_model_nmse(pa: BehaviouralModel, capture: Capture, splits: Sequence[Split]) -> dict[str, float]:
    """Return the NMSE [dB] of a PA model on each split."""
    loop = capture.loop_samples
    parts = {split: part_of(capture, split) for split in splits}
    return {split: nmse_db(part.y, predict(pa, part.x, loop=loop)) for split, part in parts.items()}


def _drive_fields(context: ScoringContext, split: Split) -> dict[str, Any]:
    """Return peak and PAPR of the predistorter's output, which drives the amplifier."""
    x = part_of(context.capture, split).x
    u = predict(context.cascade.predistorter, x, frame=eval_frame(context.plan), loop=context.capture.loop_samples)
    return {"peak": float(np.max(np.abs(u))), "papr_db": papr_db(u), "papr_x_db": papr_db(x)}


def _amplifier_linearity(
    capture: Capture, split: Split, outputs: Mapping[str, NDArray[np.complex128]]
) -> dict[str, dict[str, Any]]:
    """Return the linearity of outputs: compared with the input times the least-squares gain of the measured output."""
    part = part_of(capture, split)
    linear = one_tap_gain(part.x, part.y) * part.x
    return {name: linearity_json(scores_of(capture, split, linear, y)) for name, y in outputs.items()}


def linearity_json(scores: Linearity | None, *, curves: bool = True) -> dict[str, Any]:
    """Return scores as plain values, or the reason why there are none."""
    content = NOT_SCORED if scores is None else scores.to_json()
    return {name: value for name, value in content.items() if curves or name not in CURVES}


def linearity_field(trace: Trace | None, *, curves: bool = True) -> dict[str, Any]:
    """Return the scores of an output as the field `linearity` of a report."""
    return {"linearity": linearity_json(None if trace is None else trace.scores, curves=curves)}


def _run_fields(context: ScoringContext) -> dict[str, Any]:
    """Return the fields of a report on the job and the size of its model."""
    model, plan, capture = context.model, context.plan, context.capture
    return {
        "schema_version": SCHEMA_VERSION,
        "task": plan.recipe.task,
        "model": plan.recipe.model.kind,
        "capture": {"name": capture.name, "sha256": capture.sha256, "loop_samples": capture.loop_samples},
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
        "rules": {key: origin.rule for key, origin in plan.provenance.items() if origin.rule is not None},
    }


def _scores(context: ScoringContext, part: Part, y: NDArray[np.complex128]) -> dict[str, Any]:
    """Return the NMSE of one split, by our convention and, where they differ, by those of others."""
    looped, nperseg = context.capture.loop_samples is not None, context.capture.nperseg
    frame = eval_frame(context.plan)
    return {
        "nmse_db": nmse_db(part.y, y),
        # as others score looped captures: the splices count as signal
        "nmse_as_one_record_db": nmse_db(part.y, predict(context.model, part.x, frame=frame)) if looped else None,
        "nmse_opendpd_legacy_db": None if nperseg is None else opendpd_legacy_score(context.model, part, nperseg),
        "samples": len(part),
    }


def _target_fields(plan: Plan) -> dict[str, Any]:
    """Return the fields of a report on the target and the training of a predistorter."""
    made = dpd_settings(plan)
    return {
        "learning": plan.recipe.dpd.learning,
        "gain": {"method": plan.recipe.dpd.gain, "value": made.gain},
        "peak_limit": made.peak_limit,
    }
