"""Compares planned and realised values at the end of a run: did training do what the plan says?

The user's own failure began here: a warmup of 1000 steps, stepped once an epoch, trained for 2000 epochs at a
thousandth of the learning rate, without any message. So the planned values are computed here again, and the realised
ones are what the loop measured: the lr that the optimizer held when it stepped, the gradient norm after clipping, the
samples and frames that went through the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from dpdrun.plan.plan import Plan
from dpdrun.run.folder import SCHEMA_VERSION
from dpdrun.run.metrics import Metrics
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.schedule import Plateau, schedule_of

LR_TOLERANCE = 1e-9  # relative: the lr is one multiplication away from the plan's
CLIP_TOLERANCE = 1e-3  # relative: norms are sums in float32
CLIP_EPS = 1e-6  # torch's clip_grad_norm_ scales by limit / (norm + 1e-6)


def audit(plan: Plan, metrics: Metrics, sampler: FrameSampler, *, checksums: Sequence[int] = ()) -> dict[str, Any]:
    """Audit a run: planned and realised values, and whether each pair agrees.

    Args:
        plan: of the run.
        metrics: its log.
        sampler: of the frames.
        checksums: of the final parameters, one a process.
    """
    steps = metrics.steps
    planned = _planned_lr(plan, metrics)
    lr_error = max((abs(s["lr"] / lr - 1.0) for s, lr in zip(steps, planned, strict=True) if lr > 0), default=0.0)
    last = steps[-1] if steps else {"step": 0, "samples": 0, "frames_crc": 0}
    checks = {
        "steps": _equal(
            list(range(1, plan.total_steps + 1)) == [s["step"] for s in steps], plan.total_steps, len(steps)
        ),
        "samples": _equal(None, plan.total_steps * plan.batch_size * plan.frame, last["samples"]),
        "frames_crc": _equal(None, frames_crc(sampler, plan.total_steps), last["frames_crc"]),
        "lr_max_relative_error": _equal(lr_error <= LR_TOLERANCE, 0.0, lr_error),
        "lr_peak": _equal(
            lr_error <= LR_TOLERANCE, max(planned, default=0.0), max((s["lr"] for s in steps), default=0.0)
        ),
        "warmup_steps": _equal(None, _steps_to_peak(planned), _steps_to_peak([step["lr"] for step in steps])),
        "batch_size": _equal(None, plan.batch_size, last["samples"] / (max(1, last["step"]) * plan.frame)),
        "different_parameters": _equal(None, 1, len(set(checksums) or {0})),
        "clip_norm": _clip(plan, steps),
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "agrees": all(check["agrees"] for check in checks.values()),
        "checks": checks,
    }


def differences(audited: dict[str, Any]) -> str:
    """Return what does not agree, as text."""
    wrong = {name: check for name, check in audited["checks"].items() if not check["agrees"]}
    return "; ".join(f"{name}: planned {each['planned']:g}, was {each['realised']:g}" for name, each in wrong.items())


def _clip(plan: Plan, steps: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Check the gradient norm that steps were taken with: the limit where the gradient was larger, else its own.

    Realised is the largest of those norms, or one that is not as planned.
    """
    measured = [line for line in steps if "grad_norm_applied" in line]
    largest = max((line["grad_norm_applied"] for line in measured), default=0.0)
    for line in measured:
        norm, applied = line["grad_norm"], line["grad_norm_applied"]
        wanted = norm * min(1.0, plan.clip_norm / (norm + CLIP_EPS))
        if not abs(applied - wanted) <= CLIP_TOLERANCE * wanted:
            return _equal(False, plan.clip_norm, applied)
    return _equal(True, plan.clip_norm, largest)


def _steps_to_peak(lr: Sequence[float]) -> int:
    """Return the steps until the learning rate first reaches its peak."""
    return 1 + max(range(len(lr)), key=lr.__getitem__) if lr else 0


def frames_crc(sampler: FrameSampler, steps: int) -> int:
    """Return a checksum over the frame starts of all steps: equal for runs that saw the same frames."""
    checksum = 0
    for step in range(1, steps + 1):
        checksum = crc32(sampler.starts(step).tobytes(), checksum)
    return checksum


def _planned_lr(plan: Plan, metrics: Metrics) -> list[float]:
    """Return the lr of every logged step by the plan, times the adaptations before it.

    A plateau's reductions follow from the logged validation scores.
    """
    settings = plan.recipe.optim.plateau
    schedule, plateau = schedule_of(plan), Plateau(settings.factor, settings.patience, settings.threshold_db)
    scores = {line["step"]: line["val_nmse_db"] for line in metrics.evals}
    planned = []
    for line in metrics.steps:
        planned.append(schedule.lr_at(line["step"], plateau.drop) * metrics.lr_factor(line["step"]))
        if line["step"] in scores:
            plateau.update(scores[line["step"]])
    return planned


def _equal(agrees: bool | None, planned: float, realised: float) -> dict[str, Any]:
    """Return one check; `agrees` None compares for equality."""
    return {"planned": planned, "realised": realised, "agrees": planned == realised if agrees is None else agrees}
