"""Does training K models in one process as one stacked model (torch.func.vmap) beat training them one after another?

    make vectorize          (or: python -m benchmarks.sweep.vectorize)

The models of one point with K seeds have the same shapes, so `torch.func.stack_module_state` and `vmap` can run them as
one model with a leading dimension of K: fewer and larger operations. Both ways do the same work on the same frames, a
forward and a backward pass, clipping by the norm of each model and a fused AdamW step, and their losses are compared.
Rounds of both alternate in one process with one thread; the figure is the ratio of the medians of processor time, and
on a machine with a GPU, of elapsed time there.

Transformers only: in torch 2.13, vmap has no rule for the GRU ("Batching rule not implemented for aten::gru.input").
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from benchmarks.common import ResultsFile, machine, markdown, write_table
from dpdrun.models import build
from dpdrun.recipe.schema import TransformerModel

HERE = Path(__file__).parent
CELLS = ((8, 32, 4), (8, 32, 8), (16, 32, 4), (16, 32, 8), (8, 4, 4), (8, 4, 16))  # d_model, frames of a step, models
FRAME, LR = 256, 1e-2
ROUNDS, STEPS = 7, 4
GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if GPU else "cpu")
Step = Callable[[], list[float]]


def one_by_one(models: Sequence[nn.Module], x: Tensor, y: Tensor) -> Step:
    """Return a step of each model after the other."""
    optimizers = [torch.optim.AdamW(model.parameters(), lr=LR, fused=True) for model in models]

    def step() -> list[float]:
        losses = []
        for model, optimizer, frames, target in zip(models, optimizers, x, y, strict=True):
            loss = (model(frames) - target).square().mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    return step


def stacked(models: Sequence[nn.Module], x: Tensor, y: Tensor) -> Step:
    """Return a step of all models at once."""
    parameters, buffers = stack_module_state(models)
    leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
    optimizer = torch.optim.AdamW(list(leaves.values()), lr=LR, fused=True)
    shape = deepcopy(models[0]).eval()  # without dropout the same function; vmap has no rule for the one of training

    def output(parameters: dict[str, Tensor], buffers: dict[str, Tensor], frames: Tensor) -> Any:
        return functional_call(shape, (parameters, buffers), (frames,))

    forward = vmap(output, randomness="error")

    def step() -> list[float]:
        loss = (forward(leaves, buffers, x) - y).square().flatten(1).mean(1)
        loss.sum().backward()
        gradients = [value.grad for value in leaves.values() if value.grad is not None]
        norms = torch.stack([each.flatten(1).norm(dim=1) for each in gradients]).norm(dim=0)
        factor = (1.0 / (norms + 1e-6)).clamp(max=1.0)
        for each in gradients:
            each.mul_(factor.view(-1, *[1] * (each.dim() - 1)))
        optimizer.step()
        optimizer.zero_grad()
        return [float(each) for each in loss.detach()]

    return step


def now() -> float:
    """Return the time that is compared [s]."""
    if not GPU:
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def measured(d_model: int, frames: int, count: int) -> dict[str, Any]:
    """Return the times of a step of all models both ways, and how far their losses are apart after all rounds."""
    torch.manual_seed(0)
    config = TransformerModel(kind="transformer", d_model=d_model, layers=2, heads=2, window=32)
    models: list[nn.Module] = [build(config, scale_x=1.0, scale_y=1.0).train().to(DEVICE) for _ in range(count)]
    x = torch.randn(count, frames, FRAME, 2).to(DEVICE)
    y = x * (1 - 0.1 * x.square().sum(-1, keepdim=True))
    ways = {"stacked": stacked(models, x, y), "one_by_one": one_by_one(models, x, y)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, step in ways.items():
            began = now()
            for _ in range(STEPS):
                losses[name] = step()
            times[name].append((now() - began) / STEPS)
    apart = max(abs(a / b - 1) for a, b in zip(*losses.values(), strict=True))
    where = machine() + (f", {torch.cuda.get_device_name()}" if GPU else "")
    return {**{name: median(each) for name, each in times.items()}, "loss_apart": apart, "machine": where}


def main() -> None:
    torch.set_num_threads(1)
    results = ResultsFile(HERE / "vectorize.json")
    rows = []
    for d_model, frames, count in CELLS:
        key = f"{d_model}/{frames}/{count}" + ("/gpu" if GPU else "")
        if key not in results:
            results.add(key, measured(d_model, frames, count))
        each = results.results[key]
        rows.append([
            f"{d_model}", f"{frames}", f"{count}", f"{1e3 * each['one_by_one']:.0f}", f"{1e3 * each['stacked']:.0f}",
            f"{each['one_by_one'] / each['stacked']:.2f}", f"{each['loss_apart']:.0e}",
        ])  # fmt: skip
    head = ["d_model", "frames of a step", "models", "one by one [ms]", "stacked [ms]", "ratio", "losses apart"]
    if GPU:
        print(markdown(head, rows))
    else:
        write_table("vectorize", markdown(head, rows))


if __name__ == "__main__":
    main()
