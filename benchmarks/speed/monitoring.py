"""What monitoring costs: each part of it timed on the quickstart's model, as a share of an optimizer step.

    make monitoring            (or: python -m benchmarks.speed.monitoring)

Timed apart from training, because on a shared machine the difference of two whole runs is lost in its noise.
"""

from __future__ import annotations

import io
import math
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from rich.console import Console

from benchmarks.common import ROOT, markdown, write_table
from dpdrun import models
from dpdrun.data.sources import load_capture
from dpdrun.models._arrays import to_pairs
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_recipe
from dpdrun.report.console import REFRESH_PER_SECOND, TrainingView
from dpdrun.run.metrics import Metrics, MetricsWriter
from dpdrun.training.live import COST, LiveRules
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.schedule import schedule_of
from dpdrun.training.telemetry import GROUP_NORM_EVERY, EpochSummary, ParameterUpdate, Silent, group_norms

REPEATS = 200


def seconds(work: Callable[[], Any]) -> float:
    """Median time of one call [s]."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times)


def with_log(plan: Plan, steps: int) -> LiveRules:
    """Live rules with the log of so many healthy steps."""
    draw, schedule = random.Random(0), schedule_of(plan)
    log = Metrics()
    for step in range(1, steps + 1):
        lr = schedule.lr_at(step)
        log.add({
            "kind": "step", "step": step, "lr": lr, "lr_planned": lr, "clip_norm": plan.clip_norm, "clipped": False,
            "loss": 10 ** (-3 * step / plan.total_steps) * math.exp(draw.gauss(0.0, 0.2)),
            "grad_norm": 0.3 * math.exp(draw.gauss(0.0, 0.3)),
        })  # fmt: skip
        if step % plan.eval_every == 0:
            log.add({"kind": "eval", "step": step, "val_nmse_db": -30 * step / plan.total_steps})
    return LiveRules(plan, Silent(), log, {})


def evaluations_s(plan: Plan) -> tuple[int, float]:
    """How often the rules would be evaluated in a run of this plan without the bound on their cost, and the time [s].

    An evaluation takes time in proportion to its log, so a few of them stand for all.
    """
    every = with_log(plan, 0).every
    count = (plan.total_steps - 1) // every
    sample = [every * max(1, round(count * share)) for share in (0.1, 0.3, 0.5, 0.7, 0.9)]
    times = []
    for steps in sample:
        rules = with_log(plan, steps)
        began = time.process_time()
        rules.evaluate()
        times.append(time.process_time() - began)
    return count, count * mean(times)


def main() -> None:
    """Time a step and the parts of its monitoring, then write the table."""
    recipe = load_recipe(ROOT / "recipes" / "quickstart.yaml").recipe
    capture = load_capture(recipe.data)
    plan = make_plan(recipe, len(capture.train))
    model = models.build(recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    optimizer = build_optimizer(model, plan)
    sampler = FrameSampler(
        to_pairs(capture.train.x), to_pairs(capture.train.y), frame=plan.frame,
        frames_per_epoch=plan.frames_per_epoch, batch_size=plan.batch_size, seed=0,
    )  # fmt: skip
    ((_, x, y),) = sampler.shares(1, passes=1, processes=1, process=0)

    def step() -> None:
        (model(x) - y).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
        optimizer.step()
        optimizer.zero_grad()

    step_s = seconds(step)
    (model(x) - y).square().mean().backward()
    line = {
        "kind": "step", "step": 1, "samples": 1, "lr": 0.01, "lr_planned": 0.01, "loss": 0.001, "grad_norm": 0.1,
        "clip_norm": 1.0, "clipped": False, "step_s": 0.01, "data_s": 0.001,
    }  # fmt: skip
    epochs = EpochSummary(10**9, plan.batch_size)
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    view = TrainingView(console, title="run", total_steps=10**6, samples_per_step=8192, floor_db=-45.0)
    update = ParameterUpdate(model)
    counted, in_all_s = evaluations_s(plan)
    with tempfile.TemporaryDirectory() as folder, MetricsWriter(Path(folder) / "metrics.jsonl") as metrics:
        parts = {
            "a line in metrics.jsonl": seconds(lambda: metrics.write(line)),
            "epoch summary": seconds(lambda: epochs.add(1, 0.1, 0.1)),
            "live view, taking the numbers": seconds(lambda: view.step(line)),
            f"norms of parameter groups, every {GROUP_NORM_EVERY} steps": seconds(lambda: group_norms(model))
            / GROUP_NORM_EVERY,
            f"updates of parameter groups, every {GROUP_NORM_EVERY} steps": (
                seconds(lambda: ParameterUpdate(model)) + seconds(update.line)
            )
            / GROUP_NORM_EVERY,
            f"live rules, {counted} evaluations in {plan.total_steps:,} steps (on_finding: warn stops at {COST:.1%})": (
                in_all_s / plan.total_steps
            ),
            f"live view, drawn {REFRESH_PER_SECOND} times a second": (
                seconds(lambda: console.print(view.render())) * REFRESH_PER_SECOND * step_s
            ),
        }
    rows = [[name, f"{cost * 1e6:.0f}", f"{cost / step_s:.2%}"] for name, cost in parts.items()]
    total = sum(parts.values())
    rows.append(["**all of it**", f"{total * 1e6:.0f}", f"**{total / step_s:.2%}**"])
    rows.append(["one optimizer step of the quickstart", f"{step_s * 1e6:.0f}", ""])
    text = markdown(["per optimizer step", "time [us]", "share of the step"], rows)
    write_table("monitoring", text)
    print(text)


if __name__ == "__main__":
    main()
