"""Compare runs: score them with the same code on the same samples, grouped by what makes scores comparable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.dpd.cascade import pa_model_of
from dpdrun.errors import RunError
from dpdrun.evaluation import baselines
from dpdrun.evaluation.assessment import GMP, NONE_DPD, ONE_GAIN, linearity_json, pa_model_nmse, score_output
from dpdrun.evaluation.cross_model import ReferencePA, load_reference_pa, require_independent
from dpdrun.evaluation.plot_data import PlotData, Trace
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.evaluation.progress import doing
from dpdrun.evaluation.scoring import ScoringContext, scores_of, wanted_aclr
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._threads import torch_threads
from dpdrun.plan.digest import UNCOUNTED
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import capture_section, require_own_samples
from dpdrun.plan.threads import threads_to_predict
from dpdrun.rf.metrics import one_tap_gain
from dpdrun.run.folder import RunFolder
from dpdrun.run.listing import differing, settings_of
from dpdrun.run.scores import WITH_PAST

MEASURED, INPUT, WANTED = "measured", "input", "wanted signal"


@dataclass(frozen=True, eq=False)
class Run:
    """A run to compare.

    Attributes:
        name: of its folder, or its path if two folders have the same name.
        folder: of the run.
        model: trained; a predistorter with its limiter.
        plan: of the run.
    """

    name: str
    folder: RunFolder
    model: BehaviouralModel
    plan: Plan


@dataclass(frozen=True, eq=False)
class RunGroup:
    """Runs with comparable scores: the same task and samples, and for predistorters the same PA model and target.

    Attributes:
        about: `task`, `split`, `capture` (name and hash); for predistorters `pa` (path and NMSE of the PA model after
            them, and whether it is `weak`, worse than a gmp; None if there is none) and `gain`.
        rows: a dict for each run: `run`, `path`, `model`, `parameters`, `macs_per_sample`, `lookahead`, `seconds`,
            `steps`, `settings` (recipe values that are not equal in all runs), `linearity` from a cold start, and under
            `with_past` that with the past of the record, or None.
        baselines: by name, the `linearity` of the measured output, of least squares, or of no predistortion, with its
            own `with_past`.
        plot: the outputs, the best run last.
        changed: names of the runs that were trained on other samples than the capture has now.
    """

    about: dict[str, Any]
    rows: list[dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    plot: PlotData
    changed: list[str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return self.about | {"runs": self.rows, "baselines": self.baselines}


def compare_runs(
    runs: Sequence[Run], split: Split, through: Path | None = None, data: str | None = None
) -> list[RunGroup]:
    """Score runs and group those with comparable scores, in the order of their first run.

    Args:
        runs: of any tasks and captures.
        split: which one to score.
        through: a PA run to score all predistorters through, in place of their own.
        data: where the capture of all runs is now; None = where it was, or near each run folder.

    Raises:
        RunError: a PA model is missing, or `through` is not independent of one of the runs.
        DataError: a capture cannot be read, or is not that of a run.
    """
    captures: dict[str, Capture] = {}
    groups: dict[tuple[Any, ...], list[tuple[Run, ScoringContext]]] = {}
    references: dict[str, ReferencePA] = {}
    for run in runs:
        section = capture_section(run.folder, run.plan, data)
        key = section.model_dump_json()
        if key not in captures:
            captures[key] = load_capture(section)
        capture = captures[key]
        require_own_samples(run.folder, section, capture, named=data is not None)
        pa = None
        if through is not None:
            if capture.sha256 not in references:
                references[capture.sha256] = load_reference_pa(through, capture)
            require_independent(references[capture.sha256], run.folder.path, run.plan)
            pa = references[capture.sha256].model
        elif run.plan.predistortion is not None:
            try:
                pa = pa_model_of(run.plan)
            except RunError as error:
                raise RunError(f"{run.folder.path}: {error}") from None
        context = ScoringContext(run.model, run.plan, capture, pa)
        groups.setdefault(_key(run, capture, through), []).append((run, context))
    with torch_threads(max(threads_to_predict(run.plan) for run in runs)):
        return [_group(members, split, through) for members in groups.values()]


def _key(run: Run, capture: Capture, through: Path | None) -> tuple[Any, ...]:
    """Return what has to be equal for scores to be comparable."""
    settings = run.plan.predistortion
    if settings is None:
        return "pa", capture.sha256
    return "dpd", capture.sha256, "reference" if through else settings.pa_sha256, settings.gain


def _group(members: Sequence[tuple[Run, ScoringContext]], split: Split, through: Path | None) -> RunGroup:
    run, context = members[0]
    plan, capture = run.plan, context.capture
    folders = [run.folder for run, _ in members]
    reports = [folder.read_json(folder.report) if folder.report.is_file() else {} for folder in folders]
    about: dict[str, Any] = {
        "task": plan.recipe.task,
        "split": split,
        "capture": {"name": capture.name, "sha256": capture.sha256},
    }
    if plan.predistortion is not None:
        pa = None
        if context.pa is not None:
            path = plan.recipe.pa if through is None else str(through)
            pa = {"path": path, **pa_model_nmse(context.pa, capture, [split])[split]}
            if through is None:
                pa["weak"] = any((report.get("pa") or {}).get("weak") is True for report in reports)
        about |= {"pa": pa, "gain": plan.predistortion.gain, "simulated": context.simulated}
    doing("fitting the baselines")
    baseline_scores, drawn = _score_baselines(context, split)
    rows: list[dict[str, Any]] = []
    traces: list[Trace] = []
    changed = []
    hidden = UNCOUNTED - {"train.init_from"}
    settings = differing([settings_of(run.plan.recipe.model_dump(mode="json")) for run, _ in members], hidden)
    for (run, context), before, own in zip(members, reports, settings, strict=True):
        doing(f"scoring {run.name}")
        score, trace = score_output(context, split, run.name, context.output(split), lambda _: {}, curves=False)
        if trace is not None:
            traces.append(trace)
        trained_on = before.get("capture")
        if isinstance(trained_on, dict) and trained_on.get("sha256") != capture.sha256:
            changed.append(run.name)
        rows.append(
            {
                "run": run.name,
                "path": str(run.folder.path),
                "model": run.plan.recipe.model.kind,
                "parameters": sum(p.numel() for p in run.model.parameters() if p.requires_grad),
                "macs_per_sample": run.model.macs_per_sample,
                "lookahead": run.model.lookahead,
                "seconds": before.get("seconds"),
                "steps": before.get("steps"),
                "settings": own,
                **score,
            }
        )
    traces.sort(key=lambda trace: -trace.scores.nmse_db)
    return RunGroup(about, rows, baseline_scores, context.plot_data(split, [*drawn, *traces]), changed)


def _score_baselines(context: ScoringContext, split: Split) -> tuple[dict[str, dict[str, Any]], list[Trace | None]]:
    """Return the scores of the baselines by name, and the traces of those that plots show."""
    pair, part = context.pair, part_of(context.pair, split)
    if context.pa is not None:
        named = {
            NONE_DPD: baselines.without_predistortion(context.plan, context.capture, context.pa, [split])[split],
            GMP: baselines.gmp_predistorted(context.plan, context.capture, context.pa, [split])[split],
        }
    else:
        named = {
            ONE_GAIN: baselines.one_tap_outputs(pair, [split])[split],
            GMP: baselines.gmp_outputs(pair, [split])[0][split],
        }
    scores, drawn = dict[str, dict[str, Any]](), list[Trace | None]()
    for name, output in named.items():
        score, trace = score_output(context, split, name, output, lambda _: {}, curves=False)
        scores[name] = score["linearity"] | {WITH_PAST: (score[WITH_PAST] or {}).get("linearity")}
        drawn += [trace] if name == NONE_DPD else []
    if context.plan.predistortion is None:
        linear = one_tap_gain(part.x, part.y) * part.x
        found = scores_of(pair, split, linear, part.y)
        measured = linearity_json(found, curves=False)
        kept = {name: value for name, value in measured.items() if name.startswith("aclr") or name == "papr_db"}
        own = wanted_aclr(pair, split, part.y, found)
        return {**({INPUT: own} if own else {}), MEASURED: kept, **scores}, drawn
    first = drawn[0] if drawn else None
    own = {} if first is None else wanted_aclr(context.capture, split, first.y, first.scores)
    return {**({WANTED: {**own, "caveat": None}} if own else {}), **scores}, drawn
