"""Checks the PA model of a dpd recipe against the capture and against a gmp, and pins it by its hash.

A predistorter learns the faults of its PA model as if they were the amplifier's, and is scored by the same faults: so a
model that is worse than a least-squares fit of seconds is refused (OpenDPD trains and scores through any).
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dpdrun.data.capture import Capture
from dpdrun.dpd.cascade import stored_pa_model
from dpdrun.dpd.target_gain import target_gain
from dpdrun.errors import RecipeError, RunError
from dpdrun.evaluation.baselines import gmp_baseline
from dpdrun.evaluation.prediction import predict
from dpdrun.models._cascade import fingerprint, frozen
from dpdrun.plan.plan import Plan, Predistortion, differing_keys
from dpdrun.recipe.fields import AUTO, OFF
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.schema import GIVEN, ModelSection
from dpdrun.rf.metrics import nmse_db
from dpdrun.run.folder import RunFolder


def resolve_path(loaded: Loaded) -> str:
    """Return `pa` of a recipe as an absolute path.

    A relative path begins in the current folder, or else in the folder of the recipe.
    """
    pa = loaded.recipe.pa
    if pa in (OFF, GIVEN):
        return pa
    path = Path(pa).expanduser()
    by_recipe = loaded.path.parent / path
    return str((by_recipe if not path.exists() and by_recipe.exists() else path).absolute())


def resolve(loaded: Loaded, plan: Plan, capture: Capture, pa: nn.Module | None) -> Predistortion:
    """Resolve what the data and the PA model decide for a predistorter: hash, target gain, peak limit.

    Args:
        loaded: the recipe, for line and column of errors.
        plan: of the recipe, `pa` an absolute path.
        capture: its pair.
        pa: the module of the caller, for `pa: given`.

    Raises:
        RecipeError: there is no finished PA run, it is of other data, or worse than a gmp.
    """
    given, where = loaded.recipe.pa == GIVEN, Path(plan.recipe.pa)
    if (pa is not None) != given:
        message = (
            "pa: given: this PA model is a module that is passed from Python: dpdrun.train(..., pa=module)"
            if given else "pa: a module was passed from Python, but the recipe names another; write pa: given"
        )  # fmt: skip
        raise loaded.error([("pa", message)])
    sha256 = None
    if pa is not None:
        sha256, model = fingerprint(pa), frozen(pa)
        scores = nmse_db(capture.val.y, predict(model, capture.val.x, loop=capture.loop_samples))
        _require_better_than_gmp(loaded, scores, gmp_baseline(capture, ("val",))["val"]["nmse_db"])
    elif plan.recipe.pa != OFF:
        try:
            sha256 = _sha256_of_run(loaded, plan, capture, where)
        except RunError as error:
            raise loaded.error([("pa", f"pa: {error}")]) from None
    peak_limit, x = plan.recipe.dpd.peak_limit, capture.train.x
    limit = float(np.max(np.abs(x))) if peak_limit == AUTO else float("inf") if peak_limit == OFF else float(peak_limit)
    return Predistortion(sha256, target_gain(x, capture.train.y, plan.recipe.dpd.gain), limit)


def model_section(plan: Plan) -> ModelSection | None:
    """Read the `model` section of the PA run that a plan learns through; None where it has no run.

    Raises:
        RunError: the run cannot be read.
    """
    if plan.recipe.pa in (OFF, GIVEN):
        return None
    run = RunFolder.open(Path(plan.recipe.pa))
    return Plan.from_json(run.read_json(run.plan)).recipe.model


def _require_trained(loaded: Loaded, path: Path) -> None:
    """Refuse a PA run that does not exist. Raises RunError with the command that trains it."""
    if path.exists():
        return
    recipe = loaded.path.with_name(f"{path.name}.yaml")
    has_recipe = recipe.is_file() and recipe != loaded.path
    try:
        RunFolder.open(path)
    except RunError as error:
        shown = shlex.quote(str(recipe)) if has_recipe else "RECIPE-OF-THE-PA"
        place = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        command = f"dpdrun train {shown} --run-dir {shlex.quote(str(place))}"
        raise RunError(f"{error}; train that first:\n  {command}") from None


def _sha256_of_run(loaded: Loaded, plan: Plan, capture: Capture, path: Path) -> str:
    """Return the hash of a PA run, if this recipe can learn through it. Raises RunError and RecipeError."""
    _require_trained(loaded, path)
    run = RunFolder.open(path)
    pa_plan = Plan.from_json(run.read_json(run.plan))
    if pa_plan.recipe.task != "pa":
        raise RunError(f"{path} is a run of task {pa_plan.recipe.task}; name the run of the PA model")
    if not (run.report.is_file() and run.model.is_file()):
        raise RunError(f"{path}: this run is not finished; continue it with:\n  {run.resume_command}")
    report = run.read_json(run.report)
    try:
        trained_on, scores = report["capture"]["sha256"], report["splits"]["val"]["nmse_db"]
        least = report["baselines"]["gmp"]["val"]["nmse_db"]
    except (KeyError, TypeError) as exc:
        raise RunError(
            f"{run.report}: damaged ({exc!r}); delete it, and `dpdrun train --resume` writes it again"
        ) from exc
    if trained_on != capture.sha256:
        raise _other_data(loaded, pa_plan, plan, path)
    _require_better_than_gmp(loaded, scores, least)
    return stored_pa_model(path)[0]  # reads the model too, so that a damaged one is found here


def _other_data(loaded: Loaded, pa_plan: Plan, plan: Plan, path: Path) -> RecipeError:
    before, now = ({"data": each.recipe.data.model_dump(mode="json")} for each in (pa_plan, plan))
    keys = differing_keys(before, now)
    why = f"they differ in {', '.join(keys)}" if keys else "the data have changed since it was trained"
    message = (
        f"pa: {path} was trained on other samples than this recipe has: {why}. A predistorter needs a PA model of the "
        "same capture, sample rate and split"
    )
    return loaded.error([("pa", message)])


def _require_better_than_gmp(loaded: Loaded, nmse_db: Any, gmp_db: Any) -> None:
    """Refuse a PA model that a gmp beats on the val split, unless the recipe accepts it. Raises RecipeError."""
    is_better = isinstance(nmse_db, int | float) and isinstance(gmp_db, int | float) and nmse_db <= gmp_db
    if is_better or loaded.recipe.dpd.weak_pa == "accept":
        return
    message = (
        f"pa: this PA model is worse than a gmp on the val split ({_shown(nmse_db)} against {_shown(gmp_db)}): a "
        "predistorter would learn its faults. Train a better one, or write dpd.weak_pa: accept"
    )
    raise loaded.error([("pa", message)])


def _shown(value: Any) -> str:
    return f"{value:.2f} dB" if isinstance(value, int | float) else str(value)
