"""Norms of parameter groups, and summaries of epochs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from dpdrun.training.telemetry import EpochSummary, ParameterUpdate, Silent, group_norms


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.head = nn.Linear(2, 1)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 2)])
        self.unused = nn.Linear(5, 5)


def test_each_part_and_each_block_has_its_norm() -> None:
    net = Net()
    torch.manual_seed(0)
    for name, parameter in net.named_parameters():
        if not name.startswith("unused"):
            parameter.grad = torch.randn_like(parameter)
    found = group_norms(net)
    assert set(found) == {"scale", "head", "blocks.0", "blocks.1"}
    for group, norm in found.items():
        squares = [
            float(p.grad.square().sum())
            for name, p in net.named_parameters()
            if p.grad is not None and (name == group or name.startswith(group + "."))
        ]
        assert squares
        assert norm == pytest.approx(math.sqrt(sum(squares)), rel=1e-6)


def test_without_gradients_there_are_no_norms() -> None:
    assert group_norms(Net()) == {}


def test_movement_of_a_step() -> None:
    torch.manual_seed(0)
    net = Net()
    for name, parameter in net.named_parameters():
        if not name.startswith(("unused", "blocks.1")):
            parameter.grad = torch.ones_like(parameter)
    net.blocks[1].bias.grad = torch.zeros(2)
    before = {name: parameter.detach().clone() for name, parameter in net.named_parameters()}
    movement = ParameterUpdate(net)
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    line = movement.line()
    assert line["group_sizes"] == {"scale": 3, "head": 3, "blocks.0": 12, "blocks.1": 6, "unused": 30}
    assert line["group_updates"]["blocks.0"] == pytest.approx(0.1 * math.sqrt(12), rel=1e-5)
    assert line["group_updates"]["blocks.1"] == 0.0
    head = math.hypot(*(float(before[f"head.{name}"].norm()) for name in ("weight", "bias")))
    assert line["group_weights"]["head"] == pytest.approx(head, rel=1e-5)
    assert set(line["still"]) == {"blocks.1.weight", "blocks.1.bias", "unused.weight", "unused.bias"}


def test_parameters_moved_by_weight_decay_alone_count_as_frozen() -> None:
    net = nn.Linear(2, 1)
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    movement = ParameterUpdate(net)
    torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.5).step()
    line = movement.line()
    assert line["group_updates"]["weight"] > 0.0
    assert line["still"] == ["weight", "bias"]


def test_a_step_that_moves_everything_names_nothing() -> None:
    net = nn.Linear(2, 1)
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    movement = ParameterUpdate(net)
    torch.optim.AdamW(net.parameters(), lr=0.1).step()
    assert "still" not in movement.line()


def lines_of(frames_per_epoch: int, batch: int, steps: int) -> list[dict[str, Any]]:
    summary = EpochSummary(frames_per_epoch, batch)
    found = [summary.add(step, loss=2.0 * step, grad_norm=float(step)) for step in range(1, steps + 1)]
    return [line for line in found if line is not None]


def test_an_epoch_has_its_own_mean_and_maximum() -> None:
    lines = lines_of(8, 4, 5)
    assert lines == [
        {"kind": "epoch", "step": 2, "epoch": 1, "loss": 3.0, "grad_norm": 1.5, "grad_norm_max": 2.0},
        {"kind": "epoch", "step": 4, "epoch": 2, "loss": 7.0, "grad_norm": 3.5, "grad_norm_max": 4.0},
    ]


@given(st.integers(1, 60), st.integers(1, 30), st.integers(1, 80))
def test_epochs_end_where_their_last_frame_is_seen_and_no_step_is_lost(
    frames_per_epoch: int, batch: int, steps: int
) -> None:
    lines = lines_of(frames_per_epoch, batch, steps)
    ends = [line["step"] for line in lines]
    assert ends == sorted(set(ends))
    assert [line["epoch"] for line in lines] == [end * batch // frames_per_epoch for end in ends]
    seen = {step * batch // frames_per_epoch for step in range(1, steps + 1)} - {0}
    assert {line["epoch"] for line in lines} == seen
    first = 1
    for line in lines:
        mine = range(first, line["step"] + 1)
        assert line["grad_norm"] == pytest.approx(sum(mine) / len(mine))
        assert line["grad_norm_max"] == line["step"]
        first = line["step"] + 1


def test_the_silent_monitor_takes_everything() -> None:
    monitor = Silent()
    monitor.step({})
    monitor.evaluation({})
    monitor.message("")
