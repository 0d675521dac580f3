"""What the processes of a test do, each with the `ProcessGroup` that it belongs to: see tests/processes.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from dpdrun.diagnosis.diagnose import diagnose
from dpdrun.errors import DpdrunError
from dpdrun.recipe.loader import load_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint, job, loop, task
from dpdrun.training.engine import Accelerated
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.step import TrainStep


def train(
    group: ProcessGroup,
    *,
    recipe: str,
    folder: str,
    dtype: str = "float32",
    meddle: tuple[str, ...] = (),
    resume: bool = False,
) -> dict[str, Any]:
    """Train a recipe, all but the scores of the end; `meddle` names faults from `FAULTS`.

    The parameters are those after the last step: in the first process as the checkpoint has them, else as they are.
    """
    kept: dict[str, Any] = {"starts": [], "frames": [], "clips": 0}
    run = RunFolder(Path(folder) / "run")
    found: dict[str, Any] = {"error": None}
    with ExitStack() as stack:
        torch.set_default_dtype(getattr(torch, dtype))
        stack.callback(torch.set_default_dtype, torch.float32)
        stack.enter_context(patch.object(job, "evaluate", lambda *_, **__: {}))
        stack.enter_context(_watched(kept))
        for name in meddle:
            stack.enter_context(FAULTS[name](group))
        try:
            job.train(load_text(recipe, Path(folder) / "recipe.yaml"), run.path, resume=resume)
        except DpdrunError as error:
            found["error"] = (type(error).__name__, error.exit_code, str(error))
    model = kept.pop("model", None)
    if model is None:
        return found
    found |= kept
    found["now"] = found["parameters"] = _flat(model.parameters())
    if group.is_rank_zero and run.last.is_file():
        tensors, _ = checkpoint.read(run.last)
        found["parameters"] = _flat(tensors[f"model.{name}"] for name, _ in model.named_parameters())
    if group.is_rank_zero:
        metrics = read_metrics(run.path)
        found |= {"steps": metrics.steps, "evals": metrics.evals}
        found["tensors"] = {path.name: sorted(checkpoint.read(path)[0]) for path in run.path.rglob("*.safetensors")}
        found["codes"] = {finding.code for finding in diagnose(run.path).findings}
        found["audit"] = run.read_json(run.audit) if run.audit.is_file() else None
    return found


@contextmanager
def _watched(kept: dict[str, Any]) -> Iterator[None]:
    """Keep the model, its first gradient, and which frames this process had and all had, as the loop tells."""

    def fit(model: Any, plan: Any, *arguments: Any, **more: Any) -> Any:
        kept.update(model=model, plan=plan, initial=_flat(model.parameters()))
        outcome = loop.fit(model, plan, *arguments, **more)
        kept["best"] = outcome.best_db, outcome.best_step
        return outcome

    tell = loop.gather_step_stats

    def told(*arguments: Any, **more: Any) -> Any:
        this = tell(*arguments, **more)
        kept["starts"].append(this.starts.tolist())
        kept["frames"].append(np.concatenate(more["starts"]).tolist())
        return this

    clip = TrainStep.clip

    def clipped(self: TrainStep) -> float:
        kept["clips"] += 1
        return clip(self)

    def keep(optimizer: torch.optim.Optimizer) -> None:
        if "gradient" not in kept:  # of the first step, as the optimizer takes it
            kept["gradient"] = _flat(each.grad for group in optimizer.param_groups for each in group["params"])

    with (
        patch.object(job, "fit", fit),
        patch.object(loop, "gather_step_stats", told),
        patch.object(loop, "GROUP_NORM_EVERY", 5),  # looked at often enough for a short run
        patch.object(TrainStep, "clip", clipped),
        _around_step(keep),
    ):
        yield


def _flat(tensors: Any) -> Any:
    return np.concatenate([value.detach().double().flatten().numpy() for value in tensors])


@contextmanager
def _slow_rate(group: ProcessGroup) -> Iterator[None]:
    """Somebody else writes the learning rate."""
    with _around_step(lambda optimizer: optimizer.param_groups[-1].update(lr=optimizer.param_groups[-1]["lr"] / 1e3)):
        yield


@contextmanager
def _other_parameters(group: ProcessGroup) -> Iterator[None]:
    """One process's parameters drift."""

    def nudge(optimizer: torch.optim.Optimizer) -> None:
        if not group.is_rank_zero:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].add_(1e-4)

    with _around_step(nudge):
        yield


@contextmanager
def _around_step(meddle: Callable[[torch.optim.Optimizer], None]) -> Iterator[None]:
    build = loop.build_optimizer

    def built(*arguments: Any) -> torch.optim.Optimizer:
        optimizer = build(*arguments)
        optimizer.register_step_pre_hook(lambda this, *_: meddle(this))
        return optimizer

    with patch.object(loop, "build_optimizer", built):
        yield


def _own_gradient(group: ProcessGroup) -> Any:
    """All-reduce gives back what it was given."""

    def hook(_, bucket):  # type: ignore[no-untyped-def]  # torch compares annotations, and ours are strings
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    prepare = Accelerated.prepare

    def hooked(self: Accelerated, module: torch.nn.Module) -> Any:
        wrapped: Any = prepare(self, module)
        wrapped.register_comm_hook(None, hook)
        return wrapped

    return patch.object(Accelerated, "prepare", hooked)


@contextmanager
def _other_frames(group: ProcessGroup) -> Iterator[None]:
    """One process draws the frames of another step."""
    shares = FrameSampler.shares

    def shifted(self: FrameSampler, step: int, **more: Any) -> Any:
        return shares(self, step if group.is_rank_zero else step + 1, **more)

    with patch.object(FrameSampler, "shares", shifted):
        yield


@contextmanager
def _harder_clip(group: ProcessGroup) -> Iterator[None]:
    clip = torch.nn.utils.clip_grad_norm_

    def harder(parameters: Any, limit: float) -> Any:
        return clip(parameters, limit / 2)

    with patch.object(torch.nn.utils, "clip_grad_norm_", harder):
        yield


@contextmanager
def _nan_elsewhere(group: ProcessGroup) -> Iterator[None]:
    """The last process gets a frame with a NaN at step 5."""
    shares = FrameSampler.shares

    def poisoned(self: FrameSampler, step: int, **more: Any) -> Any:
        for start, x, y in shares(self, step, **more):
            yield start, x * float("nan") if step == 5 and group.rank == group.size - 1 else x, y

    with patch.object(FrameSampler, "shares", poisoned):
        yield


@contextmanager
def _own_scores(group: ProcessGroup) -> Iterator[None]:
    """Processes disagree about the validation scores."""
    scores = iter([[-10.0, -20.0, -11.0, -21.0], [-10.0, -9.0, -30.0, -8.0]][group.rank])
    with patch.object(task, "evaluate_split", lambda *_: task.Score(*[next(scores)] * 2)):
        yield


@contextmanager
def _compiled(group: ProcessGroup) -> Iterator[None]:
    """The module within another one, as `torch.compile` returns it."""

    class OptimizedModule(torch.nn.Module):
        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self._orig_mod = module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self._orig_mod(x))

    with patch.object(loop, "compiled", lambda module, *_, **__: OptimizedModule(module)):
        yield


FAULTS: dict[str, Any] = {
    "rate": _slow_rate,
    "parameters": _other_parameters,
    "frames": _other_frames,
    "gradient": _own_gradient,
    "clip": _harder_clip,
    "nan": _nan_elsewhere,
    "scores": _own_scores,
    "compiled": _compiled,
}
