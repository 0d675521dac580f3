"""Which cores and GPUs the workers of a host take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dpdrun.errors import RunError, StoppedError
from dpdrun.sweep import pool
from dpdrun.sweep.folder import SweepFolder
from dpdrun.training import process_group


@pytest.mark.parametrize(("variable", "found"), [("2,GPU-ab ", ["2", "GPU-ab"]), ("", []), ("-1", [])])
def test_gpus_are_those_that_torch_trains_on(variable: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(pool.GPUS_VARIABLE, variable)
    monkeypatch.setattr(process_group, "uses_gpu", lambda device: device != "cpu")
    assert pool.gpus("auto") == found
    assert pool.gpus("cpu") == []
    monkeypatch.setattr(process_group, "uses_gpu", lambda _: False)  # a torch without CUDA
    assert pool.gpus("auto") == []


@pytest.mark.parametrize(
    ("cards", "count", "text"),
    [
        ([], 2, "2 workers, one thread each"),
        (["0"], 1, "1 worker on 1 GPU"),
        (["0", "1"], 4, "4 workers on 2 GPUs, up to 2 on one"),
    ],
)
def test_where_workers_run(cards: list[str], count: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "gpus", lambda _: cards)
    monkeypatch.delenv(pool.LIMIT_VARIABLE, raising=False)
    assert pool.described(count, "auto") == text
    assert pool.default_workers("auto") == (len(cards) or pool.usable_cores())


def test_workers_take_the_gpus_in_turn(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def start(_: Any, *, env: dict[str, str], **__: Any) -> Any:
        seen.append(env[pool.GPUS_VARIABLE])
        return SimpleNamespace(poll=lambda: 0)

    monkeypatch.setattr(pool, "gpus", lambda _: ["0", "GPU-ab"])
    monkeypatch.setattr(subprocess, "Popen", start)
    pool.Pool(SweepFolder(tmp_path), 3, "auto").run(lambda: None)
    assert seen == ["0", "GPU-ab", "0"]


KILLS_ITSELF = """
import os, pathlib, signal
starts = pathlib.Path("starts")
with starts.open("a") as file:
    file.write("x")
if starts.stat().st_size <= {most}:
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_only_worker_is_started_again_when_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "PROGRAM", [sys.executable, "-c", KILLS_ITSELF.format(most=2)])
    pool.Pool(SweepFolder(tmp_path), 1, "cpu").run(lambda: None)
    assert (tmp_path / "starts").read_text() == "xxx"


WAITS_FOR_THE_THIRD = """
import os, pathlib, signal, sys, time
for number in range(1, 9):
    try:
        pathlib.Path(f"start-{number}").open("x").close()
        break
    except FileExistsError:
        pass
if number == 2:
    os.kill(os.getpid(), signal.SIGKILL)
for _ in range(600 if number == 1 else 0):
    if pathlib.Path("start-3").exists():
        sys.exit(0)
    time.sleep(0.1)
sys.exit(number == 1)
"""


def test_a_killed_worker_is_started_again_while_the_others_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "PROGRAM", [sys.executable, "-c", WAITS_FOR_THE_THIRD])
    for _ in range(2):  # whichever of the two was killed
        pool.Pool(SweepFolder(tmp_path), 2, "cpu").run(lambda: None)
        assert (tmp_path / "start-3").exists()
        for path in tmp_path.glob("start-*"):
            path.unlink()


def test_workers_that_never_survive_their_start_end_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool, "PROGRAM", [sys.executable, "-c", KILLS_ITSELF.format(most=10**6)])
    with pytest.raises(RunError, match="killed before any had claimed a trial, the last by SIGKILL; is there enough"):
        pool.Pool(SweepFolder(tmp_path), 2, "cpu").run(lambda: None)


def test_a_signal_while_workers_are_started_ends_those_that_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = subprocess.Popen, list[subprocess.Popen[bytes]]()

    def interrupted(*command: Any, **options: Any) -> subprocess.Popen[bytes]:
        if started:
            os.kill(os.getpid(), signal.SIGTERM)
        started.append(start(*command, **options))
        return started[-1]

    monkeypatch.setattr(pool, "PROGRAM", [sys.executable, "-c", "import time; time.sleep(600)"])
    monkeypatch.setattr(subprocess, "Popen", interrupted)
    with pytest.raises(StoppedError, match="SIGTERM"):
        pool.Pool(SweepFolder(tmp_path), 3, "cpu").run(lambda: None)
    assert [each.poll() for each in started] == [-signal.SIGTERM]
