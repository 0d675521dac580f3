"""Turn a recipe and its data into a plan, or raise an error if they do not fit.

`train`, its `--dry-run`, the probe and pipelines all begin here, and so refuse the same recipes with the same message.
Free of torch: what needs it (a GPU for fp16, the tensors of a PA model) is added by `training.job.prepare_training`.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture, locate_source
from dpdrun.distributed.cores import physical_memory
from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.cost import size_of
from dpdrun.plan.digest import differing_keys
from dpdrun.plan.plan import Plan, PlanError, check_finish, make_plan
from dpdrun.plan.threads import with_threads
from dpdrun.recipe.conflicts import Conflict
from dpdrun.recipe.fields import OFF
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.schema import GIVEN, KINDS, ModelSection, Recipe, SpectralLoss
from dpdrun.rules.run.domain import GMP_MARGIN_DB
from dpdrun.run.files import expand_user, is_there
from dpdrun.run.folder import RunFolder
from dpdrun.run.scores import chosen
from dpdrun.run.sweeps import best_run

BYTES_A_PARAMETER = 16  # float32: the weight, its gradient, AdamW's two moments


def prepare(
    loaded: Loaded, *, processes: int = 1, pa_trained: bool = True, capture: Capture | None = None
) -> tuple[Plan, Capture]:
    """Return the concrete plan of a recipe and its capture; nothing is written and nothing is trained.

    Args:
        loaded: from `load_recipe`.
        processes: how many train together, each with an equal share of a batch.
        pa_trained: False where the PA run is still to be made, by an earlier step of a pipeline: it is not checked.
        capture: that the `data` section of the recipe names, where it has been loaded or is passed from Python.

    Returns:
        The plan, of task dpd without its `predistortion`, and the capture.

    Raises:
        RecipeError: the recipe does not fit the data, the processes or its PA run, or a rule is missing; with line and
            column of the field.
        DataError: the capture cannot be read.
    """
    data = loaded.recipe.data
    data = data.model_copy(
        update={"source": locate_source(data.source, recipe=loaded.path)}
    )  # valid from any folder, later
    capture = load_capture(data) if capture is None else capture
    if capture.alignment is not None:  # as values: what is applied stands in the plan
        data = data.model_copy(update={"align": capture.alignment.values})
    if capture.resampling is not None:
        data = data.model_copy(update={"sample_rate_hz": capture.resampling.from_hz})
    train = loaded.recipe.train
    if train.init_from != OFF:
        train = train.model_copy(update={"init_from": _located_run(loaded, "train.init_from", train.init_from)})
    recipe = loaded.recipe.model_copy(update={"data": data, "pa": locate_pa(loaded), "train": train})
    try:
        plan = make_plan(recipe, len(capture.train), given=loaded.given)
    except PlanError as error:
        raise loaded.error(error.conflicts) from None
    if found := _misfits(plan, capture):
        raise loaded.error(found)
    check_share(loaded, plan, processes)
    if pa_trained and names_a_run(recipe):
        try:
            _check_pa_run(loaded, plan, capture)
        except RunError as error:
            raise loaded.error([("pa", f"pa: {error}")]) from None
    return with_threads(plan, pa_section(plan) if pa_trained else None, processes=processes), capture


def needs_torch(recipe: Recipe) -> bool:
    """Whether `training.job.prepare_training` has more to check than `prepare`: a GPU, or the tensors of a run."""
    train = recipe.train
    started = train.init_from != OFF
    return recipe.task == "dpd" or started or train.precision == "fp16" or train.device in ("cuda", "mps")


def names_a_run(recipe: Recipe) -> bool:
    """Whether the PA model of a recipe is a run folder, so that `pa` is a path."""
    return recipe.pa not in (OFF, GIVEN)


def locate_pa(loaded: Loaded) -> str:
    """Return `pa` of a recipe, a path made absolute: relative to the current folder, or else next to the recipe.

    Raises:
        RecipeError: it is a sweep without a finished trial; of others the best trial is taken.
    """
    return _located_run(loaded, "pa", loaded.recipe.pa) if names_a_run(loaded.recipe) else loaded.recipe.pa


def _located_run(loaded: Loaded, key: str, named: str) -> str:
    path = expand_user(named)
    near_recipe = loaded.path.parent / path
    try:
        return str(best_run((near_recipe if not is_there(path) and is_there(near_recipe) else path).absolute()))
    except RunError as error:
        raise loaded.error([(key, f"{key}: {error}")]) from None


def check_share(loaded: Loaded, plan: Plan, processes: int) -> None:
    """Raise RecipeError unless a batch divides evenly between processes and passes; names the nearest that do."""
    passes = plan.recipe.train.accumulate
    unit = passes * processes
    if not plan.total_steps or plan.batch_size % unit == 0:
        return
    below, above = plan.batch_size // unit * unit, (plan.batch_size // unit + 1) * unit
    near = f"{below} or {above}" if below else str(above)
    parts = [f"{processes} processes", *([f"train.accumulate {passes}"] if passes > 1 else [])]
    message = f"train.batch_size {plan.batch_size} does not divide evenly by {' x '.join(parts)}"
    raise loaded.error([("train.batch_size", f"{message}; nearest that do: {near}")])


def refuse_weak_pa(loaded: Loaded, nmse_db: Any, gmp_nmse_db: Any) -> None:
    """Raise RecipeError where a gmp clearly beats the PA model on the validation split, unless the recipe accepts it.

    A predistorter learns the faults of its PA model as if they were the amplifier's, and is scored by the same faults.
    """
    scores = (nmse_db, gmp_nmse_db)
    better = all(isinstance(score, int | float) for score in scores) and not is_weak(nmse_db, gmp_nmse_db)
    if better or loaded.recipe.dpd.weak_pa == "accept":
        return
    own, gmp = (f"{score:.2f} dB" if isinstance(score, int | float) else str(score) for score in scores)
    message = (
        f"pa: this PA model is worse than a gmp on the validation split ({own} against {gmp}): a predistorter would "
        "exploit its errors. Train a better one, or set dpd.weak_pa: accept"
    )
    raise loaded.error([("pa", message)])


def is_weak(nmse_db: float, gmp_nmse_db: float) -> bool:
    """Whether a PA model is worse than a gmp, by more than what DM202 takes for noise."""
    return not nmse_db <= gmp_nmse_db + GMP_MARGIN_DB


def pa_section(plan: Plan) -> ModelSection | None:
    """Return the `model` section of the PA run that a plan learns through; None where its PA model is no run.

    Raises:
        RunError: the run cannot be read.
    """
    if not names_a_run(plan.recipe):
        return None
    run = RunFolder.open(Path(plan.recipe.pa))
    return Plan.from_json(run.read_json(run.plan)).recipe.model


def _misfits(plan: Plan, capture: Capture) -> list[Conflict]:
    """What of a plan its capture cannot give, or this machine cannot hold."""
    if too_large := _beyond_memory(plan.recipe.model):
        return too_large
    loop = capture.loop_samples
    if loop is not None and plan.frame > loop:
        message = f"train.frame {plan.frame} is longer than the loops of this capture; use at most {loop}"
        return [("train.frame", message)]
    if loop is not None and (found := check_finish(plan.recipe, loop)):
        return found
    if isinstance(plan.recipe.train.loss, SpectralLoss) and capture.bandwidth_hz is None:
        message = f"train.loss: {capture.name} does not state the bandwidth of its signal; write data.bandwidth_hz"
        return [("train.loss", message)]
    return []


def _beyond_memory(model: ModelSection) -> list[Conflict]:
    """Refuse a model whose tensors alone do not fit into the memory of this machine: to build it would take forever."""
    if not isinstance(model, KINDS):
        return []  # of a plug-in, whose size is not known before it is built
    parameters, memory = size_of(model).parameters, physical_memory()
    needed = parameters * BYTES_A_PARAMETER
    if memory is None or needed <= memory:
        return []
    message = (
        f"model: {parameters:.3g} parameters take {needed / 2**30:,.0f} GiB with their gradients and AdamW's moments; "
        f"this machine has {memory / 2**30:,.0f} GiB: lower the sizes of the model"
    )
    return [("model", message)]


def _check_pa_run(loaded: Loaded, plan: Plan, capture: Capture) -> None:
    """Raise RunError or RecipeError unless the PA run is finished, of this capture, and better than a gmp."""
    path = Path(plan.recipe.pa)
    try:
        run = RunFolder.open(path)
    except RunError as error:
        if is_there(path):
            raise
        raise RunError(f"{error}; train the PA model first:\n  {_training_command(loaded, path)}") from None
    its = Plan.from_json(run.read_json(run.plan))
    if its.recipe.task != "pa":
        raise RunError(f"{path} is a run of task {its.recipe.task}; name the run of the PA model")
    if not (run.report.is_file() and run.model.is_file()):
        raise RunError(f"{path}: this run is not finished; continue it with:\n  {run.resume_command}")
    report = run.read_json(run.report)
    try:
        trained_on, scores = report["capture"]["sha256"], chosen(report["splits"]["val"])["nmse_db"]
        gmp = chosen(report["baselines"]["gmp"]["val"])["nmse_db"]
    except (KeyError, TypeError) as exc:
        raise RunError(
            f"{run.report}: damaged ({exc!r}); delete it and recreate it with `dpdrun train --resume`"
        ) from exc
    if trained_on != capture.sha256:
        raise _other_data(loaded, its, plan, path)
    refuse_weak_pa(loaded, scores, gmp)


def _training_command(loaded: Loaded, path: Path) -> str:
    """Return the command that trains the PA run of a recipe; its own recipe is looked for next to that one."""
    recipe = loaded.path.with_name(f"{path.name}.yaml")
    shown = shlex.quote(str(recipe)) if is_there(recipe) and recipe != loaded.path else "RECIPE-OF-THE-PA"
    place = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"dpdrun train {shown} --run-dir {shlex.quote(str(place))}"


def _other_data(loaded: Loaded, its: Plan, plan: Plan, path: Path) -> RecipeError:
    before, now = ({"data": each.recipe.data.model_dump(mode="json")} for each in (its, plan))
    keys = differing_keys(before, now)
    why = f"they differ in {', '.join(keys)}" if keys else "the data have changed since it was trained"
    message = (
        f"pa: {path} was trained on other samples than those of this recipe: {why}. A predistorter needs a PA model of "
        "the same capture, sample rate and split"
    )
    return loaded.error([("pa", message)])
