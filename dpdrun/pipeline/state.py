"""Decide what is to be done for each step, from the content of its folder and from its inputs now.

A step is identified by its digest: the complete resolved plan, the hash of the samples and, of a predistorter, the hash
of its PA model (`Plan.digest`). Paths, comments, and how often checkpoints are written do not count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dpdrun.data.capture import Capture
from dpdrun.errors import RunError
from dpdrun.pipeline.document import Pipeline, Step
from dpdrun.plan.digest import changed_keys, differing_keys, digest_of
from dpdrun.plan.plan import Plan
from dpdrun.plan.prepare import prepare
from dpdrun.plan.recorded import capture_of, plan_of
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.renamed import with_current_keys
from dpdrun.run.folder import RunFolder
from dpdrun.training import checkpoint, job

# run: its folder is empty. skip: finished with the same inputs. resume: interrupted, with a checkpoint. restart:
# interrupted without one. changed: has other inputs now. wait: has the same inputs if its PA model does not change.
Action = Literal["run", "skip", "resume", "restart", "changed", "wait"]
_REASONS: dict[Action, str] = {
    "run": "not run yet",
    "skip": "finished and unchanged",
    "restart": "interrupted before its first checkpoint",
    "wait": "kept if its PA model does not change",
}


@dataclass(frozen=True)
class StepState:
    """The state of a step.

    Attributes:
        step: of the pipeline; `pa` of its recipe is the folder of its PA step.
        run: its folder.
        plan, capture: its inputs now; the plan without `predistortion` while its PA model is not ready.
        action: what is to be done.
        changed: dotted keys that differ from those in its folder, as `changed_keys`; "data" for the samples.
        done: share of the optimizer steps that are done, 0 to 1.
        maker: the version of dpdrun that wrote the folder.
    """

    step: Step
    run: RunFolder
    plan: Plan
    capture: Capture
    action: Action
    changed: tuple[str, ...] = ()
    done: float = 0.0
    maker: str = ""

    @property
    def reason(self) -> str:
        """Why `action` is to be done."""
        if self.action == "resume":
            total = self.plan.total_steps
            return f"continues from step {round(self.done * total):,} of {total:,}"
        if self.step.finished is not None:
            return f"the finished run {self.run.path}"
        return f"changed: {first_keys(self.changed)}" if self.action == "changed" else _REASONS[self.action]


def step_states(pipeline: Pipeline, folder: Path) -> list[StepState]:
    """Return the state of every step; nothing is written and nothing is trained.

    Raises:
        RecipeError, DataError: a recipe does not fit its data, or a predistorter has other data than its PA model.
        RunError: the folder of a step holds something else.
    """
    states: dict[str, StepState] = {}
    for step in pipeline.steps:
        amplifier = states[step.through] if step.through else None
        state = step_state(pipeline, step, folder, pa_ready=amplifier is None or amplifier.action == "skip")
        if amplifier is not None and amplifier.capture.sha256 != state.capture.sha256:
            its, own = (each.plan.recipe.data.model_dump(mode="json") for each in (amplifier, state))
            keys = differing_keys(its, own)
            message = (
                f"a predistorter needs the capture, sample rate and split of its PA model, step {step.through}; "
                f"they differ in {first_keys([f'data.{key}' for key in keys])}"
            )
            raise step.loaded.error([("data", message)])
        states[step.name] = state
    return list(states.values())


def step_state(pipeline: Pipeline, step: Step, folder: Path, *, pa_ready: bool = True) -> StepState:
    """Return the state of one step.

    Args:
        pipeline: the pipeline.
        step: one of its steps.
        folder: of the pipeline.
        pa_ready: False while the PA model that it learns through is not trained, or still to be trained again.

    Raises:
        RecipeError, DataError, RunError: as `step_states`.
    """
    step = _with_pa_folder(pipeline, step, folder)
    run = RunFolder(step.folder(folder))
    if step.finished is not None:
        plan = plan_of(run)
        return StepState(step, run, plan, capture_of(run, plan), "skip")
    plan, capture = job.prepare_training(step.loaded) if pa_ready else prepare(step.loaded, pa_trained=False)
    if not run.path.exists() or (run.path.is_dir() and not any(run.path.iterdir())):
        return StepState(step, run, plan, capture, "run")
    if not run.plan.is_file():
        raise RunError(
            f"{run.path}: the folder of step {step.name} contains files that do not belong to a run; move them"
        )
    written = run.read_json(run.plan)
    written["recipe"] = with_current_keys(written.get("recipe") or {})
    maker, sha256 = str(written.pop("dpdrun", "unknown")), written.pop("data_sha256", None)
    now = plan.to_json()
    if not pa_ready:
        for content in (written, now):
            content.pop("predistortion", None)
            content.pop("init", None)
    if sha256 != capture.sha256 or digest_of(written, sha256) != digest_of(now, capture.sha256):
        changed = changed_keys(written, now) + ([] if sha256 == capture.sha256 else ["data"])
        return StepState(step, run, plan, capture, "changed", tuple(changed), maker=maker)
    if run.report.is_file() and run.model.is_file():
        return StepState(step, run, plan, capture, "skip" if pa_ready else "wait", maker=maker)
    if not run.last.is_file():
        return StepState(step, run, plan, capture, "restart", maker=maker)
    return StepState(
        step, run, plan, capture, "resume" if pa_ready else "wait", done=_share_done(run, plan), maker=maker
    )


def _with_pa_folder(pipeline: Pipeline, step: Step, folder: Path) -> Step:
    """Return the step with the folder of its PA step as `pa` of its recipe, as `--set` would write it."""
    if step.through is None:
        return step
    was = step.loaded
    overrides = [*was.overrides, f"pa={pipeline.step(step.through).folder(folder).absolute()}"]
    return replace(step, loaded=load_text(was.text, was.path, overrides))


def _share_done(run: RunFolder, plan: Plan) -> float:
    progress = json.loads(checkpoint.read_header(run.last).get("progress", "{}"))
    return float(progress.get("step", 0)) / max(1, plan.total_steps)


def first_keys(keys: Sequence[str], most: int = 5) -> str:
    """Return the first keys as text, such as `optim.lr, train.seed and 3 more`."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
