"""Check that an interrupted run has everything needed to resume it, before anything is written.

A run folder outlives machines, copies and clean-ups; what has become of it shows here, and not after hours of training
or as another run than the one that was begun.
"""

from __future__ import annotations

from typing import Any

from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import plan_of
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.run.files import decode_numbers
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, logged_until, read_metrics
from dpdrun.training import checkpoint
from dpdrun.training.checkpoint import Progress

READ_ON_RESUME = ("samples", "frames_crc", "loss", "grad_norm")  # of the line of a step
OR_START = "or start a new run with another --run-dir"


def recorded_recipe(run: RunFolder) -> Loaded:
    """Return the recipe of a run from its folder.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        return load_recipe(run.recipe)
    except RecipeError as exc:
        if not run.recipe.is_file():
            raise RunError(
                f"{run.recipe}: missing; restore the recipe that this run was started with, {OR_START}"
            ) from exc
        raise RunError(
            f"{exc}\nthis is no longer the recipe that the run was started with; restore it, {OR_START}"
        ) from exc


def recorded_plan(run: RunFolder) -> Plan:
    """Return the plan of a run from its folder. Raises RunError where it is missing or damaged."""
    try:
        return plan_of(run)
    except RunError as exc:
        raise RunError(f"{exc}; restore {run.plan.name} from a copy, {OR_START}") from exc


def recorded_report(run: RunFolder) -> dict[str, Any]:
    """Return the report of a finished run from its folder. Raises RunError where it is damaged."""
    try:
        return run.read_json(run.report)
    except RunError as exc:
        raise RunError(f"{exc}; remove it and score the run again with\n  {run.resume_command}") from exc


def require_checkpoint(run: RunFolder, plan: Plan) -> None:
    """Raise unless a run has a checkpoint and its files are intact and belong together.

    Raises:
        RunError: naming the file, what is wrong with it, and what can still be used.
    """
    if run.last.is_file():
        _require_intact(run)
        return
    why = "it ended before its first checkpoint (train.checkpoint_every sets how often they are written)"
    left = "; start a new run with another --run-dir"
    if plan.recipe.model.kind == "gmp":
        why = "a least-squares fit has no checkpoints"
    elif has_lost_its_checkpoint(run, plan):
        why, left = f"{run.last.name} is missing", checkpoint.remedy_for(run.last)
    raise RunError(f"{run.path}: nothing to resume from: {why}{left}")


def has_lost_its_checkpoint(run: RunFolder, plan: Plan) -> bool:
    """Return whether a run without `run.last` should have had one."""
    # more than that many steps: the line of a step is on the disk before the checkpoint that goes with it
    return any(run.rollback_points()) or 0 < plan.checkpoint_every < _steps_logged(run)


def _steps_logged(run: RunFolder) -> int:
    try:
        return len(read_metrics(run.path).steps)
    except RunError:
        return 0


def _require_intact(run: RunFolder) -> None:
    header = checkpoint.read_header(run.last)
    if header.get("format") != checkpoint.FORMAT:
        return  # not a checkpoint at all, as `checkpoint.restore` will say
    progress = checkpoint.progress_of(run.last, header)
    if progress.best_step:
        checkpoint.read_header(run.best)  # else the end of training would meet it
    if run.finish.is_file():
        checkpoint.read_header(run.finish)
    _require_logged(run, progress)


def _require_logged(run: RunFolder, progress: Progress) -> None:
    """Raise unless the log has every step up to the checkpoint."""
    hint = f"restore it from a copy, {OR_START}"
    if progress.step and not run.metrics.is_file():
        raise RunError(f"{run.metrics}: missing, but needed to continue; {hint}")
    log = Metrics()
    try:
        for line in logged_until(run, progress.step, progress.adapts):
            log.add(decode_numbers(line))
        steps = [line["step"] for line in log.steps]
        readable = all(isinstance(line[key], int | float) for line in log.steps for key in READ_ON_RESUME)
    except (KeyError, TypeError, ValueError) as exc:
        raise RunError(f"{run.metrics}: a line in it is damaged ({exc!r}); {hint}") from exc
    except RunError as exc:
        raise RunError(f"{exc}; {hint}") from exc
    missing = next((step for step in range(1, progress.step + 1) if steps[step - 1 : step] != [step]), None)
    if missing is not None:
        raise RunError(
            f"{run.metrics}: the line of step {missing} is missing or out of order, but the checkpoint is of step "
            f"{progress.step}; {hint}"
        )
    if not readable:
        raise RunError(f"{run.metrics}: a step has no number for one of {', '.join(READ_ON_RESUME)}; {hint}")
