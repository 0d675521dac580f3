"""One trial: train a workload once by dpdrun's own loop, with its AdamW or with another optimizer in its place."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import numpy as np
import torch
from torch import nn

from dpdrun import models
from dpdrun.data.capture import Capture
from dpdrun.data.sources import load_capture
from dpdrun.errors import DivergedError
from dpdrun.models._arrays import to_pairs
from dpdrun.models._base import BehaviouralModel
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import loop, task
from dpdrun.training.optimizer import build_optimizer
from dpdrun.training.sampler import FrameSampler
from dpdrun.training.telemetry import Silent


class Job(Protocol):
    """What a trial needs to know of a workload."""

    @property
    def name(self) -> str: ...

    @property
    def recipe(self) -> str: ...


Result = dict[str, Any]
RANGE_TEST = (1e-7, 10.0, 100)  # fastai 2.8 `lr_find`: from, to, steps


def trial(workload: Job, seed: int, overrides: tuple[str, ...] = (), optimizer: str = "adamw") -> Result:
    """Train once and score the validation part; a run that diverged has a score of None."""
    plan, capture, model = _prepared(workload, seed, overrides)
    with tempfile.TemporaryDirectory() as folder, _replaced(optimizer):
        run = RunFolder.create(Path(folder) / "run")
        try:
            score: float | None = loop.fit(model, plan, capture, run, Silent(), resume=False).best_db
        except DivergedError:
            score = None
        steps = read_metrics(run.path).steps
    norms = [
        line["grad_norm"] for line in steps if line["step"] > plan.warmup_steps and math.isfinite(line["grad_norm"])
    ]
    times = [line["step_s"] for line in steps if "step_s" in line]
    return {
        "val_nmse_db": None if score is None else round(score, 4),
        "grad_norm_percentiles": [
            float(f"{q:.3g}") for q in np.percentile(norms or [math.nan], (1, 10, 50, 90, 99, 100))
        ],
        "step_ms": round(1e3 * float(np.median(times)), 2) if times else None,
    }


def range_test(workload: Job, seed: int) -> float:
    """Learning rate that fastai's range test suggests (`lr_find`, `valley`), on the workload's own frames."""
    plan, capture, model = _prepared(workload, seed, ())
    low, high, steps = RANGE_TEST
    rates = np.geomspace(low, high, steps)
    sampler = FrameSampler(
        to_pairs(capture.train.x), to_pairs(capture.train.y) / capture.scale_y, frame=plan.frame,
        frames_per_epoch=plan.frames_per_epoch, batch_size=plan.batch_size, seed=seed, loop=capture.loop_samples,
        rotate=False,
    )  # fmt: skip
    optimizer = build_optimizer(model, plan)
    smooth, kept, best = 0.0, [], math.inf
    for step, rate in enumerate(rates, start=1):
        for group in optimizer.param_groups:
            group["lr"] = float(rate)
        ((_, x, y),) = sampler.shares(step, passes=1, processes=1, process=0)
        error = (model(x) / capture.scale_y - y)[:, plan.burn_in :]
        loss = error.square().sum(dim=-1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), plan.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        smooth = 0.98 * smooth + 0.02 * loss.item()
        kept.append(smooth / (1 - 0.98**step))
        best = min(best, kept[-1])
        if not math.isfinite(kept[-1]) or kept[-1] > 4 * best:
            break
    return valley(rates[: len(kept)][steps // 10 : -5], kept[steps // 10 : -5])


def valley(rates: np.ndarray, losses: list[float]) -> float:
    """fastai's rule: the middle of the longest falling subsequence of the losses, at its second third."""
    length = [1] * len(losses)
    end = start = 0
    for i in range(1, len(losses)):
        for j in range(i):
            if losses[i] < losses[j] and length[i] < length[j] + 1:
                length[i] = length[j] + 1
            if length[end] < length[i]:
                end = i
                start = end - length[end]
    section = (end - start) / 3
    return float(rates[start + int(section) + int(section / 2)])


def _prepared(workload: Job, seed: int, overrides: tuple[str, ...]) -> tuple[Plan, Capture, BehaviouralModel]:
    sets = [f"train.seed={seed}", *overrides]
    recipe = load_text(workload.recipe, workload.name, sets).recipe
    if recipe.optim.lr == "auto":  # of advisors that bring their own
        recipe = load_text(workload.recipe, workload.name, [*sets, "optim.lr=1e-3"]).recipe
    capture = _capture(recipe.data.model_dump_json(), workload)
    plan = make_plan(recipe, len(capture.train))
    torch.manual_seed(seed)
    return plan, capture, models.build(recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)


@lru_cache(maxsize=1)
def _capture(key: str, workload: Job) -> Capture:  # noqa: ARG001 - key: what the capture depends on
    return load_capture(load_text(workload.recipe, workload.name, []).recipe.data)


@contextmanager
def _replaced(name: str) -> Iterator[None]:
    """dpdrun's loop with another optimizer. Prodigy takes lr as a factor; schedule-free averages what is scored."""
    if name == "adamw":
        yield
        return
    build, score = loop.build_optimizer, task.evaluate_split
    made: list[Any] = []

    def other(model: nn.Module, plan: Plan) -> Any:
        groups = build(model, plan).param_groups
        groups = [{"params": group["params"], "weight_decay": group["weight_decay"]} for group in groups]
        if name == "prodigy":
            from prodigyopt import Prodigy

            made.append(Prodigy(groups, lr=plan.lr))
        else:
            from schedulefree import AdamWScheduleFree

            made.append(AdamWScheduleFree(groups, lr=plan.lr))
            made[-1].train()
        return made[-1]

    def averaged(model: BehaviouralModel, capture: Capture, plan: Plan, *sharing: Any) -> task.Score:
        if name == "schedule_free":
            made[-1].eval()
        return score(model, capture, plan, *sharing)

    with (
        mock.patch.object(loop, "build_optimizer", other),
        mock.patch.object(task, "evaluate_split", averaged),
        mock.patch.object(loop.TrainingState, "save"),  # it knows the state of AdamW alone
    ):
        yield
