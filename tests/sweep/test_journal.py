"""The journal: what several processes agree on, whatever ends one of them."""

from __future__ import annotations

import errno
import json
import multiprocessing
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import pytest

from dpdrun.errors import RunError, UnwritableError
from dpdrun.sweep.journal import Journal
from dpdrun.sweep.points import Point, Trial

POINT = Point({"optim.lr": "1e-3"}, {"optim.lr": 1e-3}, (Trial("a", 0, ()), Trial("b", 1, ())), "sha")


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    found = Journal(tmp_path / "journal.jsonl")
    with found.transaction() as now:
        now.add("point", point=POINT.to_json())
    return found


def test_another_process_reads_what_one_has_written(journal: Journal) -> None:
    with journal.transaction() as now:
        now.add("claim", id="a", worker="w")
    other = Journal(journal.path)
    state = other.read()
    assert state.points == [POINT]
    assert {id_: each.status for id_, each in state.trials.items()} == {"a": "running", "b": "pending"}
    with other.transaction() as now:
        now.add("finished", id="a", worker="w", core_seconds=2.0)
    assert journal.read().trials["a"].status == "finished"
    assert journal.read().core_seconds == 2.0


def test_a_decided_trial_stays_decided(journal: Journal) -> None:
    with journal.transaction() as now:
        now.add("claim", id="a", worker="w")
        now.add("finished", id="a", worker="w", core_seconds=1.0)
        now.add("failed", id="a", worker="late", core_seconds=5.0, reason="late")
    state = Journal(journal.path).read().trials["a"]
    assert (state.status, state.core_seconds) == ("finished", 1.0)


def test_more_seeds_extend_a_point_and_fewer_leave_it(journal: Journal) -> None:
    more = replace(POINT, trials=(*POINT.trials, Trial("c", 2, ())))
    other = replace(POINT, trials=(Trial("d", 0, ()),))  # of a version with other rules
    with journal.transaction() as now:
        for point in (other, more, replace(POINT, trials=POINT.trials[:1])):
            now.add("point", point=point.to_json())
    state = Journal(journal.path).read()
    assert state.points == [more, other]
    assert list(state.trials) == ["a", "b", "d", "c"]


def test_a_line_that_was_cut_off_is_replaced(journal: Journal) -> None:
    size = journal.path.stat().st_size
    with journal.path.open("ab") as file:
        file.write(b'{"event": "claim", "id": "a", "wor')
    assert journal.read().count("running") == 0
    with journal.transaction() as now:
        now.add("claim", id="b", worker="w")
    assert journal.path.read_bytes()[size:].startswith(b'{"event": "claim"')
    assert Journal(journal.path).read().trials["b"].status == "running"


def test_what_a_transaction_did_not_complete_is_undone(journal: Journal) -> None:
    with pytest.raises(KeyError), journal.transaction() as now:
        _ = now.add("claim", id="a", worker="w"), {}["nothing"]
    assert journal.read().count("pending") == 2


def test_a_full_disk_leaves_the_journal_as_it_was(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opened = journal.path.read_bytes(), Path.open

    class Full:
        def __init__(self, file: IO[bytes]) -> None:
            self._file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def truncate(self, size: int) -> None:
            self._file.truncate(size)

        def write(self, data: bytes) -> None:
            self._file.write(data[:10])
            self._file.flush()
            raise OSError(errno.ENOSPC, "No space left on device")

    def full(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        file = opened(path, mode, *arguments, **options)
        return Full(file) if mode == "ab" else file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(UnwritableError, match="No space left on device; make room"), journal.transaction() as now:
            now.add("claim", id="a", worker="w")
    assert journal.path.read_bytes() == before
    assert journal.read().count("pending") == 2


DAMAGED = {
    "no such trial": '{"event": "claim", "id": "nobody", "worker": "w", "time": 1}',
    "nested": "[" * 5000 + "]" * 5000,
    "time": '{"event": "finished", "id": "a", "core_seconds": "nan"}',
    "text for a number": '{"event": "finished", "id": "a", "core_seconds": "two"}',
    "number for a text": '{"event": "failed", "id": "a", "reason": 5}',
    "report": '{"event": "tested", "id": "a", "report": 5}',
    "point without values": json.dumps({"event": "point", "point": POINT.to_json() | {"values": None}}),
    "point without trials": json.dumps({"event": "point", "point": POINT.to_json() | {"trials": []}}),
    "trial in another folder": json.dumps(
        {"event": "point", "point": POINT.to_json() | {"trials": [{"id": "../x", "seed": 0, "overrides": []}]}}
    ),
    "trial in the folder of the sweep": json.dumps(
        {"event": "point", "point": POINT.to_json() | {"trials": [{"id": "..", "seed": 0, "overrides": []}]}}
    ),
    "endless seed": json.dumps(
        {"event": "point", "point": POINT.to_json() | {"trials": [{"id": "x", "seed": "inf", "overrides": []}]}}
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_named(journal: Journal, name: str) -> None:
    with journal.path.open("a") as file:
        file.write(DAMAGED[name] + "\n")
    with pytest.raises(RunError, match=r"journal\.jsonl: damaged before byte"):
        Journal(journal.path).read()


def _claim_all(path: Path, name: str) -> None:
    journal = Journal(path)
    while True:
        with journal.transaction() as now:
            free = [id_ for id_, each in now.state.trials.items() if each.status == "pending"]
            if not free:
                return
            now.add("claim", id=free[0], worker=name)
            now.add("finished", id=free[0], worker=name)


def test_processes_never_claim_the_same_trial(journal: Journal) -> None:
    with journal.transaction() as now:
        for index in range(60):
            trial = Trial(f"t{index}", index, ())
            now.add("point", point=Point({"train.frame": str(index)}, {}, (trial,), "sha").to_json())
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_claim_all, args=(journal.path, name)) for name in "uvw"]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
    claims = [json.loads(line) for line in journal.path.read_text().splitlines()]
    ids = [line["id"] for line in claims if line["event"] == "claim"]
    assert len(ids) == len(set(ids)) == 62
