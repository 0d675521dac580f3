"""Checkpoints as safetensors files: never a pickle, whole or not at all, refused when they belong to another plan.

A resumable checkpoint holds everything that the next step depends on: parameters and buffers, AdamW's two moments per
parameter, the random state (dropout), and in the header the step, the plateau's memory and the best score so far.
Frame order needs no state: it is a function of (seed, step), see data/windows.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dpdrun.errors import RunError
from dpdrun.runlog import replacing
from dpdrun.training.schedule import Plateau

FORMAT = "dpdrun-checkpoint-1"
HEADER = "dpdrun"  # the one key of the file's metadata: a JSON object of strings


@dataclass
class Progress:
    """Where training stands: the part of its state that is not tensors.

    Attributes:
        step: last finished optimizer step.
        best_db: best validation NMSE so far [dB], and the step it was reached at.
        seconds: training time so far, over all resumed parts [s].
        adapts: the lines of the adaptations so far (`train.on_finding: adapt`).
    """

    step: int
    best_db: float
    best_step: int
    seconds: float
    plateau: Plateau
    adapts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def lr_factor(self) -> float:
        """By how much the adaptations have lowered the planned learning rate."""
        return float(self.adapts[-1]["lr_factor"]) if self.adapts else 1.0


@dataclass
class State:
    """All that a resumable checkpoint is made of, beside the random state of torch."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    plan_hash: str

    def save(self, path: Path) -> None:
        """As the function `save`."""
        save(path, self.model, self.optimizer, self.progress, plan_hash=self.plan_hash)


def save(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress, *, plan_hash: str) -> None:
    """Write a resumable checkpoint. Raises RunError on a full disk; an older file at `path` then survives."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{name}.{key}"] = value
    tensors["random.cpu"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    header = {"format": FORMAT, "plan_hash": plan_hash, "progress": json.dumps(asdict(progress))}
    write(path, tensors, header)


def save_model(path: Path, model: nn.Module, header: dict[str, str]) -> None:
    """Write parameters and buffers alone, with a header that says how to build the model again."""
    write(path, model.state_dict(), header)


def write(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file. Raises RunError on a full disk; an older file at `path` then survives.

    Equal content gives equal bytes: safetensors writes header keys in a random order, so there is only one.
    """
    contiguous = {name: value.detach().contiguous() for name, value in tensors.items()}
    try:
        with replacing(path) as temporary:
            save_file(contiguous, temporary, metadata={HEADER: json.dumps(header, sort_keys=True)})
    except SafetensorError as exc:  # safetensors reports a full disk as its own error
        raise RunError(f"{path}: cannot write the checkpoint: {exc}") from exc


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and header of a safetensors file. Raises RunError when it is missing or damaged."""
    with _opened(path) as handle:
        return {name: handle.get_tensor(name) for name in handle.keys()}, _header(handle)  # noqa: SIM118


def read_header(path: Path) -> dict[str, str]:
    """The header alone. Raises RunError as `read`."""
    with _opened(path) as handle:
        return _header(handle)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as handle:
            yield handle
    except FileNotFoundError as exc:
        raise RunError(f"{path}: missing") from exc
    except (SafetensorError, OSError, ValueError) as exc:  # ValueError: the header is no JSON
        raise RunError(f"{path}: damaged or not a safetensors file ({exc})") from exc


def _header(handle: Any) -> dict[str, str]:
    metadata: dict[str, str] = handle.metadata() or {}
    if HEADER not in metadata:
        return metadata  # a file of dpdrun before 0.1.0, or somebody else's
    inner = json.loads(metadata[HEADER])
    if not isinstance(inner, dict):
        raise ValueError(f"metadata {HEADER} is not an object")
    return inner


def require(path: Path, header: dict[str, str], made_as: str, plan_hash: str) -> None:
    """Refuse a file of another format or plan. Raises RunError."""
    if header.get("format") != made_as:
        raise RunError(f"{path}: not a checkpoint that can be resumed")
    if header.get("plan_hash") != plan_hash:
        raise RunError(
            f"{path}: made by another recipe or other data; resume with the recipe.yaml of its run folder, "
            "or start a new run with another --run-dir"
        )


def restore(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, *, plan_hash: str) -> Progress:
    """Load a resumable checkpoint into model, optimizer and random state.

    Raises:
        RunError: the file is damaged, is no checkpoint, or was made under another plan.
    """
    tensors, header = read(path)
    require(path, header, FORMAT, plan_hash)
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    for name, parameter in model.named_parameters():
        prefix = f"optimizer.{name}."
        state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
        # AdamW keeps `step` on the CPU unless it is fused on a GPU; the moments live beside their parameter
        optimizer.state[parameter] = {
            key: value.to(parameter.device) if value.ndim or parameter.is_cuda else value
            for key, value in state.items()
        }
    torch.set_rng_state(tensors["random.cpu"])
    if torch.cuda.is_available() and "random.cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random.cuda"])
    stored: dict[str, Any] = json.loads(header["progress"])
    return Progress(**{**stored, "plateau": Plateau(**stored["plateau"])})
