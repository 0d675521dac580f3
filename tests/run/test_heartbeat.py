"""The heartbeat of a run, and what `dpdrun health` makes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import StoppedError
from dpdrun.run import heartbeat
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import EVERY_S, Heartbeat, end_recorded, health
from dpdrun.run.listing import is_alive


class Clock:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 1e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(heartbeat, "time", clock)
    return clock


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "one")


def written(run: RunFolder) -> dict[str, Any]:
    found = json.loads(run.heartbeat.read_text())
    assert isinstance(found, dict)
    return found


def test_a_sign_says_how_far_the_run_is(run: RunFolder, clock: Clock) -> None:
    Heartbeat(run, 250).beat("training", 7)
    assert written(run) == {"step": 7, "total_steps": 250, "phase": "training", "time": clock.time()}


def test_signs_are_seldom(run: RunFolder, clock: Clock) -> None:
    beats = Heartbeat(run, 250)
    seen = []
    for step in range(1, 31):
        beats.beat("training", step)
        seen.append(written(run)["step"])
        clock.now += EVERY_S / 10
    assert sorted(set(seen)) == [1, 11, 21]


def test_a_heartbeat_appears_complete_and_leaves_no_other_file(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    Heartbeat(run, 250).beat("training", 7)
    before = written(run)

    def torn(self: Path, target: Path) -> None:
        raise OSError

    monkeypatch.setattr(Path, "replace", torn)
    Heartbeat(run, 250).beat("training", 8)
    assert written(run) == before
    assert [path.name for path in run.path.iterdir() if path.is_file()] == ["heartbeat.json"]


def test_a_run_that_cannot_write_it_is_no_worse(tmp_path: Path) -> None:
    Heartbeat(RunFolder(tmp_path / "gone"), 250).beat("training", 1)
    (tmp_path / "file").write_text("")
    Heartbeat(RunFolder(tmp_path / "file"), 250).beat("training", 1)


def test_a_run_that_falls_silent_is_not_well(run: RunFolder, clock: Clock) -> None:
    Heartbeat(run, 2500).beat("validation", 1200)
    clock.now += 20
    found = health(run.path, 20)
    assert (found.is_alive, found.line) == (True, f"{run.path}: validation, step 1,200 of 2,500, 20 s ago")
    clock.now += 1
    found = health(run.path, 20)
    assert not found.is_alive
    assert found.line.endswith("21 s ago: no heartbeat for more than 20 s")
    clock.now -= 40  # set back a little: nobody knows, so nobody is killed
    assert health(run.path, 20).is_alive


def test_a_finished_run_is_alive_for_ever(run: RunFolder, clock: Clock) -> None:
    Heartbeat(run, 250).beat("evaluation", 250)
    run.write_json(run.report, {})
    clock.now += 1e6
    found = health(run.path)
    assert (found.is_alive, found.line) == (True, f"{run.path}: finished")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{", '{"step": 1}', '{"step": 1, "total_steps": 2, "phase": 3, "time": "x"}']
)
def test_a_damaged_sign_is_none(text: str, run: RunFolder) -> None:
    run.heartbeat.write_text(text)
    found = health(run.path)
    assert not found.is_alive
    assert "cannot be read" in found.line


def test_of_several_runs_the_newest_counts(tmp_path: Path, clock: Clock) -> None:
    now = clock.time()
    for age, name in ((300, "old"), (100, "chain/pa"), (200, "chain/dpd"), (250, "other")):
        run = RunFolder.create(tmp_path / name)
        run.heartbeat.write_text(json.dumps({"step": 1, "total_steps": 2, "phase": "training", "time": now - age}))
        os.utime(run.heartbeat, (now - age, now - age))
    found = health(tmp_path, 150)
    assert found.is_alive
    assert found.line.startswith(f"{tmp_path}/chain/pa: ")
    assert health(tmp_path / "chain", 150).is_alive
    assert not health(tmp_path / "old", 150).is_alive


def test_without_a_run_there_is_no_health(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nowhere"):
        found = health(path)
        assert (found.is_alive, found.line) == (False, f"no run in {path}")


@pytest.mark.parametrize(
    "time", ["NaN", "Infinity", "1e999", "[" * 5000 + "]" * 5000, "9" * 400, "9" * 5000, "true", '"now"', "1e12"]
)
def test_a_time_that_is_none_is_not_alive(time: str, run: RunFolder) -> None:
    run.heartbeat.write_text(f'{{"step": 1, "total_steps": 2, "phase": "training", "time": {time}}}')
    assert not health(run.path).is_alive


def test_a_heartbeat_of_the_future_is_not_alive(run: RunFolder, clock: Clock) -> None:
    Heartbeat(run, 8).beat("training", 1)
    clock.now -= 200.0
    assert health(run.path, 300.0).is_alive, "a clock that was set back"
    clock.now -= 200.0
    assert "in the future" in health(run.path, 300.0).line
    assert not health(run.path, 300.0).is_alive


@pytest.mark.parametrize(
    ("error", "ended"),
    [(KeyboardInterrupt(), "interrupted"), (StoppedError("x"), "stopped"), (ValueError("x"), "failed")],
)
def test_a_run_that_was_ended_is_not_alive_from_then_on(error: BaseException, ended: str, run: RunFolder) -> None:
    run.last.write_bytes(b"")
    Heartbeat(run, 8).beat("training", 3)
    assert is_alive(run)
    with pytest.raises(type(error)), end_recorded(run):
        raise error
    found = health(run.path)
    assert not found.is_alive
    assert f"{run.path}: {ended}; last heartbeat at step 3 of 8; continue with:\n  dpdrun train" in found.line
    assert not is_alive(run)
    Heartbeat(run, 8).beat("preparation", 3)  # resumed
    assert health(run.path).is_alive
    assert "ended" not in written(run)
