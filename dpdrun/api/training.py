"""`train`, `train_dpd` and `evaluate` from Python: each prepares its arguments and makes one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpdrun.api.progress import watch_of
from dpdrun.api.recipes import Overrides, PathLike, RecipeLike, blamed_on, loaded_from
from dpdrun.api.results import Scores
from dpdrun.api.run import Predistorter, Run, given_section, load_run, passed_as_pa, run_of
from dpdrun.data.capture import Capture
from dpdrun.diagnosis.diagnose import diagnose_trained
from dpdrun.errors import RunError
from dpdrun.evaluation.prediction import Split
from dpdrun.models._given import accept, given_modules
from dpdrun.plan.recorded import capture_section
from dpdrun.recipe.given import GivenModel
from dpdrun.recipe.loader import Loaded
from dpdrun.run.folder import RunFolder, default_folder
from dpdrun.training import job
from dpdrun.training.loss import given_as

if TYPE_CHECKING:
    from torch import Tensor, nn


def train(
    recipe: RecipeLike,
    capture: Capture | None = None,
    out: PathLike | None = None,
    *,
    overrides: Overrides = (),
    resume: job.Resume = False,
    model: nn.Module | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    pa: nn.Module | Run | None = None,
    track: Sequence[str] = (),
    progress: bool | None = None,
) -> Run:
    """Train the model of a recipe, score it, and return the run.

    Args:
        recipe: a dict, the path of a YAML file, the name of a recipe of the package, or what `load_recipe` returns.
        capture: from `Capture.from_arrays` or `Capture.load`; replaces the `data` section of the recipe.
        out: folder for the run, new or empty; default: runs/<name of the recipe>, of a dict runs/<task>-<kind>, with a
            number if that exists.
        overrides: values by dotted key, such as `{"train.max_steps": 500}`, or `key=value` pairs.
        resume: continue the run in `out` from its last checkpoint; "auto": if there is one.
        model: a module of your own, (B, T, 2) -> (B, T, 2) at unit rms; takes the place of the `model` section. Its
            attributes `context` and `look_ahead` say how many samples an output depends on; without `context` it takes
            complete records. A copy is trained, from the weights that the module has (to resume: any of its shape).
        loss: of a step, in place of `train.loss`: (prediction, target) -> one number, both (B, J, 2) at unit rms
            without the burn-in.
        pa: the PA model of a recipe with `pa: given`: any module (B, T, 2) -> (B, T, 2) in the units of the capture; or
            the PA run that a recipe names, as an object, if that was made with a module.
        track: also log to these trackers (docs/tracking.md).
        progress: None shows a live view in a notebook, True on the terminal too, False nothing.

    The environment, torch's random state and threads, signal handlers, a process group and an Accelerator of the
    caller are left unchanged.

    Raises:
        RecipeError: the recipe is wrong; the message lists every problem, of a dict with its path of keys.
        DataError: the capture cannot be read or does not fit.
        RunError: the folder cannot be used, or training failed.
        StoppedError, KeyboardInterrupt: a signal was received; the message says whether there is something to resume.
    """
    pa, modules = passed_as_pa(pa)
    section = None
    if model is not None:
        section, own = accept(model, recorded=_recorded(out) if resume else None)
        modules = {**modules, **own}
    loaded = loaded_from(recipe, overrides, capture, model=section, loss=loss)
    with given_modules(modules), given_as(loss), blamed_on(model, loss):
        path = _train(loaded, capture, out, resume=resume, pa=pa, track=track, progress=progress)
    return run_of(path, capture, pa, modules)


def train_dpd(
    pa: PathLike | Run,
    recipe: RecipeLike | None = None,
    out: PathLike | None = None,
    *,
    overrides: Overrides = (),
    resume: job.Resume = False,
    model: nn.Module | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    track: Sequence[str] = (),
    progress: bool | None = None,
) -> Predistorter:
    """Train a predistorter through the PA model of a run, on the capture of that run.

    Args:
        pa: a finished run of task pa, or its folder.
        recipe: as `train`; of a dict, `task`, `pa` and `data` are filled in, and a missing `model` is that of the PA
            run. None: only these.
        out, overrides, resume, model, loss, track, progress: as `train`.

    Raises:
        RecipeError, DataError, RunError: as `train`; also if it is not a run of a PA model, not finished, or worse than
            a memory polynomial.
    """
    source = pa if isinstance(pa, Run) else load_run(pa)
    if source.task != "pa":
        raise RunError(f"{source.path}: this is a run of task {source.task}; pass the run of a PA model")
    if recipe is None or isinstance(recipe, Mapping):
        given = dict(recipe or {})
        section = capture_section(RunFolder(source.path), source.plan)
        filled: dict[str, Any] = {"task": "dpd", "pa": source.path.absolute(), "data": section}
        recipe = filled | {"model": source.plan.recipe.model} | given
    run = train(
        recipe, None, out, overrides=overrides, resume=resume, model=model, loss=loss, pa=source, track=track,
        progress=progress,
    )  # fmt: skip
    if not isinstance(run, Predistorter):
        raise RunError(f"{run.path}: train_dpd was given a recipe of task {run.task}; use task: dpd")
    return run


def _train(
    loaded: Loaded, capture: Capture | None, out: PathLike | None, *, resume: job.Resume, pa: nn.Module | None,
    track: Sequence[str], progress: bool | None,
) -> Path:  # fmt: skip
    if resume and out is None:
        raise RunError("resume needs out: the folder of the run to continue")
    path = Path(out) if out is not None else default_folder(_name_of(loaded))
    folder = RunFolder(path)
    finished = bool(resume) and folder.report.is_file()
    job.train(loaded, path, resume=resume, watch=watch_of(progress), pa=pa, track=track, capture=capture)
    diagnose_trained(folder, was_finished=finished)
    return path


def _recorded(out: PathLike | None) -> GivenModel | None:
    """Return what the run to resume knows of its module; its weights are in the checkpoint."""
    folder = RunFolder(Path(out or "."))
    return given_section(folder) if folder.plan.is_file() else None


def _name_of(loaded: Loaded) -> Path:
    """Return the file after which the folder of a run is named."""
    recipe = loaded.recipe
    return Path(f"{recipe.task}-{recipe.model.kind}.yaml") if loaded.in_python else loaded.path


def evaluate(run: PathLike | Run, splits: tuple[Split, ...] = ("val", "test")) -> Scores:
    """Score a run again, next to baselines on the same samples. Arguments and errors as `Run.evaluate`."""
    return load_run(run).evaluate(splits) if not isinstance(run, Run) else run.evaluate(splits)
