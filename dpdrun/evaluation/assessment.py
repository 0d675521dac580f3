"""Evaluate a model on a capture: the content of report.json, and the signals that its plots draw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from dpdrun.evaluation.prediction import Split, SplitOutput, eval_frame, part_of, predict, predict_split
from dpdrun.evaluation.progress import doing
from dpdrun.evaluation.scoring import ScoringContext, scores_of, wanted_aclr
from dpdrun.evaluation.signal import opendpd_legacy_score, signal_facts_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._threads import torch_threads
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import is_weak
from dpdrun.plan.threads import threads_to_predict
from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import nmse_db, one_tap_gain, papr_db
from dpdrun.run.folder import SCHEMA_VERSION
from dpdrun.run.scores import WITH_PAST, chosen

THIS = "this run"
CURVES = ("gain_curve", "ccdf_db", "reference_ccdf_db")  # long, and not needed of baselines
Figures = Callable[[NDArray[np.complex128]], dict[str, Any]]
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
        the size of the model. `db_left` is that of the last split. These start cold, as published tables do: what is
        before the split is taken for silence. `with_past` of a split, a baseline or a PA model holds the same scores
        with the samples that the record has there, and is what choices are made by (`run.scores`); None where they are
        not known.
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
    with torch_threads(threads_to_predict(plan)):
        if context.pa is not None:
            return _evaluate_cascade(context, context.pa, splits)
        evaluation = _evaluate_pair(context, splits)
    if plan.predistortion is not None:
        evaluation.report.update({"simulated": False, **_target_fields(plan)})
    return evaluation


def _evaluate_pair(context: ScoringContext, splits: Sequence[Split]) -> Evaluation:
    """Score a model on the pair that it was trained on."""
    pair, plan = context.pair, context.plan
    doing("fitting the baselines")
    one_tap = baselines.one_tap_outputs(pair, splits)
    least, parameters = baselines.gmp_outputs(pair, splits)
    floor = baselines.floor_of(pair)
    baseline_scores: dict[str, Any] = {"one_tap": {}, "gmp": {"parameters": parameters}}
    scores: dict[str, Any] = {}
    amplifier: dict[str, Any] = {}
    plots: list[PlotData] = []
    signal: dict[str, Any] | None = None
    for split in splits:
        doing(f"scoring {split}")
        part, output = part_of(pair, split), context.output(split)
        if split == splits[0]:
            signal = signal_facts_of(context.model, plan, pair, part, output.chosen)
        rivals = {"one_tap": (ONE_GAIN, one_tap[split]), "gmp": (GMP, least[split])}
        drawn = _score_baselines(context, split, rivals, _nmse_of(part), baseline_scores)
        score, trace = score_output(context, split, THIS, output, _nmse_of(part))
        for now, gmp in score_pairs(score, baseline_scores["gmp"][split]):
            now["gain_over_gmp_db"] = gmp["nmse_db"] - now["nmse_db"]
            now["db_left"] = None if floor["nmse_db"] is None else now["nmse_db"] - floor["nmse_db"]
        scores[split] = _other_conventions(context, part) | score
        if plan.predistortion is None:
            amplifier[split] = _amplifier_linearity(context.capture, split, part.y, output)
        plots.append(context.plot_data(split, [*drawn, trace]))
    last = splits[-1]
    doing("estimating the noise floor")
    floors = floor_estimates(pair, last, output, {"the gmp": least[last]}) if plan.predistortion is None else []
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
    doing("fitting the baselines")
    none = baselines.without_predistortion(plan, capture, pa, splits)
    least = baselines.gmp_predistorted(plan, capture, pa, splits)
    of_pa, of_gmp = pa_model_nmse(pa, capture, splits), baselines.gmp_baseline(capture, splits)
    baseline_scores: dict[str, Any] = {"one_tap": {}, "gmp": {}}
    scores: dict[str, Any] = {}
    plots: list[PlotData] = []
    signal: dict[str, Any] | None = None
    selected_by, without = "", None
    for split in splits:
        doing(f"scoring {split}")
        part, output = part_of(context.pair, split), context.output(split)
        if split == splits[0]:
            signal = signal_facts_of(context.scored, plan, capture, part, output.chosen)

        def objective(y: NDArray[np.complex128], part: Part = part) -> dict[str, Any]:
            return objective_of(capture, plan, part, y).to_json()

        rivals = {"one_tap": (NONE_DPD, none[split]), "gmp": (GMP, least[split])}
        drawn = _score_baselines(context, split, rivals, objective, baseline_scores)
        score, trace = score_output(context, split, THIS, output, objective)
        for now, gmp in score_pairs(score, baseline_scores["gmp"][split]):
            now["gain_over_gmp_db"] = gmp["nmse_db"] - now["nmse_db"]
        figures = objective_of(capture, plan, part, output.chosen)
        selected_by, without = figures.selected_by, figures.without
        scores[split] = {
            "nmse_as_one_record_db": None,
            "nmse_opendpd_legacy_db": None,
            "samples": len(part),
            **_drive_fields(context, split),
            "db_left": None,
            **score,
            "wanted": wanted_aclr(capture, split, output.chosen, None if trace is None else trace.scores),
        }
        plots.append(context.plot_data(split, [*drawn, trace]))
    weak = is_weak(*(chosen(each[splits[0]])["nmse_db"] for each in (of_pa, of_gmp)))
    report = {
        **_run_fields(context),
        "simulated": True,
        **_target_fields(plan),
        "selected_by": selected_by,
        "without_spectrum": without,
        "pa": {"path": plan.recipe.pa, "sha256": made.pa_sha256, "weak": weak,
               **pa_model_fields({"nmse_db": of_pa, "gmp_nmse_db": {split: of_gmp[split] for split in splits}})},
        "splits": scores,
        "baselines": baseline_scores,
        "floor": baselines.THROUGH_A_MODEL,
        "floors": [],
        "signal": signal,
        "db_left": None,
    }  # fmt: skip
    return Evaluation(report, plots)


def score_output(
    context: ScoringContext, split: Split, name: str, output: SplitOutput, figures: Figures, *, curves: bool = True
) -> tuple[dict[str, Any], Trace | None]:
    """Score an output from a cold start and, under `with_past`, with the past of the record.

    Args:
        context, split: what it is an output for.
        name: of its trace.
        output: of a model or a baseline.
        figures: of an output (N,), as fields of the report.
        curves: whether the long `CURVES` are wanted.

    Returns:
        Fields of the report, and the trace of the output that choices are made by; None if that has no scores.
    """
    trace = context.trace(name, split, output.chosen)
    cold = trace if output.with_past is None else context.trace(name, split, output.cold)
    past = None if output.with_past is None else figures(output.with_past) | linearity_field(trace, curves=curves)
    return figures(output.cold) | linearity_field(cold, curves=curves) | {WITH_PAST: past}, trace


def _score_baselines(
    context: ScoringContext, split: Split, rivals: Mapping[str, tuple[str, SplitOutput]], figures: Figures,
    scores: dict[str, Any],
) -> list[Trace | None]:  # fmt: skip
    """Score the baselines of a split into `scores`, by key; returns their traces."""
    drawn = []
    for key, (name, output) in rivals.items():
        scores[key][split], trace = score_output(context, split, name, output, figures, curves=False)
        drawn.append(trace)
    return drawn


def score_pairs(score: dict[str, Any], other: Mapping[str, Any]) -> list[tuple[dict[str, Any], Mapping[str, Any]]]:
    """Pair the scores of two outputs that are comparable: from a cold start, and with the past of the record."""
    past = score.get(WITH_PAST)
    return [(score, other)] + ([] if past is None else [(past, chosen(other))])


def _nmse_of(part: Part) -> Figures:
    return lambda y: {"nmse_db": nmse_db(part.y, y)}


def pa_model_nmse(pa: BehaviouralModel, capture: Capture, splits: Sequence[Split]) -> dict[str, dict[str, Any]]:
    """Return the NMSE [dB] of a PA model on each split: `baselines.nmse_fields`."""
    parts = {split: part_of(capture, split) for split in splits}
    outputs = {split: predict_split(pa, part, loop=capture.loop_samples) for split, part in parts.items()}
    return {split: baselines.nmse_fields(parts[split].y, output) for split, output in outputs.items()}


def pa_model_fields(scores: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return fields of a report from `nmse_fields` by field and split: from a cold start, and with the past."""
    cold = {name: {split: each["nmse_db"] for split, each in found.items()} for name, found in scores.items()}
    past = {name: {split: chosen(each)["nmse_db"] for split, each in found.items()} for name, found in scores.items()}
    known = any(each[WITH_PAST] is not None for found in scores.values() for each in found.values())
    return cold | {WITH_PAST: past if known else None}


