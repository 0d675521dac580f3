"""The audit notices what the user's own failure was made of, and every other stray from the plan."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from dpdrun.plan.plan import Plan
from dpdrun.run.metrics import Metrics
from dpdrun.training.audit import audit, differences, frames_crc
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.schedule import schedule_of


def sampler_of(plan: Plan, seed: int = 0) -> FrameSampler:
    record = torch.zeros(2000, 2)
    return FrameSampler(
        record, record, frame=plan.frame, frames_per_epoch=plan.frames_per_epoch, batch_size=plan.batch_size, seed=seed
    )


def realised(plan: Plan, lr_of: Callable[[int, float], float]) -> Metrics:
    schedule, sampler = schedule_of(plan), sampler_of(plan)
    steps: list[dict[str, Any]] = [
        {
            "step": n,
            "samples": n * plan.batch_size * plan.frame,
            "frames_crc": frames_crc(sampler, n),
            "lr": lr_of(n, schedule.lr_at(n)),
            "grad_norm": 2 * plan.clip_norm,
            "grad_norm_applied": plan.clip_norm,
        }
        for n in range(1, plan.total_steps + 1)
    ]
    return Metrics(steps=steps)


def failed(plan: Plan, metrics: Metrics, seed: int = 0) -> list[str]:
    result = audit(plan, metrics, sampler_of(plan, seed))
    names = [name for name, check in result["checks"].items() if not check["agrees"]]
    assert result["agrees"] is (not names)
    return names


def test_a_run_that_did_as_planned_agrees(plan: Callable[..., Plan]) -> None:
    this = plan()
    assert failed(this, realised(this, lambda n, lr: lr)) == []


@pytest.mark.parametrize(
    ("fault", "more"),
    [
        (lambda n, lr: lr / 1000, []),  # a scheduler that is stepped by everything but steps
        (lambda n, lr: 0.0, ["warmup_steps"]),
        (lambda n, lr: lr if n < 8 else lr / 2, []),
        (lambda n, lr: 1e-3 * n, ["warmup_steps"]),  # a warmup stepped once an epoch
    ],
)
def test_a_learning_rate_that_strays_is_found(
    plan: Callable[..., Plan], fault: Callable[[int, float], float], more: list[str]
) -> None:
    this = plan("optim.warmup=3")
    assert failed(this, realised(this, fault)) == ["lr_max_relative_error", "lr_peak", *more]


def test_the_plan_of_a_run_that_adapted_is_the_lowered_one(plan: Callable[..., Plan]) -> None:
    this = plan()
    metrics = realised(this, lambda n, lr: lr if n <= 4 else lr * 0.5)
    metrics.adapts.append({"kind": "adapt", "step": 9, "to_step": 4, "lr_factor": 0.5})
    assert failed(this, metrics) == []
    metrics.steps[2]["lr"] *= 0.5
    assert failed(this, metrics) == ["lr_max_relative_error", "lr_peak"]


def test_a_lost_step_is_found(plan: Callable[..., Plan]) -> None:
    this = plan()
    metrics = realised(this, lambda n, lr: lr)
    del metrics.steps[3]
    assert failed(this, metrics) == ["steps"]


def test_lost_samples_and_a_clip_that_did_not_bite_are_found(plan: Callable[..., Plan]) -> None:
    this = plan()
    metrics = realised(this, lambda n, lr: lr)
    metrics.steps[-1]["samples"] -= 1
    metrics.steps[5]["grad_norm_applied"] = this.clip_norm * 2
    assert failed(this, metrics) == ["samples", "batch_size", "clip_norm"]


@pytest.mark.parametrize(
    ("clip", "norm", "applied", "agrees"),
    [
        (1.0, 4.0, 1.0, True),
        (1.0, 4.0, 0.1, False),  # clipped harder than planned
        (1.0, 4.0, 4.0, False),  # not clipped
        (1.0, 0.3, 0.3, True),
        (1.0, 0.3, 0.1, False),  # clipped below its limit
        ("off", 4.0, 4.0, True),
        ("off", 4.0, 1.0, False),
        (1e-5, 1.0, 1e-5, True),
        (1e-5, 1.1e-5, 1.1e-5 * 1e-5 / 1.2e-5, True),  # torch scales by limit / (norm + 1e-6)
        (1.0, 0.0, 0.0, True),
    ],
)
def test_the_norm_of_a_step_is_the_planned_one(
    clip: float | str, norm: float, applied: float, agrees: bool, plan: Callable[..., Plan]
) -> None:
    this = plan(f"optim.clip_norm={clip}")
    metrics = realised(this, lambda n, lr: lr)
    for line in metrics.steps:
        line |= {"grad_norm": norm, "grad_norm_applied": applied}
    assert failed(this, metrics) == ([] if agrees else ["clip_norm"])


def test_processes_with_other_parameters_are_found(plan: Callable[..., Plan]) -> None:
    this = plan()
    metrics = realised(this, lambda n, lr: lr)
    assert audit(this, metrics, sampler_of(this), checksums=[7, 7])["agrees"]
    found = audit(this, metrics, sampler_of(this), checksums=[7, 7, 8])
    assert differences(found) == "different_parameters: planned 1, was 2"


def test_other_frames_are_found(plan: Callable[..., Plan]) -> None:
    this = plan()
    assert failed(this, realised(this, lambda n, lr: lr), seed=1) == ["frames_crc"]
