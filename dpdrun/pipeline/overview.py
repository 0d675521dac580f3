"""Work out what a pipeline would do, and how long it would take, without running it."""

from __future__ import annotations

from pathlib import Path

from dpdrun.pipeline.document import EVALUATION, Pipeline
from dpdrun.pipeline.execution import require_folder
from dpdrun.pipeline.scores import stored_scores
from dpdrun.pipeline.state import StepState, step_states
from dpdrun.plan.cost import MachineSpeed, measure_speed
from dpdrun.plan.plan import estimate_of
from dpdrun.report.pipeline import StepRow


def overview_rows(pipeline: Pipeline, folder: Path, *, redo: bool) -> list[StepRow]:
    """Return a row for each step and one for the evaluation.

    Args:
        pipeline: the pipeline.
        folder: of the pipeline; it may be missing.
        redo: as of `execution.execute`.

    Raises:
        RecipeError, DataError, RunError: what a run would be refused for.
    """
    require_folder(folder)
    states = step_states(pipeline, folder)
    by_name, speed = {state.step.name: state for state in states}, measure_speed()
    rows = [_row(state, by_name, speed, redo=redo) for state in states]
    done = all(row.action == "skip" for row in rows) and stored_scores(pipeline, folder, states) is not None
    why = "done for these models" if done else f"splits {', '.join(pipeline.splits)}"
    return [*rows, StepRow(EVALUATION, "", "skip" if done else "run", why, None)]


def _row(state: StepState, states: dict[str, StepState], speed: MachineSpeed, *, redo: bool) -> StepRow:
    through = state.step.through
    pa = states[through].plan.recipe.model if through else None
    estimate = estimate_of(state.plan, val_samples=len(state.capture.val), pa=pa, speed=speed)
    seconds = None if estimate is None else estimate.seconds * (1 - state.done)
    action = "redo" if redo and state.action == "changed" else state.action
    return StepRow(state.step.name, state.step.source.name, action, state.reason, seconds)
