"""The audit notices what the user's own failure was made of."""

from collections.abc import Callable
from typing import Any

import pytest

from dpdrun.plan import Plan
from dpdrun.runlog import Metrics
from dpdrun.training.audit import audit
from dpdrun.training.schedule import schedule_of


def realised(plan: Plan, lr_of: Callable[[int, float], float]) -> Metrics:
    schedule = schedule_of(plan)
    steps: list[dict[str, Any]] = []
    for n in range(1, plan.total_steps + 1):
        planned = schedule.lr_at(n)
        steps.append(
            {"step": n, "samples": n * plan.batch_size * plan.frame, "lr": lr_of(n, planned), "lr_planned": planned,
             "clip_norm": plan.clip_norm}
        )  # fmt: skip
    return Metrics(steps=steps)


def test_a_run_that_did_as_planned_agrees(plan: Callable[..., Plan]) -> None:
    this = plan()
    result = audit(this, schedule_of(this), realised(this, lambda n, lr: lr), "digest")
    assert result["agrees"]
    assert len(result["checks"]) == 5


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        (lambda n, lr: lr / 1000, "lr_max_relative_error"),  # a warmup stepped once an epoch
        (lambda n, lr: 0.0, "lr_peak"),
        (lambda n, lr: lr if n < 8 else lr / 2, "lr_max_relative_error"),
    ],
)
def test_a_learning_rate_that_strays_is_found(
    plan: Callable[..., Plan], fault: Callable[[int, float], float], check: str
) -> None:
    this = plan()
    result = audit(this, schedule_of(this), realised(this, fault), "digest")
    assert not result["agrees"]
    assert not result["checks"][check]["agrees"]


def test_lost_steps_and_another_clip_are_found(plan: Callable[..., Plan]) -> None:
    this = plan()
    metrics = realised(this, lambda n, lr: lr)
    metrics.steps.pop()
    metrics.steps[3]["clip_norm"] = 200.0
    checks = audit(this, schedule_of(this), metrics, "digest")["checks"]
    assert [name for name, check in checks.items() if not check["agrees"]] == ["steps", "samples", "clip_norm"]
