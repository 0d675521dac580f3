"""Validate a predistorter through another PA model than the one that it was trained through (cross-model validation).

A predistorter can exploit the errors of the PA model that it was trained through, but not those of an independently
trained one. The difference between the two scores bounds from below how far the first can be off on the real amplifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dpdrun.data.capture import Capture, Part
from dpdrun.dpd.cascade import dpd_settings, objective_of, stored_pa_model
from dpdrun.errors import RunError
from dpdrun.evaluation import baselines
from dpdrun.evaluation.assessment import NONE_DPD, Evaluation, pa_model_fields, pa_model_nmse, score_output
from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.evaluation.scoring import ScoringContext
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import pa_section
from dpdrun.run.folder import RunFolder
from dpdrun.run.scores import chosen

COMPARED = ("nmse_db", "in_band_db", "aclr_left_db", "aclr_right_db", "aclr_worse_db", "objective_db", "power_db")


@dataclass(frozen=True, eq=False)
class ReferencePA:
    """A second PA model that predistorters are validated through.

    Attributes:
        path: of its run.
        sha256: of its model file.
        kind: of its model.
        model: frozen.
    """

    path: Path
    sha256: str
    kind: str
    model: BehaviouralModel


@dataclass(frozen=True, eq=False)
class CrossModelScores:
    """The scores of a predistorter through a reference PA model.

    Attributes:
        report: `pa` (path, hash and NMSE of the reference), `splits` and `baselines` as in report.json, and
            `difference`, the score through the reference minus the one through its own PA model, by split [dB], from a
            cold start; `difference_with_past` is that of the scores which choices are made by (`run.scores`).
        traces: by split, the output without predistortion and with it; None if it cannot be scored.
    """

    report: dict[str, Any]
    traces: dict[str, tuple[Trace | None, Trace | None]]


def load_reference_pa(path: Path, capture: Capture) -> ReferencePA:
    """Load the PA model of a finished run on this capture.

    Raises:
        RunError: it is not a run, not of a PA model, not finished, or was trained on other data.
    """
    run = RunFolder.open(path)
    written = run.read_json(run.plan)
    plan = Plan.from_json(written)
    if plan.recipe.task != "pa":
        raise RunError(f"--through {path}: this is a run of task {plan.recipe.task}; give the run of a PA model")
    if not run.model.is_file():
        raise RunError(f"--through {path}: this run has no model yet; continue it with:\n  {run.resume_command}")
    trained_on = written.get("data_sha256") or (run.read_json(run.report).get("capture") or {}).get("sha256")
    if trained_on != capture.sha256:
        raise RunError(
            f"--through {path}: this PA model was trained on other samples ({plan.recipe.data.source}) than the "
            f"predistorter ({capture.name}); train one on {capture.name}, with another seed or of another kind"
        )
    sha256, model = stored_pa_model(path)
    return ReferencePA(path, sha256, plan.recipe.model.kind, model)


def require_independent(reference: ReferencePA, run: Path, plan: Plan) -> None:
    """Raise RunError unless the run is a predistorter that was trained through another PA model."""
    if plan.predistortion is None:
        raise RunError(f"{run}: --through validates predistorters, and this is the run of a PA model")
    if dpd_settings(plan).pa_sha256 == reference.sha256:
        raise RunError(
            f"--through {reference.path}: {run} was trained through this PA model, so its own scores already "
            "use it; give an independent PA run: another seed (train.seed) or, better, another kind of model"
        )


def score_with_reference(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split],
    reference: ReferencePA,
    own: Evaluation | None = None,
) -> CrossModelScores:
    """Score a predistorter through a reference PA model.

    Args:
        model, plan: of its run.
        capture: as measured.
        splits: which ones to score.
        reference: from `load_reference_pa`; see `require_independent`.
        own: its evaluation through its own PA model, for the difference; None if there is none.
    """
    context = ScoringContext(model.eval(), plan, capture, reference.model)
    none = baselines.without_predistortion(plan, capture, reference.model, splits)
    scores: dict[str, Any] = {}
    baseline_scores: dict[str, Any] = {"one_tap": {}}
    traces: dict[str, tuple[Trace | None, Trace | None]] = {}
    for split in splits:
        part = part_of(context.pair, split)

        def objective(y: NDArray[np.complex128], part: Part = part) -> dict[str, Any]:
            return objective_of(capture, plan, part, y).to_json()

        outputs = ((NONE_DPD, none[split]), (f"through {reference.path.name}", context.output(split)))
        scored = [score_output(context, split, name, each, objective, curves=False) for name, each in outputs]
        (baseline_scores["one_tap"][split], without), (scores[split], this) = scored
        traces[split] = without, this
    learnt_through = pa_section(plan)
    report = {
        "pa": {
            "path": str(reference.path),
            "sha256": reference.sha256,
            "model": reference.kind,
            "same_kind": learnt_through is not None and reference.kind == learnt_through.kind,
            **pa_model_fields({"nmse_db": pa_model_nmse(reference.model, capture, splits)}),
        },
        "splits": scores,
        "baselines": baseline_scores,
    }
    if own is not None and own.report.get("simulated"):
        own_scores = own.report["splits"]
        report["difference"] = {split: _difference(scores[split], own_scores[split]) for split in splits}
        report["difference_with_past"] = {
            split: _difference(chosen(scores[split]), chosen(own_scores[split])) for split in splits
        }
    return CrossModelScores(report, traces)


def add_cross_model_scores(
    evaluation: Evaluation, cross_model: CrossModelScores
) -> tuple[dict[str, Any], list[PlotData]]:
    """Return the report with its `through`, and the plots with the output through the reference before the last one."""
    plots = []
    for plot in evaluation.plots:
        _, trace = cross_model.traces[plot.split]
        plots.append(plot if trace is None else replace(plot, traces=(*plot.traces[:-1], trace, plot.traces[-1])))
    return evaluation.report | {"through": cross_model.report}, plots


def _difference(through: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, float]:
    both = {name: (through[name], own[name]) for name in COMPARED}
    return {name: a - b for name, (a, b) in both.items() if a is not None and b is not None}
