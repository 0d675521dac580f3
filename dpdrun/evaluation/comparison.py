"""Runs side by side: scored anew, by the same code, on the same samples; those that do not compare are kept apart."""

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
from dpdrun.evaluation.assessment import GMP, NONE_DPD, ONE_GAIN, of_amplifier, said
from dpdrun.evaluation.cross_model import ReferencePA, load_reference_pa, require_independent
from dpdrun.evaluation.plot_data import Scene, Trace
from dpdrun.evaluation.prediction import Split, part_of
from dpdrun.evaluation.scoring import ScoringContext, scores_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import capture_section, require_own_samples
from dpdrun.rf.metrics import one_tap_gain
from dpdrun.run.folder import RunFolder

MEASURED = "measured"


@dataclass(frozen=True, eq=False)
class Run:
    """A run to compare.

    Attributes:
        name: the name of its folder, or the path where two have the same.
        folder: of the run.
        model: trained; a predistorter with its limiter.
        plan: of the run.
    """

    name: str
    folder: RunFolder
    model: BehaviouralModel
    plan: Plan


@dataclass(frozen=True, eq=False)
class Group:
    """Runs whose scores compare: the same task and samples, and for predistorters the same PA model and target.

    Attributes:
        about: `task`, `split`, `capture` (name and hash); of predistorters `pa` (path and NMSE of the PA model
            behind them, and whether it is `weak`, worse than a gmp; None where there is none) and `gain`.
        rows: a dict a run: `run`, `path`, `model`, `parameters`, `macs_per_sample`, `lookahead`, `seconds`, `steps` and
            `linearity`.
        baselines: by name, the `linearity` of what stands beside: the measured output, least squares, nothing.
        scene: the outputs, the best run last.
        changed: names of the runs that were trained on other samples than the capture has now.
    """

    about: dict[str, Any]
    rows: list[dict[str, Any]]
    baselines: dict[str, dict[str, Any]]
    scene: Scene
    changed: list[str]

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return self.about | {"runs": self.rows, "baselines": self.baselines}


def compared(runs: Sequence[Run], split: Split, through: Path | None = None, data: str | None = None) -> list[Group]:
    """Score runs and group those that compare, in the order of their first run.

    Args:
        runs: of any tasks and captures.
        split: the part to score.
        through: a PA run that judges all predistorters in place of those that they learnt through.
        data: where the capture of all runs is now; None = where it was, or near each run folder.

    Raises:
        RunError: a PA model is missing, or `through` cannot judge one of the runs.
        DataError: a capture cannot be read, or is not that of a run.
    """
    captures: dict[str, Capture] = {}
    stages: dict[tuple[Any, ...], list[tuple[Run, ScoringContext]]] = {}
    judges: dict[str, ReferencePA] = {}
    for run in runs:
        section = capture_section(run.folder, run.plan, data)
        key = section.model_dump_json()
        if key not in captures:
            captures[key] = load_capture(section)
        capture = captures[key]
        require_own_samples(run.folder, section, capture, named=data is not None)
        pa = None
        if through is not None:
            if capture.sha256 not in judges:
                judges[capture.sha256] = load_reference_pa(through, capture)
            require_independent(judges[capture.sha256], run.folder.path, run.plan)
            pa = judges[capture.sha256].model
        elif run.plan.predistortion is not None:
            try:
                pa = pa_model_of(run.plan)
            except RunError as error:
                raise RunError(f"{run.folder.path}: {error}") from None
        stage = ScoringContext(run.model, run.plan, capture, pa)
        stages.setdefault(_key(run, capture, through), []).append((run, stage))
    return [_group(members, split, through) for members in stages.values()]


def _key(run: Run, capture: Capture, through: Path | None) -> tuple[Any, ...]:
    """What has to be the same for scores to compare."""
    made = run.plan.predistortion
    if made is None:
        return "pa", capture.sha256
    return "dpd", capture.sha256, "judge" if through else made.pa_sha256, made.gain


def _group(members: Sequence[tuple[Run, ScoringContext]], split: Split, through: Path | None) -> Group:
    run, stage = members[0]
    plan, capture = run.plan, stage.capture
    about: dict[str, Any] = {
        "task": plan.recipe.task,
        "split": split,
        "capture": {"name": capture.name, "sha256": capture.sha256},
    }
    if plan.predistortion is not None:
        pa = None
        if stage.pa is not None:
            path = plan.recipe.pa if through is None else str(through)
            pa = {"path": path, "nmse_db": of_amplifier(stage.pa, capture, [split])[split]}
            if through is None:
                pa["weak"] = any(_learnt_through_a_weak_one(run) for run, _ in members)
        about |= {"pa": pa, "gain": plan.predistortion.gain, "simulated": stage.simulated}
    beside, drawn = _beside(stage, split)
    rows: list[dict[str, Any]] = []
    traces: list[Trace] = []
    changed = []
    for run, stage in members:
        trace = stage.trace(run.name, split, stage.output(split))
        if trace is not None:
            traces.append(trace)
        before = run.folder.read_json(run.folder.report) if run.folder.report.is_file() else {}
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
                "linearity": said(None if trace is None else trace.scores, curves=False),
            }
        )
    traces.sort(key=lambda trace: -trace.scores.nmse_db)
    return Group(about, rows, beside, stage.scene(split, [*drawn, *traces]), changed)


def _learnt_through_a_weak_one(run: Run) -> bool:
    """Whether its report says that its PA model is worse than a gmp."""
    before = run.folder.read_json(run.folder.report) if run.folder.report.is_file() else {}
    pa = before.get("pa")
    return isinstance(pa, dict) and pa.get("weak") is True


def _beside(stage: ScoringContext, split: Split) -> tuple[dict[str, dict[str, Any]], list[Trace | None]]:
    """Scores of the baselines by name, and those that are worth a curve."""
    pair, part = stage.pair, part_of(stage.pair, split)
    if stage.pa is not None:
        plain = baselines.without_predistortion(stage.plan, stage.capture, stage.pa, [split])[split]
        least = baselines.gmp_predistorted(stage.plan, stage.capture, stage.pa, [split])[split]
        named = {NONE_DPD: plain, GMP: least}
        drawn = [stage.trace(NONE_DPD, split, plain)]
    else:
        named = {
            ONE_GAIN: baselines.one_tap_outputs(pair, [split])[split],
            GMP: baselines.gmp_outputs(pair, [split])[0][split],
        }
        drawn = []
    found = {name: said(stage.scores(split, y), curves=False) for name, y in named.items()}
    if stage.plan.predistortion is None:
        linear = one_tap_gain(part.x, part.y) * part.x
        measured = said(scores_of(pair, split, linear, part.y), curves=False)
        kept = {name: value for name, value in measured.items() if name.startswith("aclr") or name == "papr_db"}
        found = {MEASURED: kept, **found}
    return found, drawn
