"""Statistics of a step in several processes."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dpdrun.plan.plan import Plan
from dpdrun.training.ddp import OwnNorm, StepStats, broadcast_score, checksum_of, gather_step_stats
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.step import seed_dropout
from dpdrun.training.task import Score
from tests.processes import Processes

Of = Callable[[int], Processes]


def told(group: ProcessGroup, checksum: int | None) -> StepStats:
    """A step of two passes, of two frames each."""
    first = 100 * group.rank
    return gather_step_stats(
        group, loss=1.0 + group.rank, own_norm=0.5 + group.rank, grad_norm=0.25, stop=15 * group.rank,
        checksum=None if checksum is None else checksum + group.rank,
        starts=[np.array([first, first + 1]), np.array([first + 10, first + 11])],
    )  # fmt: skip


def test_one_process_has_nothing_to_tell() -> None:
    this = told(ProcessGroup(), 7)
    assert (this.loss, this.stop, this.culprit) == (1.0, 0, None)
    assert this.starts.tolist() == [0, 1, 10, 11]
    assert this.line == {"rank_checksums": [7]}


def test_all_know_what_each_contributed(processes: Of) -> None:
    for this in processes(2).run(__file__, "told", checksum=7):
        assert (this.loss, this.stop, this.culprit) == (1.5, 15, None)
        assert this.starts.tolist() == [0, 1, 100, 101, 10, 11, 110, 111], "in the order of the batch: pass by pass"
        assert this.shares.tolist() == [[0, 1, 10, 11], [100, 101, 110, 111]]
        assert this.line == {
            "rank_losses": [1.0, 2.0],
            "rank_grad_norms": [0.5, 1.5],
            "rank_reduced_norms": [0.25, 0.25],
            "rank_checksums": [7, 8],
        }
    assert "rank_checksums" not in processes(2).run(__file__, "told", checksum=None)[0].line


def test_the_culprit_is_the_first_process_whose_loss_is_no_number() -> None:
    losses = np.array([1.0, np.inf, np.nan])
    assert StepStats(np.nan, losses, np.zeros(3), np.zeros((3, 1)), 0, {}).culprit == 1


def scored(group: ProcessGroup) -> Score:
    return broadcast_score(group, Score(-10.0 - group.rank, 5.0 - group.rank, {"in_band_db": 1.0}))


def test_the_score_of_the_first_process_counts(processes: Of) -> None:
    assert processes(2).run(__file__, "scored") == [Score(-10.0, 5.0, {"in_band_db": 1.0})] * 2
    assert scored(ProcessGroup()) == Score(-10.0, 5.0, {"in_band_db": 1.0})


def test_a_checksum_sees_the_last_bit_of_one_weight() -> None:
    one, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(one.state_dict())
    assert checksum_of(one) == checksum_of(other)
    with torch.no_grad():
        other.bias[1] = torch.nextafter(other.bias[1], torch.tensor(10.0))
    assert checksum_of(one) != checksum_of(other)


def normed(group: ProcessGroup) -> tuple[list[float | None], float, int]:
    """Own norms of two steps, of two passes each; the norm of the averaged gradient; hooks that are left."""
    model = nn.Linear(2, 1)
    wrapped: Any = nn.parallel.DistributedDataParallel(model) if group.size > 1 else model
    norms: list[float | None] = []
    with OwnNorm(model, group) as own_norm:
        for _ in range(2):
            model.zero_grad()
            with wrapped.no_sync() if group.size > 1 else nullcontext():
                (wrapped(torch.tensor([[0.0, 1.0 + group.rank]])) / 2).sum().backward()
            (wrapped(torch.tensor([[2.0, 0.0]])) / 2).sum().backward()
            norms.append(own_norm.read())
    averaged = float(nn.utils.get_total_norm([each.grad for each in model.parameters() if each.grad is not None]))
    return norms, averaged, sum(len(each._post_accumulate_grad_hooks or ()) for each in model.parameters())


def test_the_own_norm_is_that_of_the_gradient_before_it_is_averaged(processes: Of) -> None:
    """Gradients are (1, (1 + rank) / 2) and 1 for the bias; their mean has 3 / 4 in the second place."""
    for rank, (norms, averaged, hooks) in enumerate(processes(2).run(__file__, "normed")):
        assert norms == pytest.approx([math.hypot(1.0, (1 + rank) / 2, 1.0)] * 2)
        assert averaged == pytest.approx(math.hypot(1.0, 0.75, 1.0))
        assert hooks == 0
    assert normed(ProcessGroup())[0] == [None, None]


def test_dropout_draws_differ_between_processes_and_repeat_themselves(plan: Callable[..., Plan]) -> None:
    this = plan("model.dropout=0.1")

    def draws(step: int, process: int) -> list[float]:
        with torch.random.fork_rng():
            seed_dropout(this, step, process)
            return torch.rand(4).tolist()

    several = [draws(step, process) for step in (1, 2) for process in (0, 1)]
    assert len({tuple(each) for each in several}) == 4
    assert draws(2, 1) == several[-1]
