"""A whole training job: recipe -> capture and plan -> model -> training -> scores, all left in a run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.errors import RunError
from dpdrun.evaluation import evaluate, floor_of
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan import Plan, make_plan
from dpdrun.recipe.loader import Loaded
from dpdrun.recipe.patch import apply_patch
from dpdrun.runlog import RunFolder, write_text
from dpdrun.training import checkpoint
from dpdrun.training.loop import Outcome, fit
from dpdrun.training.telemetry import Monitor, Silent

MODEL_FORMAT = "dpdrun-model-1"


@dataclass(frozen=True)
class Job:
    """What is known when training begins; given to whoever wants to watch."""

    loaded: Loaded
    plan: Plan
    capture: Capture
    run: RunFolder
    parameters: int
    floor: Mapping[str, Any]


Watch = Callable[[Job], AbstractContextManager[Monitor]]


def prepare(loaded: Loaded) -> tuple[Plan, Capture]:
    """The capture and the concrete plan of a recipe, with nothing written and nothing trained."""
    capture = load_capture(loaded.recipe.data)
    return make_plan(loaded.recipe, train_samples=len(capture.train)), capture


def train(loaded: Loaded, run_dir: Path, *, resume: bool = False, watch: Watch | None = None) -> dict[str, Any]:
    """Train what a recipe asks for and score it.

    Args:
        loaded: from `load_recipe`.
        run_dir: folder to fill; must be new or empty, unless `resume`.
        resume: continue the run in `run_dir` from its last checkpoint.
        watch: makes the monitor that sees every step; None = silent.

    Returns:
        The content of report.json.

    Raises:
        RecipeError, DataError: the recipe or its data is wrong; nothing has been written then.
        RunError: the folder cannot be used, or training failed.
        StoppedError: SIGTERM came; a checkpoint was written.
    """
    plan, capture = prepare(loaded)
    run = RunFolder.open(run_dir) if resume else RunFolder.create(run_dir)
    if resume and not run.last.is_file():
        raise RunError(f"{run.last}: no checkpoint to resume from; start anew with another --run-dir")
    if not resume:
        write_text(run.recipe, recipe_text(loaded))
        run.write_json(run.plan, plan.to_json())

    torch.manual_seed(plan.recipe.train.seed)
    model = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    job = Job(loaded, plan, capture, run, parameters, floor_of(capture))
    with watch(job) if watch else nullcontext(Silent()) as monitor:
        outcome = _solve(model, job) if plan.recipe.model.kind == "gmp" else fit(
            model, plan, capture, run, monitor, resume=resume
        )  # fmt: skip

    model.to("cpu")
    checkpoint.save_model(run.model, model, {"format": MODEL_FORMAT, "kind": plan.recipe.model.kind})
    report = evaluate(model, plan, capture) | {
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "best_step": outcome.best_step,
        "samples_per_s": outcome.steps * plan.batch_size * plan.frame / outcome.seconds if outcome.steps else None,
    }
    run.write_json(run.report, report)
    return report


def _solve(model: Any, job: Job) -> Outcome:
    """Fit a model that has a closed-form solution."""
    began = time.perf_counter()
    model.fit(job.capture.train.x, job.capture.train.y, job.capture.val.x, job.capture.val.y)
    return Outcome(steps=0, best_db=float("nan"), best_step=0, seconds=time.perf_counter() - began)


def recipe_text(loaded: Loaded) -> str:
    """The recipe as the run folder keeps it: the file as given, with `--set` written into it, comments kept."""
    if not loaded.overrides:
        return loaded.text
    patch: dict[str, Any] = {}
    for override in loaded.overrides:
        key = override.partition("=")[0].strip()
        patch[key] = loaded.recipe
        for name in key.split("."):
            patch[key] = getattr(patch[key], name)
    return apply_patch(loaded.text, patch)


def load_run(path: Path) -> tuple[BehaviouralModel, Plan, RunFolder]:
    """A trained model with its plan, from a run folder.

    Raises:
        RunError: no such run, it did not finish, or a file in it is damaged.
    """
    run = RunFolder.open(path)
    plan = Plan.from_json(run.read_json(run.plan))
    source = run.model if run.model.is_file() else run.best
    if not source.is_file():
        raise RunError(f"{path}: this run has no model yet; see `dpdrun train --resume`")
    tensors, _ = checkpoint.read(source)
    model = models.build(plan.recipe.model, scale_x=1.0, scale_y=1.0)  # the scales are among the tensors
    try:
        model.load_state_dict(tensors)
    except RuntimeError as exc:
        raise RunError(f"{source}: does not fit the model of {run.plan}: {exc}") from exc
    return model.eval(), plan, run
