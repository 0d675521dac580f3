"""Scoring a model on a capture: what report.json says, and the signals that its plots draw."""

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
from dpdrun.evaluation.floors import floor_estimates
from dpdrun.evaluation.plot_data import Scene, Trace
from dpdrun.evaluation.prediction import Split, eval_frame, part_of, predict
from dpdrun.evaluation.scoring import ScoringContext, scores_of
from dpdrun.evaluation.signal import opendpd_legacy_score, signal_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.rf.linearity_scores import Linearity
from dpdrun.rf.metrics import nmse_db, one_tap_gain, papr_db
from dpdrun.run.folder import SCHEMA_VERSION

THIS = "this run"
CURVES = ("gain_curve", "ccdf_db", "reference_ccdf_db")  # long, and of baselines nobody asks for them
NOT_SCORED: dict[str, Any] = {"missing": {"all": "the output is silent or not finite"}}
# Names of the baselines in a legend.
NONE_DPD, ONE_GAIN, GMP = "no predistortion", "one complex gain", "gmp, least squares"


@dataclass(frozen=True, eq=False)
class Assessment:
    """What an evaluation found.

    Attributes:
        report: the content of report.json but for what only a training run knows (steps and times).
        scenes: a scene a split, its traces the baselines and this run.
    """

    report: dict[str, Any]
    scenes: list[Scene]


def evaluate(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split] = ("val", "test"),
    *,
    pa: nn.Module | None = None,
) -> dict[str, Any]:
    """Score a model: the content of report.json but for what only a training run knows (steps and times).

    Args:
        model: trained, in the units of the capture; left in `eval` mode.
        plan: says how a record is cut for scoring, and which rules set its values.
        capture: the pair and its split.
        splits: which parts to score. Score the test part once, when everything is decided.
        pa: of a predistorter, the PA model where it is no run folder (`pa: given`).

    Returns:
        Of each split its NMSE [dB], the gain over a GMP (positive: this model is better), what is left to the noise
        floor, and under `linearity` every score (`rf.linearity_scores`); the baselines on the same samples; the floor;
        what the model costs. `db_left` is that of the last split.
        `signal` holds the `SignalFacts` of the first split, None where it is too short or the output is not finite.
        A PA model's report has under `amplifier` how linear the measured output is over its input, and the model's.
        A predistorter's are those of the PA model's output against the target, with the figures of `Merit`;
        baselines are the same for one complex factor and for a GMP by indirect learning in its place.

    Raises:
        RunError: the PA model of a predistorter is missing, or not the one that it learnt through.
    """
    return assess(model, plan, capture, splits, pa=pa).report


def assess(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split] = ("val", "test"),
    *,
    pa: nn.Module | None = None,
) -> Assessment:
    """`evaluate`, with the signals that were scored. Raises RunError as it does."""
    stage = ScoringContext(model.eval(), plan, capture, None if plan.predistortion is None else pa_model_of(plan, pa))
    if stage.pa is not None:
        return _cascade(stage, stage.pa, splits)
    found = _pair(stage, splits)
    if plan.predistortion is not None:
        found.report.update({"simulated": False, **_target_of(plan)})
    return found


def _pair(stage: ScoringContext, splits: Sequence[Split]) -> Assessment:
    """Score a model by the pair that it has learnt."""
    pair, plan = stage.pair, stage.plan
    one_tap = baselines.one_tap_outputs(pair, splits)
    least, parameters = baselines.gmp_outputs(pair, splits)
    floor = baselines.floor_of(pair)
    rivals: dict[str, Any] = {"one_tap": {}, "gmp": {"parameters": parameters}}
    scores: dict[str, Any] = {}
    amplifier: dict[str, Any] = {}
    scenes: list[Scene] = []
    signal: dict[str, Any] | None = None
    for split in splits:
        part, y = part_of(pair, split), stage.output(split)
        if split == splits[0]:
            signal = signal_of(stage.model, plan, pair, part, y)
        drawn = [stage.trace(ONE_GAIN, split, one_tap[split]), stage.trace(GMP, split, least[split]),
                 stage.trace(THIS, split, y)]  # fmt: skip
        for name, output, trace in zip(("one_tap", "gmp"), (one_tap, least), drawn, strict=False):
            rivals[name][split] = {"nmse_db": nmse_db(part.y, output[split])} | _linearity(trace, curves=False)
        score = _scores(stage, part, y) | _linearity(drawn[-1])
        score["gain_over_gmp_db"] = rivals["gmp"][split]["nmse_db"] - score["nmse_db"]
        score["db_left"] = None if floor["nmse_db"] is None else score["nmse_db"] - floor["nmse_db"]
        scores[split] = score
        if plan.predistortion is None:
            amplifier[split] = _as_amplifier(stage.capture, split, {"measured": part.y, "model": y})
        scenes.append(stage.scene(split, drawn))
    last = splits[-1]
    floors = floor_estimates(pair, last, y, {"the gmp": least[last]}) if plan.predistortion is None else []
    report = {
        **_said_of(stage),
        "splits": scores,
        "baselines": rivals,
        **({"amplifier": amplifier} if amplifier else {}),
        "floor": floor,
        "floors": floors,
        "signal": signal,
        "db_left": scores[last]["db_left"],
    }
    return Assessment(report, scenes)


