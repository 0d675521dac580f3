"""Score the predistorters of a pipeline: through the PA model each learnt through, and through the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun import __version__
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.evaluation.cross_model import add_cross_model_scores, load_reference_pa, score_with_reference
from dpdrun.evaluation.plot_data import PlotData
from dpdrun.pipeline.document import EVALUATION, Pipeline
from dpdrun.pipeline.state import StepState
from dpdrun.run.files import sha256_of
from dpdrun.run.folder import SCHEMA_VERSION, RunFolder
from dpdrun.training.job import load_run

FILE = "scores.json"
Draw = Callable[[Path, Path, dict[str, Any], list[PlotData]], object]  # where to, the run, its report, its signals


@dataclass(frozen=True)
class Scores:
    """The evaluation of a pipeline.

    Attributes:
        path: scores.json.
        own: by predistorter, its report from `evaluation.assessment`.
        judged: by predistorter, then by PA step, its report from `evaluation.cross_model`.
        learnt: by predistorter, the PA step that it learnt through.
    """

    path: Path
    own: dict[str, dict[str, Any]]
    judged: dict[str, dict[str, dict[str, Any]]]
    learnt: dict[str, str]


def score_pipeline(
    pipeline: Pipeline, folder: Path, states: Sequence[StepState], draw: Draw | None = None
) -> tuple[Scores, bool]:
    """Score every predistorter through every PA model, unless that has been done, and drawn, for the same models.

    Args:
        pipeline, folder: the pipeline.
        states: of all its steps, which are finished.
        draw: writes the page of one predistorter, in a folder of its name next to scores.json; with the verdict of the
            first reference PA, where there is one.

    Returns:
        The scores, and whether they were computed now.

    Raises:
        RunError: a model cannot be read, or the scores cannot be written.
    """
    place = RunFolder(folder / EVALUATION)
    stored = stored_scores(pipeline, folder, states)
    if stored is not None and (draw is None or all((place.path / name).is_dir() for name in stored.own)):
        return stored, False
    place.path.mkdir(exist_ok=True)
    scores = Scores(place.path / FILE, {}, {}, _learnt(pipeline))
    for state in states:
        if state.step.through is None:
            continue
        name, (model, plan, _) = state.step.name, load_run(state.run.path)
        this = evaluate_with_plots(model, plan, state.capture, pipeline.splits)
        verdicts = {
            other.step.name: score_with_reference(
                model, plan, state.capture, pipeline.splits, load_reference_pa(other.run.path, state.capture), this
            )
            for other in states
            if other.step.through is None and other.step.name != state.step.through
        }
        scores.own[name] = this.report
        scores.judged[name] = {judge: verdict.report for judge, verdict in verdicts.items()}
        if draw is not None:
            first = next(iter(verdicts.values()), None)
            report, scenes = (this.report, this.plots) if first is None else add_cross_model_scores(this, first)
            draw(place.path / name, state.run.path, report, scenes)
    content = {"schema_version": SCHEMA_VERSION, "made_of": _inputs(pipeline, states)}
    content |= {"learnt": scores.learnt, "own": scores.own, "judged": scores.judged}
    place.write_json(scores.path, content)  # last: this file states that all is done
    return scores, True


def stored_scores(pipeline: Pipeline, folder: Path, states: Sequence[StepState]) -> Scores | None:
    """Return the scores in the folder if they are of these models and splits, else None.

    Raises:
        RunError: a step has no model yet.
    """
    place = RunFolder(folder / EVALUATION)
    path = place.path / FILE
    if not path.is_file():
        return None
    try:
        before = place.read_json(path)
    except RunError:  # damaged: they are computed again
        return None
    if before.get("made_of") != _inputs(pipeline, states) or not {"own", "judged"} <= before.keys():
        return None
    return Scores(path, before["own"], before["judged"], _learnt(pipeline))


def _inputs(pipeline: Pipeline, states: Sequence[StepState]) -> dict[str, Any]:
    """Return what scores depend on: the models, and the plans, which say how a record is split."""
    inputs = {
        state.step.name: {"plan": state.plan.digest(state.capture.sha256), "model_sha256": sha256_of(state.run.model)}
        for state in states
    }
    return {"dpdrun": __version__, "splits": list(pipeline.splits), "steps": inputs}


def _learnt(pipeline: Pipeline) -> dict[str, str]:
    return {step.name: step.through for step in pipeline.steps if step.through}
