"""A predistorter judged by another PA model than the one that it learnt through: how far its score can be believed.

Through the model that it learnt through, a predistorter profits from that model's faults. Through another one, trained
apart, it does not; what the real amplifier will show lies no nearer to the first score than the two are to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import dpd_settings, objective_of, stored_pa_model
from dpdrun.errors import RunError
from dpdrun.evaluation import baselines
from dpdrun.evaluation.assessment import NONE_DPD, Assessment, of_amplifier, said
from dpdrun.evaluation.plot_data import Scene, Trace
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.evaluation.scoring import ScoringContext
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import pa_section
from dpdrun.run.folder import RunFolder

COMPARED = ("nmse_db", "in_band_db", "aclr_left_db", "aclr_right_db", "aclr_worse_db", "objective_db", "power_db")


@dataclass(frozen=True, eq=False)
class ReferencePA:
    """A PA model that judges predistorters.

    Attributes:
        path: of its run.
        sha256: of its tensors.
        kind: of model.
        model: frozen.
    """

    path: Path
    sha256: str
    kind: str
    model: BehaviouralModel


@dataclass(frozen=True, eq=False)
class Verdict:
    """What a judge says of a predistorter.

    Attributes:
        report: `pa` (path, hash and NMSE of the judge), `splits` and `baselines` as in report.json, and `difference`,
            the judge's score less the one through the model that it learnt through, by split [dB], where both are.
        traces: by split, the output without predistortion and with it; without those that cannot be scored.
    """

    report: dict[str, Any]
    traces: dict[str, tuple[Trace | None, Trace | None]]


def load_reference_pa(path: Path, capture: Capture) -> ReferencePA:
    """The PA model of a finished run on this capture.

    Raises:
        RunError: it is no run, not of a PA model, has no model yet, or is of other data.
    """
    run = RunFolder.open(path)
    written = run.read_json(run.plan)
    plan = Plan.from_json(written)
    if plan.recipe.task != "pa":
        raise RunError(f"--through {path}: this is a run of task {plan.recipe.task}; name the run of a PA model")
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


def require_independent(judge: ReferencePA, run: Path, plan: Plan) -> None:
    """Refuse to judge a predistorter by the model that it learnt through, and a run that is no predistorter.

    Raises:
        RunError: naming both.
    """
    if plan.predistortion is None:
        raise RunError(f"{run}: --through judges predistorters, and this is the run of a PA model")
    if dpd_settings(plan).pa_sha256 == judge.sha256:
        raise RunError(
            f"--through {judge.path}: {run} learnt through this very model, so that is the score that it has anyway; "
            "name a PA run that was trained apart: another seed (train.seed), better another kind of model"
        )


def score_with_reference(
    model: BehaviouralModel,
    plan: Plan,
    capture: Capture,
    splits: Sequence[Split],
    judge: ReferencePA,
    own: Assessment | None = None,
) -> Verdict:
    """Score a predistorter through a judge.

    Args:
        model, plan: of its run.
        capture: as measured.
        splits: parts to score.
        judge: from `judge_of`; see `require_apart`.
        own: what was found through its own PA model, for the difference; None where there is none.
    """
    stage = ScoringContext(model.eval(), plan, capture, judge.model)
    none = baselines.without_predistortion(plan, capture, judge.model, splits)
    scores: dict[str, Any] = {}
    rivals: dict[str, Any] = {"one_tap": {}}
    traces: dict[str, tuple[Trace | None, Trace | None]] = {}
    for split in splits:
        y, part = stage.output(split), part_of(stage.pair, split)
        drawn = (stage.trace(NONE_DPD, split, none[split]), stage.trace(f"through {judge.path.name}", split, y))
        for found, output, trace in ((rivals["one_tap"], none[split], drawn[0]), (scores, y, drawn[1])):
            figures = objective_of(capture, plan, part, output).to_json()
            found[split] = figures | {"linearity": said(None if trace is None else trace.scores, curves=False)}
        traces[split] = drawn
    learnt_through = pa_section(plan)
    report = {
        "pa": {
            "path": str(judge.path),
            "sha256": judge.sha256,
            "model": judge.kind,
            "same_kind": learnt_through is not None and judge.kind == learnt_through.kind,
            "nmse_db": of_amplifier(judge.model, capture, splits),
        },
        "splits": scores,
        "baselines": rivals,
    }
    if own is not None and own.report.get("simulated"):
        mine = own.report["splits"]
        report["difference"] = {split: _difference(scores[split], mine[split]) for split in splits}
    return Verdict(report, traces)


def with_verdict(found: Assessment, verdict: Verdict) -> tuple[dict[str, Any], list[Scene]]:
    """A report with its `through`, and scenes with the judged output before the last trace."""
    scenes = []
    for scene in found.scenes:
        _, score_with_reference = verdict.traces[scene.split]
        traces = (
            scene.traces
            if score_with_reference is None
            else (*scene.traces[:-1], score_with_reference, *scene.traces[-1:])
        )
        scenes.append(replace(scene, traces=traces))
    return found.report | {"through": verdict.report}, scenes


def _difference(judged: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, float]:
    both = {name: (judged[name], own[name]) for name in COMPARED}
    return {name: there - here for name, (there, here) in both.items() if there is not None and here is not None}
