"""What is to be done for a step, from what lies in its folder and what it would be made of now.

A step is what its digest says: the whole resolved plan, the hash of the data, and of a predistorter the hash of its PA
model (`Plan.digest`). Comments, and how often checkpoints are written, do not count.
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
from dpdrun.plan.plan import Plan, changed_keys, differing_keys, digest_of
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.loader import load_text
from dpdrun.run.folder import RunFolder
from dpdrun.training import checkpoint, job

# run: nothing is there. skip: finished, and made of the same. resume: broken off, with a checkpoint. anew: broken off
# without one. changed: made of something else. wait: finished, and made of the same if its PA model comes out the same.
Action = Literal["run", "skip", "resume", "anew", "changed", "wait"]


@dataclass(frozen=True)
class State:
    """A step as it stands.

    Attributes:
        step: of the chain, its `pa` that of the chain.
        run: its folder.
        plan, capture: what it would be made of now; without `predistortion` while its PA model is not there.
        action: what is to be done.
        changed: dotted keys that are not as when its folder was made, as `differing_keys`; "data" for the samples.
        done: share of the steps that lie behind, 0 to 1.
        maker: the version of dpdrun that made the folder.
    """

    step: Step
    run: RunFolder
    plan: Plan
    capture: Capture
    action: Action
    changed: tuple[str, ...] = ()
    done: float = 0.0
    maker: str = ""


def survey(pipeline: Pipeline, folder: Path) -> list[State]:
    """The state of every step, nothing written and nothing trained.

    Raises:
        RecipeError, DataError: a recipe does not fit its data, or a predistorter has other data than its PA model.
        RunError: a folder of a step holds something else.
    """
    states: dict[str, State] = {}
    for step in pipeline.steps:
        amplifier = states[step.through] if step.through else None
        settled = amplifier is None or amplifier.action == "skip"
        state = state_of(pipeline, step, folder, settled=settled)
        if amplifier is not None and amplifier.capture.sha256 != state.capture.sha256:
            its, own = (each.plan.recipe.data.model_dump(mode="json") for each in (amplifier, state))
            keys = differing_keys(its, own)
            message = (
                f"a predistorter needs the capture, sample rate and split of its PA model, step {step.through}; "
                f"they differ in {some_of([f'data.{key}' for key in keys])}"
            )
            raise step.loaded.error([("data", message)])
        states[step.name] = state
    return list(states.values())


def state_of(pipeline: Pipeline, step: Step, folder: Path, *, settled: bool = True) -> State:
    """The state of one step.

    Args:
        pipeline: the chain.
        step: one of its steps.
        folder: of the chain.
        settled: False while the PA model that it learns through is not there, or not yet the one that it will be.

    Raises:
        RecipeError, DataError, RunError: as `survey`.
    """
    step = _in_chain(pipeline, step, folder)
    run = RunFolder(folder / step.name)
    plan, capture = job.prepare(step.loaded) if settled else prepare(step.loaded, pa_trained=False)
    if not run.path.exists() or (run.path.is_dir() and not any(run.path.iterdir())):
        return State(step, run, plan, capture, "run")
    if not run.plan.is_file():
        raise RunError(f"{run.path}: in the way of step {step.name}: it holds files that no run of dpdrun left there")
    written = run.read_json(run.plan)
    maker, sha256 = str(written.pop("dpdrun", "unknown")), written.pop("data_sha256", None)
    now = plan.to_json()
    if not settled:
        for content in (written, now):
            content.pop("predistortion", None)
    if sha256 != capture.sha256 or digest_of(written, sha256) != digest_of(now, capture.sha256):
        changed = changed_keys(written, now) + ([] if sha256 == capture.sha256 else ["data"])
        return State(step, run, plan, capture, "changed", tuple(changed), maker=maker)
    if run.report.is_file() and run.model.is_file():
        return State(step, run, plan, capture, "skip" if settled else "wait", maker=maker)
    if not run.last.is_file():
        return State(step, run, plan, capture, "anew", maker=maker)
    return State(step, run, plan, capture, "resume" if settled else "wait", done=_share_done(run, plan), maker=maker)


def _in_chain(pipeline: Pipeline, step: Step, folder: Path) -> Step:
    """The step with the folder of its PA step as its `pa`, written into its recipe as `--set` would."""
    if step.through is None:
        return step
    was = step.loaded
    overrides = [*was.overrides, f"pa={(folder / pipeline.step(step.through).name).absolute()}"]
    return replace(step, loaded=load_text(was.text, was.path, overrides))


def _share_done(run: RunFolder, plan: Plan) -> float:
    progress = json.loads(checkpoint.read_header(run.last).get("progress", "{}"))
    return float(progress.get("step", 0)) / max(1, plan.total_steps)


def some_of(keys: Sequence[str], most: int = 5) -> str:
    """`optim.lr, train.seed and 3 more`."""
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
