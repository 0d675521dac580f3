"""What a step of several processes tells of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dpdrun.plan.plan import Plan
from dpdrun.training.ddp import OwnNorm, StepStats, broadcast_score, checksum_of, constant_buffers, gather_step_stats
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


def test_a_module_that_is_not_wrapped_has_no_norm_of_its_own() -> None:
    assert OwnNorm(nn.Linear(2, 2)).read() is None


def test_buffers_are_left_alone_by_the_name_that_torch_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    from dpdrun.training import ddp

    def of(initialiser: Any) -> dict[str, bool]:
        monkeypatch.setattr(ddp, "DistributedDataParallel", initialiser)
        return constant_buffers()

    assert of(lambda module, broadcast_buffers=True: None) == {"broadcast_buffers": False}  # torch 2.6 to 2.12
    assert of(lambda module, broadcast_buffers=None, forward_sync_buffers=None: None) == {"forward_sync_buffers": False}


def test_dropout_draws_differ_between_processes_and_repeat_themselves(plan: Callable[..., Plan]) -> None:
    this = plan("model.dropout=0.1")

    def draws(step: int, process: int) -> list[float]:
        with torch.random.fork_rng():
            seed_dropout(this, step, process)
            return torch.rand(4).tolist()

    several = [draws(step, process) for step in (1, 2) for process in (0, 1)]
    assert len({tuple(each) for each in several}) == 4
    assert draws(2, 1) == several[-1]
