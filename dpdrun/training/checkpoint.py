"""Checkpoints as safetensors files: never a pickle, complete or absent, refused when they are of another plan.

A resumable checkpoint holds everything that the next step depends on: parameters and buffers, AdamW's two moments per
parameter, the random state (dropout), and in the header the step, the plateau's memory and the best score so far.
Frame order needs no state: it is a function of (seed, step), see training/sampler.py.
"""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dpdrun.errors import RunError
from dpdrun.models import _tensors
from dpdrun.models._tensors import is_intact
from dpdrun.models._tensors import write as write
from dpdrun.run.folder import RunFolder
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.schedule import Plateau

FORMAT = "dpdrun-checkpoint-1"
MOMENTS, STEP = ("exp_avg", "exp_avg_sq"), "step"  # what AdamW keeps of each parameter
SCORING, RULES = "scoring", "look"  # what follows a step, in this order; `Progress.owed` in a header


@dataclass
class Progress:
    """The part of the state of training that is not tensors.

    Attributes:
        step: last finished optimizer step.
        best_db: best validation NMSE so far [dB], and the step it was reached at.
        seconds: training time so far, over all resumed parts [s].
        adapts: the lines of the adaptations so far (`train.on_finding: adapt`).
        scaler: of `train.precision: fp16`, the state of its loss scale.
        owed: what was still to follow the step: SCORING and then RULES (their evaluation), RULES alone, or nothing.
    """

    step: int
    best_db: float
    best_step: int
    seconds: float
    plateau: Plateau
    adapts: list[dict[str, Any]] = field(default_factory=list)
    scaler: dict[str, Any] | None = None
    owed: str = ""

    @classmethod
    def fresh(cls, plateau: Plateau | None = None) -> Progress:
        """Return the progress before the first step."""
        return cls(0, math.inf, 0, 0.0, plateau or Plateau(1.0, 1, 0.0))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Progress:
        """Undo `asdict`."""
        return cls(**{**stored, "plateau": Plateau(**stored["plateau"])})

    @property
    def lr_factor(self) -> float:
        """Factor on the planned learning rate, by the adaptations so far."""
        return float(self.adapts[-1]["lr_factor"]) if self.adapts else 1.0


@dataclass
class TrainingState:
    """What a resumable checkpoint holds, next to the random state of torch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    plan_hash: str

    def save(self, path: Path) -> None:
        """Write a checkpoint. Raises RunError on a full disk; an older file at `path` then survives."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None:  # as SGD without a momentum has it
                    tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
        tensors["random.cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random.cuda"] = torch.cuda.get_rng_state()
        header = {"format": FORMAT, "plan_hash": self.plan_hash, "progress": json.dumps(asdict(self.progress))}
        write(path, tensors, header)