def _drive_fields(context: ScoringContext, split: Split) -> dict[str, Any]:
    """Return peak and PAPR of the predistorter's output, which drives the amplifier."""
    x = part_of(context.capture, split).x
    u = predict(context.cascade.predistorter, x, frame=eval_frame(context.plan), loop=context.capture.loop_samples)
    return {"peak": float(np.max(np.abs(u))), "papr_db": papr_db(u), "papr_x_db": papr_db(x)}


def _amplifier_linearity(
    capture: Capture, split: Split, measured: NDArray[np.complex128], model: SplitOutput
) -> dict[str, Any]:
    """Return the linearity of outputs: compared with the input times the least-squares gain of the measured output."""
    part = part_of(capture, split)
    linear = one_tap_gain(part.x, part.y) * part.x

    def scored(y: NDArray[np.complex128]) -> dict[str, Any]:
        return linearity_json(scores_of(capture, split, linear, y))

    past = None if model.with_past is None else {"model": scored(model.with_past)}
    found = scores_of(capture, split, linear, measured)
    return {
        "wanted": wanted_aclr(capture, split, measured, found),
        "measured": linearity_json(found),
        "model": scored(model.cold),
        WITH_PAST: past,
    }


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
        "capture": {
            "name": capture.name,
            "sha256": capture.sha256,
            "loop_samples": capture.loop_samples,
            "train_peak": float(abs(capture.train.x).max()),
        },
        "bandwidth_hz": {
            "stated": capture.bandwidth_hz,
            "channel": capture.channel_bandwidth_hz,
            "spacing": capture.channel_spacing_hz,
        },
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "macs_per_sample": model.macs_per_sample,
        "lookahead": model.lookahead,
        "rules": {key: origin.rule for key, origin in plan.provenance.items() if origin.rule is not None},
    }


def _other_conventions(context: ScoringContext, part: Part) -> dict[str, Any]:
    """Return the NMSE of one split by the conventions of others, where they differ from ours."""
    looped, nperseg = context.capture.loop_samples is not None, context.capture.nperseg
    frame = eval_frame(context.plan)
    return {
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