def _cascade(stage: ScoringContext, pa: BehaviouralModel, splits: Sequence[Split]) -> Assessment:
    """Score a predistorter in front of its PA model."""
    plan, capture, made = stage.plan, stage.capture, dpd_settings(stage.plan)
    none = baselines.without_predistortion(plan, capture, pa, splits)
    least = baselines.gmp_predistorted(plan, capture, pa, splits)
    pa_scores, of_gmp = of_amplifier(pa, capture, splits), baselines.gmp_baseline(capture, splits)
    rivals: dict[str, Any] = {"one_tap": {}, "gmp": {}}
    scores: dict[str, Any] = {}
    scenes: list[Scene] = []
    signal: dict[str, Any] | None = None
    selected_by, without = "", None
    for split in splits:
        part, y = part_of(stage.pair, split), stage.output(split)
        if split == splits[0]:
            signal = signal_of(stage.scored, plan, capture, part, y)
        drawn = [stage.trace(NONE_DPD, split, none[split]), stage.trace(GMP, split, least[split]),
                 stage.trace(THIS, split, y)]  # fmt: skip
        for name, output, trace in zip(("one_tap", "gmp"), (none, least), drawn, strict=False):
            figures = objective_of(capture, plan, part, output[split])
            rivals[name][split] = figures.to_json() | _linearity(trace, curves=False)
        figures = objective_of(capture, plan, part, y)
        selected_by, without = figures.selected_by, figures.without
        scores[split] = {
            **figures.to_json(),
            "nmse_as_one_record_db": None,
            "nmse_opendpd_legacy_db": None,
            "samples": len(part),
            **_played(stage, split),
            "gain_over_gmp_db": rivals["gmp"][split]["nmse_db"] - figures.nmse_db,
            "db_left": None,
            **_linearity(drawn[-1]),
        }
        scenes.append(stage.scene(split, drawn))
    weak = pa_scores[splits[0]] > of_gmp[splits[0]]["nmse_db"]
    gmp_scores = {split: of_gmp[split]["nmse_db"] for split in splits}
    report = {
        **_said_of(stage),
        "simulated": True,
        **_target_of(plan),
        "selected_by": selected_by,
        "without_spectrum": without,
        "pa": {"path": plan.recipe.pa, "sha256": made.pa_sha256, "nmse_db": pa_scores, "gmp_nmse_db": gmp_scores,
               "weak": weak},
        "splits": scores,
        "baselines": rivals,
        "floor": baselines.THROUGH_A_MODEL,
        "floors": [],
        "signal": signal,
        "db_left": None,
    }  # fmt: skip
    return Assessment(report, scenes)


def of_amplifier(pa: BehaviouralModel, capture: Capture, splits: Sequence[Split]) -> dict[str, float]:
    """NMSE [dB] of a PA model on each split."""
    loop = capture.loop_samples
    parts = {split: part_of(capture, split) for split in splits}
    return {split: nmse_db(part.y, predict(pa, part.x, loop=loop)) for split, part in parts.items()}


def _played(stage: ScoringContext, split: Split) -> dict[str, Any]:
    """What the predistorter does to the signal that is played."""
    x = part_of(stage.capture, split).x
    u = predict(stage.cascade.predistorter, x, frame=eval_frame(stage.plan), loop=stage.capture.loop_samples)
    return {"peak": float(np.max(np.abs(u))), "papr_db": papr_db(u), "papr_x_db": papr_db(x)}


def _as_amplifier(
    capture: Capture, split: Split, outputs: Mapping[str, NDArray[np.complex128]]
) -> dict[str, dict[str, Any]]:
    """How linear outputs of a part are: held against its input times the best gain of what was measured."""
    part = part_of(capture, split)
    linear = one_tap_gain(part.x, part.y) * part.x
    return {name: said(scores_of(capture, split, linear, y)) for name, y in outputs.items()}


def said(scores: Linearity | None, *, curves: bool = True) -> dict[str, Any]:
    """Scores as plain values, or why there are none."""
    content = NOT_SCORED if scores is None else scores.to_json()
    return {name: value for name, value in content.items() if curves or name not in CURVES}


def _linearity(trace: Trace | None, *, curves: bool = True) -> dict[str, Any]:
    return {"linearity": said(None if trace is None else trace.scores, curves=curves)}


def _said_of(stage: ScoringContext) -> dict[str, Any]:
    """What a report says of the job and of the cost of its model."""
    model, plan, capture = stage.model, stage.plan, stage.capture
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


def _scores(stage: ScoringContext, part: Part, y: NDArray[np.complex128]) -> dict[str, Any]:
    """The scores of one part: ours, and under the conventions that others use, where they differ."""
    looped, nperseg = stage.capture.loop_samples is not None, stage.capture.nperseg
    piece = eval_frame(stage.plan)
    return {
        "nmse_db": nmse_db(part.y, y),
        # as others score looped captures: blind to the splices
        "nmse_as_one_record_db": nmse_db(part.y, predict(stage.model, part.x, frame=piece)) if looped else None,
        "nmse_opendpd_legacy_db": None if nperseg is None else opendpd_legacy_score(stage.model, part, nperseg),
        "samples": len(part),
    }


def _target_of(plan: Plan) -> dict[str, Any]:
    """What a report says of the target and the learning of a predistorter."""
    made = dpd_settings(plan)
    return {
        "learning": plan.recipe.dpd.learning,
        "gain": {"method": plan.recipe.dpd.gain, "value": made.gain},
        "peak_limit": made.peak_limit,
    }
