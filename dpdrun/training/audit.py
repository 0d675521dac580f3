"""Planned against realised, at the end of a run: did training do what the plan says?

The user's own failure began here: a warmup of 1000 steps, stepped once an epoch, trained for 2000 epochs at a
thousandth of the learning rate, and nothing said so.
"""

from __future__ import annotations

import hashlib
from typing import Any

from dpdrun.data.windows import FrameSampler
from dpdrun.plan import Plan
from dpdrun.runlog import SCHEMA_VERSION, Metrics
from dpdrun.training.schedule import Schedule

LR_TOLERANCE = 1e-9  # relative; both numbers are the same float unless something else wrote the optimizer's lr


def frames_digest(sampler: FrameSampler, steps: int) -> str:
    """sha256 over the frame starts of all steps: two runs that saw the same frames have the same digest."""
    digest = hashlib.sha256()
    for step in range(1, steps + 1):
        digest.update(sampler.starts(step).tobytes())
    return digest.hexdigest()


def audit(plan: Plan, schedule: Schedule, metrics: Metrics, frames: str) -> dict[str, Any]:
    """The audit of one run: pairs of planned and realised values, and whether each agrees."""
    steps = metrics.steps
    lr_error = max(
        (abs(s["lr"] - s["lr_planned"]) / s["lr_planned"] for s in steps if s["lr_planned"] > 0), default=0.0
    )
    peak = max((s["lr"] for s in steps), default=0.0)
    planned_peak = max((schedule.lr_at(s["step"]) for s in steps), default=0.0)
    checks = {
        "steps": _check(plan.total_steps, len({s["step"] for s in steps})),
        "samples": _check(plan.total_steps * plan.batch_size * plan.frame, steps[-1]["samples"] if steps else 0),
        "lr_max_relative_error": {"planned": 0.0, "realised": lr_error, "agrees": lr_error <= LR_TOLERANCE},
        "lr_peak": _check(planned_peak, peak),
        "clip_norm": {
            "planned": plan.clip_norm,
            "realised": sorted({s["clip_norm"] for s in steps}),
            "agrees": {s["clip_norm"] for s in steps} <= {plan.clip_norm},
        },
    }
    return {
        "schema_version": SCHEMA_VERSION,
        "agrees": all(check["agrees"] for check in checks.values()),
        "checks": checks,
        "frames_sha256": frames,
    }


def _check(planned: float, realised: float) -> dict[str, Any]:
    return {"planned": planned, "realised": realised, "agrees": planned == realised}
