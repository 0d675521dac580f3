"""What the processes of a run tell each other, and how all of them go on or none."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpdrun.errors import DataError, DpdrunError, FollowedError, LostError, RunError, StoppedError
from dpdrun.training.process_group import MESSAGE_BYTES, ProcessGroup
from tests.processes import Processes

Of = Callable[[int], Processes]
SIZES = (1, 2)


def exchange(group: ProcessGroup) -> dict[str, Any]:
    """Every kind of exchange, once, of what depends on the process."""
    numbers = np.arange(3.0) + 10 * group.rank
    waves = np.array([1.0 + 1j, -2j]) * (group.rank + 1)
    weight = torch.nn.Parameter(torch.full((2, 3), float(group.rank)))
    count, single = torch.tensor(7 * (group.rank + 1)), torch.full((4, 2), group.rank + 0.5, dtype=torch.float64).T
    group.broadcast_([weight, count, single])
    group.barrier()
    return {
        "rows": group.all_gather([group.rank, 0.1 * group.rank, float("nan")]),
        "added": (group.all_reduce_sum(numbers), group.all_reduce_sum(waves)),
        "texts": [
            group.broadcast_text(text) for text in (f"\u00fc of {group.rank}", "", "long " * 5000 + str(group.rank))
        ],
        "tensors": (weight.detach().numpy(), weight.requires_grad, int(count), single.numpy()),
    }


@pytest.mark.parametrize("size", SIZES)
def test_what_is_exchanged_is_the_same_in_all(size: int, processes: Of) -> None:
    answers = processes(size).run(__file__, "exchange")
    assert len(answers) == size
    for this in answers:
        np.testing.assert_array_equal(this["rows"], [[rank, 0.1 * rank, np.nan] for rank in range(size)])
        np.testing.assert_array_equal(this["added"][0], size * np.arange(3.0) + (10 if size == 2 else 0))
        np.testing.assert_array_equal(this["added"][1], np.array([1 + 1j, -2j]) * (3 if size == 2 else 1))
        assert this["texts"] == ["\u00fc of 0", "", "long " * 5000 + "0"]
        weight, learns, count, single = this["tensors"]
        assert learns
        assert count == 7
        assert not weight.any()
        assert (single == 0.5).all()


FAILURES: dict[str, DpdrunError] = {
    "data": DataError("capture.csv:3: not a number"),
    "stopped": StoppedError("stopped by SIGTERM"),
    "long": RunError("\u00fc" * MESSAGE_BYTES),
}


def fail(group: ProcessGroup, failures: dict[int, str]) -> tuple[str, int, str] | None:
    """A block that fails in some of the processes: the error that comes of it."""
    try:
        with group.errors_synchronized():
            if group.rank in failures:
                raise FAILURES[failures[group.rank]]
    except DpdrunError as error:
        return type(error).__name__, error.exit_code, str(error)
    finally:
        group.barrier()  # all came through: nobody waits for somebody who has left
    return None


def test_all_continue_where_none_failed(processes: Of) -> None:
    assert [processes(size).run(__file__, "fail", failures={}) for size in SIZES] == [[None], [None, None]]


@pytest.mark.parametrize("rank", [0, 1])
def test_none_continues_where_one_failed(rank: int, processes: Of) -> None:
    first, other = processes(2).run(__file__, "fail", failures={rank: "data"})
    assert other == (FollowedError.__name__, 2, "")
    message = "capture.csv:3: not a number"
    assert first == (("DataError", 2, message) if rank == 0 else ("RunError", 2, f"process 1 of 2: {message}"))


def test_an_error_keeps_the_exit_code_that_it_has_elsewhere(processes: Of) -> None:
    first, other = processes(2).run(__file__, "fail", failures={1: "stopped"})
    assert first == ("StoppedError", 75, "process 1 of 2: stopped by SIGTERM")
    assert other == (FollowedError.__name__, 75, "")


def test_the_first_process_speaks_of_its_own_error(processes: Of) -> None:
    first, other = processes(2).run(__file__, "fail", failures={0: "stopped", 1: "data"})
    assert first == ("StoppedError", 75, "stopped by SIGTERM")
    assert other == (FollowedError.__name__, 75, "")


def test_a_long_message_is_cut_between_characters(processes: Of) -> None:
    first, _ = processes(2).run(__file__, "fail", failures={1: "long"})
    assert re.fullmatch(r"process 1 of 2: \u00fc+\W+\u00fc+", first[2]), "a long line is shown without its middle"


def test_one_process_fails_by_itself() -> None:
    with pytest.raises(DataError, match="no such file"), ProcessGroup().errors_synchronized():
        raise DataError("no such file")


def test_an_exchange_that_breaks_off_is_a_lost_process() -> None:
    told = r"process 1 of 2 on \S+ lost contact with the others: Connection closed$"
    with pytest.raises(LostError, match=told), ProcessGroup(2, 1).peer_loss_as_error():
        raise RuntimeError("Connection closed\nby whom is on the second line")
    with pytest.raises(RuntimeError, match="a fault of ours"), ProcessGroup().peer_loss_as_error():
        raise RuntimeError("a fault of ours")


def test_memory_that_runs_out_is_no_lost_process() -> None:
    with pytest.raises(torch.OutOfMemoryError), ProcessGroup(2, 1).peer_loss_as_error():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_no_launcher_no_team() -> None:
    with ProcessGroup.join() as group:
        assert (group.size, group.rank, group.is_rank_zero) == (1, 0, True)
    assert not torch.distributed.is_initialized()


def test_a_launcher_says_where_to_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    monkeypatch.delenv("MASTER_PORT", raising=False)
    with pytest.raises(RunError, match="WORLD_SIZE is 2, but MASTER_ADDR, MASTER_PORT is not set"), ProcessGroup.join():
        pass


def test_who_is_alone_at_the_meeting_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
        "DPDRUN_STORE": str(tmp_path / "store"), "DPDRUN_TIMEOUT_S": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    before = dict(os.environ)
    with pytest.raises(RunError, match="process 1 of 2 did not meet the others here within 1 s"), ProcessGroup.join():
        pass
    assert dict(os.environ) == before


def test_the_environment_of_the_caller_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun with one process sets LOCAL_RANK, which would make Accelerate's trackers start a group."""
    monkeypatch.setenv("LOCAL_RANK", "0")
    before = dict(os.environ)
    with ProcessGroup.join():
        assert "LOCAL_RANK" not in os.environ
    assert dict(os.environ) == before
