"""Engines of one process and of several, and the Accelerator of a program that calls `dpdrun.train`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized
from torch import nn

from dpdrun.errors import RunError
from dpdrun.recipe.loader import Loaded
from dpdrun.training import job
from dpdrun.training.engine import Engine, engine_of
from dpdrun.training.process_group import ProcessGroup
from tests.processes import Processes

Of = Callable[[int], Processes]


@pytest.fixture
def host() -> Iterator[Accelerator]:
    """The Accelerator of a program that also uses dpdrun."""
    yield Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=3)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_accelerator_of_the_caller_keeps_its_state(
    precision: str, host: Accelerator, loaded: Callable[..., Loaded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "evaluate", lambda *_, **__: {})
    job.train(loaded(f"train.precision={precision}"), tmp_path / "run")
    assert (host.mixed_precision, host.gradient_accumulation_steps) == ("bf16", 3)
    assert Accelerator(cpu=True).mixed_precision == "bf16"
    layer = nn.Linear(2, 2)
    model, optimizer = host.prepare(layer, torch.optim.SGD(layer.parameters(), lr=0.1))
    before = layer.weight.detach().clone()
    with host.autocast():
        assert layer(torch.ones(1, 2)).dtype in (torch.bfloat16, torch.float32)  # prepared: bf16 inside
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
    host.backward(model(torch.ones(1, 2)).sum())
    optimizer.step()
    assert not torch.equal(layer.weight, before)


def foreign(group: ProcessGroup) -> str:
    """What becomes of a group whose program has an Accelerator."""
    Accelerator(cpu=True)
    try:
        with engine_of(group, "bf16"):
            return "made"
    except RunError as error:
        return f"{error}; {AcceleratorState().mixed_precision}"
    finally:
        AcceleratorState._reset_state()


def test_several_processes_refuse_an_accelerator_of_the_caller_and_leave_it_alone(processes: Of) -> None:
    for answer in processes(2).run(__file__, "foreign"):
        assert answer.startswith("this program has created an Accelerator")
        assert answer.endswith("; no")


class Scaled(nn.Module):
    """A weight and a buffer, as models here have for their scales."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * self.scale


def prepared(group: ProcessGroup) -> dict[str, Any]:
    """What an engine of several processes does while variables of `accelerate launch` ask for something else."""
    settings = {"ACCELERATE_DYNAMO_BACKEND": "EAGER", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "4"}
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        with engine_of(group, "fp32") as engine:
            model = Scaled()
            module: Any = engine.prepare(model)
            assert model.scale is not None
            engine.backward(module(torch.tensor([1.0 + group.rank])).sum())
            assert model.weight.grad is not None
            return {
                "wrapped": type(module).__name__,
                "inside": type(module.module).__name__,
                "broadcast": module.broadcast_buffers,
                "gradient": float(model.weight.grad),
            }
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_an_engine_of_several_processes_averages_and_does_nothing_else(processes: Of) -> None:
    members = processes(2)
    for answer in members.run(__file__, "prepared"):
        assert answer == {
            "wrapped": "DistributedDataParallel", "inside": "Scaled", "broadcast": False, "gradient": 1.5,
        }  # fmt: skip
    assert members.run(__file__, "left") == [False, False]


def left(group: ProcessGroup) -> bool:
    """Whether a state of Accelerate is left."""
    return bool(is_initialized())


def test_one_process_needs_no_accelerator(processes: Of) -> None:
    before = is_initialized()
    with engine_of(ProcessGroup(), "fp32") as engine:
        assert type(engine) is Engine
        module = nn.Linear(1, 1)
        assert engine.prepare(module) is module
    assert is_initialized() is before
