"""The reference: the same model on the same batches in the smallest DistributedDataParallel loop that trains it.

    torchrun --nproc-per-node 2 benchmarks/scale/plain_ddp.py RECIPE STEPS FILE [KEY=VALUE ...]

No log, no score, no checkpoint, no rule, no way to stop: what a script has before somebody needs it. FILE gets the time
of each step, as in `timed`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from dpdrun import models
from dpdrun.data.sources import load_capture
from dpdrun.models._arrays import to_pairs
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.loader import load_recipe
from dpdrun.training.sampler import FrameSampler


def main(recipe: str, steps: str, file: str, *sets: str) -> None:
    """Train."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if size > 1:
        dist.init_process_group("gloo")
    loaded = load_recipe(Path(recipe), list(sets))
    capture = load_capture(loaded.recipe.data)
    plan = make_plan(loaded.recipe, len(capture.train))
    torch.manual_seed(0)
    model: nn.Module = models.build(plan.recipe.model, scale_x=capture.scale_x, scale_y=capture.scale_y)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=plan.lr, fused=True)
    if size > 1:
        model = DistributedDataParallel(model)
    frames = FrameSampler(
        to_pairs(capture.train.x), to_pairs(capture.train.y), frame=plan.frame,
        frames_per_epoch=plan.frames_per_epoch, batch_size=plan.batch_size, seed=0,
    )  # fmt: skip
    times = []
    for step in range(1, int(steps) + 1):
        ((_, x, y),) = frames.shares(step, passes=1, processes=size, process=rank)
        error = (model(x) - y)[:, plan.burn_in :] / capture.scale_y
        error.square().sum(dim=-1).mean().backward()
        nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.time())
    if rank == 0:
        Path(file).write_text(json.dumps(times))
    if size > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