def save_model(path: Path, model: nn.Module, header: dict[str, str]) -> None:
    """Write parameters and buffers alone, with a header that says how to build the model again."""
    write(path, model.state_dict(), header)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and header of a file of a run, and check its hash.

    Raises:
        RunError: it is missing or damaged; the message says which files of the run can still be used.
    """
    try:
        return _tensors.read(path)
    except RunError as exc:
        raise RunError(f"{exc}{remedy_for(path)}") from exc


def read_header(path: Path) -> dict[str, str]:
    """Read the header alone. Raises RunError as `read`."""
    return read(path)[1]


def remedy_for(path: Path) -> str:
    """Say what to do about a file of a run that is missing or damaged: which other files can be used instead."""
    run = RunFolder(path.parent.parent if path.parent.name == "checkpoints" else path.parent)
    new_run = "start a new run with another --run-dir"
    if path == run.refinement:
        return f"; remove it to restart optim.refine from the best model, then\n  {run.resume_command}"
    if path == run.last:
        intact = next((each for each in reversed(run.rollback_points().values()) if is_intact(each)), None)
        if intact is not None:
            commands = f"{shlex.join(['cp', str(intact), str(path)])}\n  {run.resume_command}"
            return f"; an earlier checkpoint, {intact.name}, is intact; to resume from it:\n  {commands}"
        if is_intact(run.best):
            return (
                f"; the run cannot be resumed without it, but the best model so far, {run.best}, is intact "
                f"(`dpdrun evaluate {run.path}` scores it); restore the file from a backup, or {new_run}"
            )
    if path == run.best and is_intact(run.model):
        return f"; the model that the run ended with, {run.model}, is intact"
    return f"; restore the file from a backup, or {new_run}"


def require(path: Path, header: dict[str, str], made_as: str, plan_hash: str) -> None:
    """Refuse a file of another format or plan. Raises RunError."""
    if header.get("format") != made_as:
        raise RunError(f"{path}: not a resumable checkpoint")
    if header.get("plan_hash") != plan_hash:
        raise RunError(
            f"{path}: made by another recipe or other data; resume with the recipe.yaml of its run folder, "
            "or start a new run with another --run-dir"
        )


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, plan_hash: str) -> Progress:
    """Load a resumable checkpoint into model, optimizer and random state.

    Raises:
        RunError: the file is damaged, is no checkpoint, was made under another plan, or holds other tensors than
            model and optimizer have, or NaN; these are then as they were.
    """
    tensors, header = read(path)
    require(path, header, FORMAT, plan_hash)
    progress = progress_of(path, header)
    adam = isinstance(optimizer, torch.optim.AdamW)
    fault = _fault(tensors, model, trained=progress.step > 0, adam=adam)
    if fault:
        raise RunError(f"{path}: training cannot resume from it: {fault}{remedy_for(path)}")
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in model.named_parameters():
        prefix = f"optimizer.{name}."
        state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        # AdamW keeps `step` on the CPU unless it is fused on a GPU; the moments are next to their parameter
        optimizer.state[parameter] = {
            key: value.to(parameter.device) if value.ndim or parameter.is_cuda else value
            for key, value in state.items()
        }
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    return progress


def restore_all(
    path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, group: ProcessGroup, *, plan_hash: str
) -> Progress:
    """Load a checkpoint as `restore` does in every process of a group; rank 0 reads it and broadcasts it.

    Raises:
        RunError: on rank 0; FollowedError on the others.
    """
    progress = Progress.fresh()
    with group.errors_synchronized():
        if group.is_rank_zero:
            progress = restore(path, model, optimizer, plan_hash=plan_hash)
    if group.size == 1:
        return progress
    parameters = dict(model.named_parameters())
    states = {name: optimizer.state.get(each, {}) for name, each in parameters.items()}
    moments = {
        name: {key: [*value.shape] for key, value in state.items() if value is not None}
        for name, state in states.items()
    }
    stored = json.loads(group.broadcast_text(json.dumps({"progress": asdict(progress), "moments": moments})))
    if not group.is_rank_zero:
        for name, keys in stored["moments"].items():
            like = parameters[name]
            # as AdamW makes them: moments like their parameter, the count of steps a float32 next to them
            optimizer.state[like] = {
                key: torch.zeros(shape, device=like.device if shape or like.is_cuda else "cpu")
                for key, shape in keys.items()
            }
    tensors = [value for each in parameters.values() for _, value in sorted(optimizer.state[each].items())]
    group.broadcast_([*model.state_dict().values(), *tensors])
    return Progress.from_json(stored["progress"])


def progress_of(path: Path, header: dict[str, str]) -> Progress:
    """Read the progress in the header of a checkpoint. Raises RunError where it has none."""
    try:
        progress = Progress.from_json(json.loads(header["progress"]))
        numbers = (progress.step, progress.best_step, progress.best_db, progress.seconds, progress.lr_factor)
        if not all(
            isinstance(number, kind) for number, kind in zip(numbers, (int, int, *3 * [int | float]), strict=True)
        ):
            raise TypeError("not a number")
        if progress.owed not in ("", SCORING, RULES):
            raise ValueError("nothing that follows a step")
        return progress
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as exc:
        raise RunError(f"{path}: its header does not record the progress of training{remedy_for(path)}") from exc


def _fault(tensors: dict[str, Tensor], model: nn.Module, *, trained: bool, adam: bool) -> str | None:
    """Return why these are not the tensors of a checkpoint of `model`; None where they are.

    What AdamW keeps is known; of another optimizer (not `adam`), that it belongs to a parameter.
    """
    wanted = {f"model.{name}": value for name, value in model.state_dict().items()}
    known = set(wanted)
    has_moments = False
    for name, parameter in model.named_parameters():
        if not adam:
            known.update(key for key in tensors if key.startswith(f"optimizer.{name}."))
            continue
        moments = {f"optimizer.{name}.{key}": torch.zeros(()) if key == STEP else parameter for key in (*MOMENTS, STEP)}
        known.update(moments)
        if not moments.keys().isdisjoint(tensors):  # a parameter that never had a gradient has none
            has_moments = True
            wanted.update(moments)
    if trained and adam and not has_moments:
        return "it has no optimizer state"
    wanted["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available() and "random.cuda" in tensors:
        wanted["random.cuda"] = torch.cuda.get_rng_state()
    misfit = _tensors.misfit(wanted, {name: value for name, value in tensors.items() if name in wanted})
    if misfit:
        return misfit
    strange = sorted(name for name in tensors.keys() - known if not name.startswith("random."))
    if strange:
        return f"it has an unexpected tensor {strange[0]}"
    for name, value in tensors.items():
        if value.is_floating_point() and bool(value.isnan().any()):
            return f"tensor {name} holds NaN"
    return None
