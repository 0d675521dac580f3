"""Signals at seeded moments over the life of `dpdrun train`: exit code, checkpoint, the command that continues."""

from __future__ import annotations

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to see that the process answers signals"),
]

COMMAND = (sys.executable, "-P", "-m", "dpdrun", "train")
RECIPE = """\
task: pa
data: {source: CAPTURE, sample_rate_hz: 1e6}
model: {kind: gru, hidden: 6}
train: {max_steps: 60, eval_every: 20, frame: 64, batch_size: 16, checkpoint_every: 10, compile: "off"}
"""
MOMENTS = 200
CODES = {signal.SIGTERM: 75, signal.SIGHUP: 75, signal.SIGINT: 130}
AGAIN_S = 0.02  # between a signal and its repetition


@dataclass(frozen=True)
class Ended:
    """How a run ended: its code, its stderr, whether it had finished."""

    code: int
    stderr: str
    finished: bool


def answers_signals(pid: int) -> bool:
    """Whether a process catches SIGTERM; before its first instruction the kernel ends it, whatever the program is."""
    try:
        caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return True
    return caught is None or bool(int(caught[1], 16) & 1 << (signal.SIGTERM - 1))


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, in that order."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def run_with(
    recipe: Path, folder: Path, number: signal.Signals, after_s: float, *, times: int = 1, rank: int | None = None
) -> Ended:
    """Train, in two processes if `rank` is given, and send a signal to the command or to that rank."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    team = [] if rank is None else ["--processes", "2", "--timeout", "60"]
    arguments = [*COMMAND, str(recipe), "--run-dir", str(folder), *team]
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in CODES],  # as at a terminal
    )  # fmt: skip
    target = process.pid
    if rank is not None and rank >= 0:
        while process.poll() is None and len(children_of(process.pid)) < 2:
            time.sleep(0.01)
        target = [*children_of(process.pid), process.pid, process.pid][rank]
    while not answers_signals(target):
        time.sleep(0.0005)
    time.sleep(after_s)
    for _ in range(times):
        with suppress(ProcessLookupError):
            os.kill(target, number)
        time.sleep(AGAIN_S if times > 1 else 0.0)
    _, stderr = process.communicate(timeout=300)
    return Ended(process.returncode, stderr, (folder / "report.json").is_file())


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_recipe(tmp_path_factory.mktemp("signals"))


def written_recipe(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    path = folder / "r.yaml"
    path.write_text(RECIPE.replace("CAPTURE", str(folder / "capture.npz")))
    return path


@pytest.fixture(scope="module")
def life_s(recipe: Path) -> float:
    """How long a whole run takes here and now."""
    began = time.monotonic()
    done = subprocess.run([*COMMAND, str(recipe), "--run-dir", str(recipe.parent / "whole")], capture_output=True)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def test_a_signal_at_any_moment_ends_a_run_as_documented(recipe: Path, life_s: float, tmp_path: Path) -> None:
    rng = random.Random(1)
    wrong = []
    for case in range(MOMENTS):
        number = rng.choice(list(CODES))
        times = 1 if number == signal.SIGINT else rng.choice((1, 2, 3))  # Ctrl-C twice leaves without a checkpoint
        after_s = 0.0 if case % 20 == 0 else rng.uniform(0.0, 1.1 * life_s)
        folder = tmp_path / str(case)
        ended = run_with(recipe, folder, number, after_s, times=times)
        problem = problem_of(ended, {CODES[number]}, folder)
        if problem:
            wrong.append(f"case {case}: {times} x {number.name} after {after_s:.3f} s: {problem}: {ended}")
    assert wrong == []


LAUNCHER, TEAM_MOMENTS = -1, 60


def test_a_signal_to_any_process_of_a_team_ends_the_run(recipe: Path, life_s: float, tmp_path: Path) -> None:
    rng = random.Random(2)
    wrong = []
    for case in range(TEAM_MOMENTS):
        number, rank, times = rng.choice(list(CODES)), rng.choice((LAUNCHER, 0, 1)), rng.choice((1, 1, 2))
        times = 1 if number == signal.SIGINT else times
        after_s, folder = rng.uniform(0.0, 1.5 * life_s), tmp_path / str(case)
        ended = run_with(recipe, folder, number, after_s, times=times, rank=rank)
        # a process that is interrupted before the others know of it is one that is lost
        codes = {CODES[number]} if rank == LAUNCHER else {75, CODES[number]}
        problem = problem_of(ended, codes, folder)
        if problem:
            wrong.append(f"case {case}: {times} x {number.name} to {rank} after {after_s:.3f} s: {problem}: {ended}")
    assert wrong == []


def problem_of(ended: Ended, codes: set[int], folder: Path) -> str:
    """Return what is wrong with the end of a run, or an empty text."""
    if "Traceback" in ended.stderr:
        return "a traceback"
    if ended.code == 0:
        return "" if ended.finished else "0 without a report"
    if ended.code not in codes:
        return "its exit code"
    if ended.finished:
        return ""
    if not (folder / "checkpoints" / "last.safetensors").is_file():
        return "a folder without a checkpoint" if folder.exists() else ""
    commands = [line.strip() for line in ended.stderr.splitlines() if line.strip().endswith("--resume")]
    if not commands:
        return "no command that continues"
    done = subprocess.run([*COMMAND, *shlex.split(commands[-1])[2:]], capture_output=True, text=True)
    return "" if done.returncode == 0 else f"the resumed run: {done.stderr}"
