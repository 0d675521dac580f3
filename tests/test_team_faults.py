"""What happens to processes that train together: one is frozen, runs out of memory, meets a stranger, or comes back."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpdrun.run.folder import RunFolder
from tests.commands_run import DPDRUN, LIMIT_S, ended, lines_of, same_frames, small_recipe, started
from tests.training.interrupted import require_whole
from tests.training.test_kills import team_of

TIMEOUT_S = 20  # how long a process waits for another one, longer than a loaded machine lets one wait for its turn
STEPS = 1500

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc, and limits one with prlimit"),
]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = small_recipe(tmp_path, steps=STEPS, every=10)
    saving = path.read_text().replace("checkpoint_every: off", "checkpoint_every: 10")
    path.write_text(saving)  # the process that saves at the end may be the one that is lost
    return path


def team(recipe: Path, run: str) -> subprocess.Popen[str]:
    """A launcher and two processes."""
    command = ("train", recipe.name, "--processes", 2, "--run-dir", run, "--timeout", TIMEOUT_S)
    return started(*DPDRUN, *command, cwd=recipe.parent)


def hosts(recipe: Path, rendezvous: str, run: str, *more: Any) -> list[subprocess.Popen[str]]:
    """Two launchers that stand for two hosts, each with one process."""
    return [
        started(*DPDRUN, "train", recipe.name, "--run-dir", run, "--hosts", 2, "--rank", rank,
                "--rendezvous", rendezvous, "--timeout", TIMEOUT_S, *more, cwd=recipe.parent)
        for rank in (0, 1)
    ]  # fmt: skip


def free_place() -> str:
    """A host and port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{held.getsockname()[1]}"


def wait_until(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_training(run: Path) -> bool:
    """Whether a run has its first checkpoint."""
    return RunFolder(run).last.is_file()


def require_undisturbed(recipe: Path, run: Path) -> None:
    """The run has seen what a run of one process saw that was never disturbed."""
    code, _, err = ended(started(*DPDRUN, "train", recipe.name, "--run-dir", "alone", cwd=recipe.parent))
    assert code == 0, err
    same_frames(run, recipe.parent / "alone")


def require_resumed_as_one(recipe: Path, run: Path) -> None:
    """The run can be resumed by one process, and has then seen what the run that was never disturbed saw."""
    require_whole(RunFolder(run))
    resumed = started(*DPDRUN, "train", recipe.name, "--run-dir", run, "--resume", cwd=recipe.parent)
    code, _, err = ended(resumed)
    assert code == 0, err
    require_undisturbed(recipe, run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_is_frozen_for_a_while_is_waited_for(recipe: Path, rank: int) -> None:
    run = recipe.parent / "run"
    launcher = team(recipe, "run")
    wait_until(lambda: is_training(run), launcher)
    frozen = team_of(launcher.pid)[f"rank {rank}"]
    os.kill(frozen, signal.SIGSTOP)
    time.sleep(2)
    step = lines_of(run)[-1]["step"]
    os.kill(frozen, signal.SIGCONT)
    code, _, err = ended(launcher)
    assert code == 0, err
    assert step < STEPS
    require_undisturbed(recipe, run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_stays_frozen_ends_the_run_after_the_timeout(recipe: Path, rank: int) -> None:
    run = recipe.parent / "run"
    launcher = team(recipe, "run")
    wait_until(lambda: is_training(run), launcher)
    frozen = team_of(launcher.pid)[f"rank {rank}"]
    os.kill(frozen, signal.SIGSTOP)
    code, _, err = ended(launcher)
    assert code == 75, err
    assert "Traceback" not in err
    assert f"process {1 - rank} of 2" in err
    assert "lost contact with the others" in err
    assert not Path(f"/proc/{frozen}").exists()  # the launcher has ended it
    require_resumed_as_one(recipe, run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_runs_out_of_memory_ends_the_run(recipe: Path, rank: int) -> None:
    run = recipe.parent / "run"
    launcher = team(recipe, "run")
    wait_until(lambda: is_training(run), launcher)
    short_of_memory = team_of(launcher.pid)[f"rank {rank}"]
    subprocess.run(["prlimit", "--pid", str(short_of_memory), "--as=1"], check=True)  # the next new page is refused
    code, _, err = ended(launcher)
    assert code in (2, 75), err  # what it could not allocate, or what the other process says of losing it
    assert "Traceback" not in err
    require_resumed_as_one(recipe, run)


def test_a_second_launcher_at_the_same_rendezvous_is_refused(recipe: Path) -> None:
    place = free_place()
    first = hosts(recipe, place, "run")
    wait_until(lambda: is_training(recipe.parent / "run"), first[0])
    second = started(*DPDRUN, "train", recipe.name, "--run-dir", "other", "--hosts", 2, "--rank", 0,
                     "--rendezvous", place, "--timeout", TIMEOUT_S, cwd=recipe.parent)  # fmt: skip
    code, _, err = ended(second)
    assert code == 2, err
    assert place in err
    assert "Traceback" not in err
    for process in first:
        code, _, err = ended(process)
        assert code == 0, err
    assert not (recipe.parent / "other").exists()


def test_a_host_that_comes_back_continues_the_run(recipe: Path) -> None:
    run, place = recipe.parent / "run", free_place()
    first, second = hosts(recipe, place, "run")
    wait_until(lambda: is_training(run), first)
    for pid in [*team_of(second.pid).values(), second.pid]:
        os.kill(pid, signal.SIGKILL)  # the host is gone, with all that runs on it
    code, _, err = ended(first)
    second.communicate()
    assert code == 75, err
    assert lines_of(run)[-1]["step"] < STEPS
    for process in hosts(recipe, place, "run", "--auto-resume"):
        code, _, err = ended(process)
        assert code == 0, err
    require_undisturbed(recipe, run)
    assert json.loads(RunFolder(run).audit.read_text())["agrees"] is True
