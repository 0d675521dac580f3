"""A complete training job: recipe -> capture and plan -> model -> training -> scores, all in a run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from dpdrun import __version__, models
from dpdrun.data.arrays import store, stored
from dpdrun.data.capture import Capture
from dpdrun.data.sources import foreign_formats, load_capture
from dpdrun.dpd.cascade import pa_model_of, with_limiter
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate
from dpdrun.evaluation.baselines import THROUGH_A_MODEL, floor_of
from dpdrun.evaluation.prediction import ALONE, Split
from dpdrun.models import _saved
from dpdrun.models._base import BehaviouralModel
from dpdrun.models._random_state import random_state_preserved
from dpdrun.models._threads import torch_threads
from dpdrun.plan import prepare as preparation
from dpdrun.plan.plan import Plan
from dpdrun.plan.recorded import plan_of
from dpdrun.plan.threads import threads_to_train
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import Loaded
from dpdrun.run.environment import environment
from dpdrun.run.files import encode_numbers, write_text
from dpdrun.run.folder import RunFolder, require_free
from dpdrun.run.heartbeat import Heartbeat, end_recorded
from dpdrun.training import checkpoint, pa_model, warm_start
from dpdrun.training.guard import memory_explained, stopping
from dpdrun.training.launcher_checks import check_machine, reject_launcher_conflicts
from dpdrun.training.lm.refine import refine
from dpdrun.training.loop import TrainingOutcome, fit
from dpdrun.training.precision import without_effect
from dpdrun.training.process_group import ProcessGroup, sharing_of, uses_gpu
from dpdrun.training.resume import (
    Headers,
    archive_unstarted,
    plan_to_resume,
    recorded_report,
    require_checkpoint,
    require_same,
    should_resume,
)
from dpdrun.training.task import dpd_task, pa_task, scales_of
from dpdrun.training.telemetry import Monitor, Silent
from dpdrun.training.trackers import require_trackers
from dpdrun.training.tracking import Tracking, settings_of

MODEL_FORMAT = "dpdrun-model-1"
SCORED: tuple[Split, ...] = ("val", "test")


@dataclass(frozen=True)
class Job:
    """What is known when training begins, for the `watch` of `train`.

    `pa` is the frozen PA model of task dpd, `archived` the new path of an earlier folder that was renamed.
    """

    loaded: Loaded
    plan: Plan
    capture: Capture
    run: RunFolder
    parameters: int
    floor: Mapping[str, Any]
    model: BehaviouralModel
    pa: BehaviouralModel | None = None
    archived: Path | None = None

    @property
    def device(self) -> str:
        """Where the steps run: cuda or cpu."""
        return "cuda" if uses_gpu(self.plan.recipe.train.device) else "cpu"


Resume = bool | Literal["auto"]
Watch = Callable[[Job], AbstractContextManager[Monitor]]


def prepare_training(
    loaded: Loaded, pa: nn.Module | None = None, *, processes: int = 1, capture: Capture | None = None
) -> tuple[Plan, Capture]:
    """Return the complete plan of a recipe and its capture: `plan.prepare.prepare`, and what only torch can tell.

    Args:
        loaded: from `load_recipe`.
        pa: as `train`.
        processes: how many train together.
        capture: as `plan.prepare.prepare`.

    Raises:
        RecipeError: the recipe does not fit the machine, the data, the processes or its PA model, or a rule is missing;
            with line and column of the field.
        DataError: the capture cannot be read.
    """
    check_machine(loaded)
    plan, capture = preparation.prepare(loaded, processes=processes, capture=capture)
    if plan.recipe.task == "dpd":
        plan = replace(plan, predistortion=pa_model.resolve(loaded, plan, capture, pa))
    return warm_start.resolve(loaded, plan), capture


def train(
    loaded: Loaded, run_dir: Path, *, resume: Resume = False, watch: Watch | None = None, pa: nn.Module | None = None,
    track: Sequence[str] = (), capture: Capture | None = None, splits: Sequence[Split] = SCORED,
) -> dict[str, Any]:  # fmt: skip
    """Train the model of a recipe and score it.

    Args:
        loaded: from `load_recipe`.
        run_dir: folder to fill; must be new or empty, unless `resume`.
        resume: continue the run in `run_dir` from its last checkpoint, with the plan that it began with. A run that
            has its report is finished: the report is returned and nothing is touched. "auto": continue it where there
            is one, else begin it; a folder of a run without a checkpoint is renamed.
        watch: makes the monitor that gets every step; None = silent.
        pa: the PA model of a recipe with `pa: given`: any module (B, T, 2) -> (B, T, 2) in the units of the capture.
            It is frozen, and pinned by a hash of its tensors.
        track: trackers that get the log of the run as well (`trackers.TRACKERS`). A resumed run keeps those that it
            had.
        capture: takes the place of the `data` section of the recipe. One made of arrays is kept in the run folder.
        splits: to score at the end. One run among many that a choice is made from scores no test split.

    Several processes, each started by a launcher with the environment of torchrun, train one run together. Rank 0 alone
    uses the folder; the PA run of a predistorter is read by all. The environment, a process group, an Accelerator, the
    random state of torch, its threads and the signal handlers of the caller are left as they were.

    Returns:
        The content of report.json; on other ranks than 0, an empty one.

    Raises:
        RecipeError, DataError: the recipe or its data is wrong; nothing has been written then.
        RunError: the folder cannot be used, the run to resume has another recipe or other data, a tracker is not
            installed, or training failed.
        RunError: also when memory runs out; the message says what to lower.
        AuditError: training did not do what the plan says.
        LostError, FollowedError: as `fit`.
        StoppedError: SIGTERM came; the message says whether there is something to resume.
        KeyboardInterrupt: Ctrl-C, with a message when a checkpoint was written first.
    """
    with ProcessGroup.join(loaded.recipe.train.device) as group:
        reject_launcher_conflicts(loaded.recipe)
        run = RunFolder(run_dir)
        if capture is not None:
            loaded = loaded.with_data(stored(capture, run.capture))
        with random_state_preserved(), stopping(lambda: _stopped_at(run)), run.resume_hint(), ExitStack() as held:
            archived = None
            if resume == "auto":
                resume, archived = _resume_or_archive(run, group)
            if resume:
                return _resume(loaded, run, group, held, watch, pa, track, splits)
            with group.errors_synchronized():
                if group.is_rank_zero:
                    require_trackers(track)
                    require_free(run_dir)  # before the data are read, which may take longer than a user's patience
                plan, capture = prepare_training(loaded, pa, processes=group.size, capture=capture)
            _require_alike(plan.digest(capture.sha256), group)
            with memory_explained(plan):
                job = replace(_job(loaded, plan, capture, run, pa), archived=archived)
                with group.errors_synchronized():
                    if group.is_rank_zero:  # here, when recipe, data and model are known to be good
                        held.enter_context(RunFolder.creating(run_dir))
                        write_text(run.recipe, loaded.effective_text)
                        store(capture, run.capture)
                        made_with: dict[str, Any] = {"dpdrun": __version__, "data_sha256": capture.sha256}
                        if used := plugins.recorded(plan.recipe, foreign_formats(plan.recipe.data.source)):
                            made_with["plugins"] = used
                        run.write_json(run.plan, plan.to_json() | made_with)
                return _train(job, group, held, watch, track, splits, resume=False)


def _resume_or_archive(run: RunFolder, group: ProcessGroup) -> tuple[bool, Path | None]:
    """Decide on rank 0 whether to resume; returns that, and on rank 0 the new place of a run that was archived."""
    resumes, archived = False, None
    with group.errors_synchronized():
        if group.is_rank_zero:
            resumes = should_resume(run)
            archived = None if resumes else archive_unstarted(run)
    return bool(group.all_gather([resumes])[0, 0]), archived


def _resume(
    loaded: Loaded, run: RunFolder, group: ProcessGroup, held: ExitStack, watch: Watch | None, pa: nn.Module | None,
    track: Sequence[str], splits: Sequence[Split],
) -> dict[str, Any]:  # fmt: skip
    """Train from the last checkpoint; rank 0 reads the folder and broadcasts the plan."""
    report, text = None, ""
    headers: Headers = {}
    with group.errors_synchronized():
        if group.is_rank_zero:
            require_trackers(track)
            RunFolder.open(run.path)
            plan = plan_to_resume(loaded, run)
            text = json.dumps(encode_numbers(plan.to_json()))
            if run.report.is_file():
                report = recorded_report(run)
            else:
                held.enter_context(run.lock())
                headers = require_checkpoint(run, plan)
    if group.all_gather([report is not None])[0, 0]:
        return report or {}
    plan = Plan.from_json(json.loads(group.broadcast_text(text)))
    with memory_explained(plan):
        with group.errors_synchronized():
            check_machine(loaded)
            preparation.check_share(loaded, plan, group.size)
            capture = load_capture(plan.recipe.data)
            if group.is_rank_zero:
                run.sweep()
                require_same(run, plan, capture, headers)
        _require_alike(plan.digest(capture.sha256), group)
        job = _job(loaded, plan, capture, run, pa, resume=True)
        return _train(job, group, held, watch, track, splits, resume=True)


def _require_alike(digest: str, group: ProcessGroup) -> None:
    """Refuse processes that would train something else than rank 0. Raises RunError there."""
    digest_of_rank_zero = group.broadcast_text(digest)
    with group.errors_synchronized():
        if digest != digest_of_rank_zero:
            raise RunError("its recipe, data or version of dpdrun differs from rank 0")


def _job(
    loaded: Loaded, plan: Plan, capture: Capture, run: RunFolder, pa: nn.Module | None, *, resume: bool = False
) -> Job:
    is_dpd = plan.predistortion is not None
    frozen = pa_model_of(plan, pa) if is_dpd else None  # before the seed: building it draws random numbers
    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, **scales_of(plan, capture))
    models.require_as_declared(model, plan.recipe.model, to_train=True)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    warm_start.start(model, plan, weights=not resume)
    floor = THROUGH_A_MODEL if is_dpd else floor_of(capture)
    return Job(loaded, plan, capture, run, parameters, floor, model, frozen)


def _train(
    job: Job, group: ProcessGroup, held: ExitStack, watch: Watch | None, track: Sequence[str],
    splits: Sequence[Split], *, resume: bool,
) -> dict[str, Any]:  # fmt: skip
    """Train in a folder that exists and is locked, then score on rank 0."""
    model, plan, capture, run = job.model, job.plan, job.capture, job.run
    threads = threads_to_train(plan)
    held.enter_context(torch_threads(threads))
    is_closed_form = plan.recipe.model.kind == "gmp"  # fitted by least squares, within seconds
    if is_closed_form and not group.is_rank_zero:
        return {}
    if group.is_rank_zero:
        Heartbeat(run, plan.total_steps).beat("preparation", 0)
        held.enter_context(end_recorded(run))
    made_with = settings_of(plan, parameters=job.parameters, dpdrun=__version__)
    tracking = held.enter_context(Tracking(track, run, made_with, group))
    with watch(job) if watch and group.is_rank_zero else nullcontext(Silent()) as shown:
        monitor = tracking.with_view(shown)
        if message := without_effect(plan.recipe.train.precision):
            monitor.message(message)
        for message in warm_start.summary(plan):
            monitor.message(message)
        sharing = sharing_of(group)
        task = (
            dpd_task(model, plan, capture, job.pa, monitor.message, sharing)
            if plan.predistortion is not None
            else pa_task(model, capture, plan, sharing)
        )
        outcome = _solve(model, task.pair) if is_closed_form else fit(
            model, plan, capture, run, monitor, resume=resume, task=task, group=group
        )  # fmt: skip
        if not group.is_rank_zero:
            return {}
        refined = None
        if plan.recipe.optim.refine == "lm":
            refined = refine(
                model, plan, replace(task, sharing=ALONE), run, monitor, best_db=outcome.best_db,
                plan_hash=plan.digest(capture.sha256), resume=resume,
            )  # fmt: skip

    Heartbeat(run, plan.total_steps).beat("evaluation", outcome.steps)
    for module in (model, job.pa):
        if module is not None:
            module.to("cpu")
    model.requires_grad_(True)  # what is frozen counts as a parameter of the model
    checkpoint.save_model(run.model, model, {"format": MODEL_FORMAT, "kind": plan.recipe.model.kind})
    report = evaluate(model, plan, capture, splits, pa=job.pa) | {
        "processes": group.size,
        "threads": threads,
        "device": job.device,
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "samples_per_s": outcome.steps * plan.batch_size * plan.frame / outcome.seconds if outcome.steps else None,
        **({"adaptations": outcome.adapts} if plan.recipe.train.on_finding == "adapt" else {}),
        **({"ilc": task.ilc} if task.ilc else {}),
        **({"finish": refined.to_json()} if refined else {}),
        "environment": environment(),
        **({"init_from": plan.init.to_json()} if plan.init else {}),
    }
    run.write_json(run.report, report)
    tracking.report(report)
    return report


def _stopped_at(run: RunFolder) -> str:
    """Say where SIGTERM came outside of the steps, and what can be done."""
    if run.report.is_file():
        return "after the run was finished"
    if run.last.is_file():
        return f"outside the training steps; continue with:\n  {run.resume_command}"
    return "before the first step; there is nothing to resume"


def _solve(model: Any, pair: Capture) -> TrainingOutcome:
    """Fit a model that has a closed-form solution."""
    began = time.perf_counter()
    train, val = pair.train, pair.val
    model.fit(train.x, train.y, val.x, val.y, around=val.around, loop=pair.loop_samples)
    return TrainingOutcome(steps=0, best_db=float("nan"), best_step=0, seconds=time.perf_counter() - began, adapts=[])


def load_run(path: Path) -> tuple[BehaviouralModel, Plan, RunFolder]:
    """Load a trained model in `eval` mode with its plan, from a run folder; of an unfinished run, the best so far.

    Of task dpd it is the predistorter with its limiter: wanted signal -> input of the amplifier.

    Raises:
        RunError: no such run, no model in it yet, or a file in it is damaged.
    """
    run = RunFolder.open(path)
    plan = plan_of(run)
    source = run.weights
    if source is None:
        raise RunError(f"{path}: this run has no model yet; see `dpdrun train --resume`")
    try:
        model = _saved.load(source, plan.recipe.model, described_by=run.plan)
    except plugins.MissingPluginError as error:  # of a module that was passed from Python
        raise plugins.MissingPluginError(f"{path}: {error}") from None
    return model if plan.predistortion is None else with_limiter(model, plan).eval(), plan, run
