"""SIGKILL at random moments: no file is ever torn, and the run that goes on is the one that was never killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dpdrun.run.folder import RunFolder
from tests.training.interrupted import require_same, require_whole

TRIALS, TEAM_TRIALS = 50, 10
PATIENCE_S = 300.0  # for a process that is to end by itself; no measure of speed
RECIPE = """\
task: pa
data: {source: capture.npz}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, dropout: 0.1}
optim: {lr: 1e-2, schedule: plateau}
train: {max_steps: 150, batch_size: 8, frame: 32, burn_in: 8, eval_every: 3, checkpoint_every: 5, compile: off,
        on_finding: adapt}
"""

BEFORE = ("nothing to resume from: it ended before its first checkpoint", "not a run folder", "no such run folder")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lay_out: Callable[..., None]) -> Path:
    path = tmp_path_factory.mktemp("kills")
    lay_out(path, job=RECIPE)
    return path


def stage_of(run: RunFolder) -> str:
    stages = {"done": run.report, "trained": run.model, "with a checkpoint": run.last, "begun": run.plan}
    return next((name for name, file in stages.items() if file.is_file()), "nothing yet")


def test_a_killed_process_loses_nothing(folder: Path, workers: Any) -> None:
    rng, met = Random(6), Counter[str]()

    def start(run: RunFolder, *more: str) -> Any:
        return workers.start(folder, "train", "job.yaml", "--run-dir", str(run.path), *more)

    straight = RunFolder(folder / "straight")
    whole = start(straight)
    assert whole.wait() == 0, whole.said

    run = None
    for trial in range(TRIALS):
        if run is None:
            run = RunFolder(folder / f"run-{trial}")
        resumes = run.last.is_file()
        this = start(run, *(["--resume"] if resumes else []))
        wait_for_a_moment(rng, run, straight, this.pid)
        os.kill(this.pid, signal.SIGKILL)  # its server has not waited for it: the number is still its own
        code = this.wait()
        assert code in (0, -signal.SIGKILL), this.said
        require_whole(run)
        stage = stage_of(run)
        met[stage] += 1
        if stage in ("nothing yet", "begun"):
            refused = start(run, "--resume")
            assert refused.wait() == 2
            assert any(said in refused.said for said in BEFORE), refused.said
            run = None
        elif stage == "done" or rng.random() < 0.5:  # else the resumed run is killed too
            last = start(run, "--resume")
            assert last.wait() == 0, last.said
            require_same(run, straight)
            run = None
    print(f"\n{TRIALS} kills of one process: {dict(met)}")
    assert met["with a checkpoint"] > TRIALS // 2


def test_a_team_survives_the_kill_of_any_of_it(folder: Path) -> None:
    rng, met = Random(7), Counter[str]()
    straight = RunFolder(folder / "group")
    with started(folder, straight) as whole:
        assert whole.wait(PATIENCE_S) == 0

    for trial in range(TEAM_TRIALS):
        victim = ("rank 0", "rank 1", "launcher")[trial % 3]
        run = RunFolder(folder / f"group-{trial}")
        with started(folder, run) as launcher:
            seen(run)
            members = team_of(launcher.pid)
            assert members.keys() == {"rank 0", "rank 1"}
            wait_for_a_moment(rng, run, straight, launcher.pid)
            with suppress(ProcessLookupError):  # rank 1 has nothing to do with the last scores
                os.kill(({"launcher": launcher.pid} | members)[victim], signal.SIGKILL)
            code = launcher.wait(PATIENCE_S)
            said = launcher.stderr.read().decode() if launcher.stderr else ""
        for pid in members.values():
            require_end(pid)
        require_whole(run)
        stage = stage_of(run)
        met[f"{victim}: {stage}, exit {code}"] += 1
        expected = {-signal.SIGKILL} if victim == "launcher" else {75} | ({0} if stage == "done" else set())
        assert code in expected, said
        if stage in ("nothing yet", "begun"):
            continue
        with started(folder, run, "--resume") as again:
            assert again.wait(PATIENCE_S) == 0, again.stderr.read().decode() if again.stderr else ""
        require_same(run, straight)
    print(f"\n{TEAM_TRIALS} kills in a group of two: {dict(met)}")
    assert sum(count for what, count in met.items() if "checkpoint" in what) > TEAM_TRIALS // 2


def started(folder: Path, run: RunFolder, *more: str) -> subprocess.Popen[bytes]:
    """The launcher of a group of two."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "dpdrun", "train", "job.yaml", "--processes", "2", "--run-dir", str(run.path)]
    return subprocess.Popen(
        [*command, *more], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def wait_for_a_moment(rng: Random, run: RunFolder, straight: RunFolder, pid: int) -> None:
    """Until the log of a run has some length, by its share of the whole one, and a little longer.

    So the moments are spread over the run however fast the machine is; what the process does then is up to chance.
    """
    size, begun = straight.metrics.stat().st_size, run.metrics.stat().st_size if run.metrics.is_file() else 0
    wanted = rng.uniform(begun - 0.1 * size, 1.05 * size)  # before the first line, and after the last
    deadline = time.monotonic() + PATIENCE_S
    while wanted > begun and not has_ended(pid) and not run.model.is_file():
        if run.metrics.is_file() and run.metrics.stat().st_size >= wanted:
            break
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.05))


def seen(run: RunFolder) -> None:
    """Wait until a run has its plan."""
    deadline = time.monotonic() + PATIENCE_S
    while not run.plan.is_file():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def team_of(launcher: int) -> dict[str, int]:
    """Process ids of a launcher's processes, by what they are."""
    found = {}
    for pid in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        rank = next((each for each in variables if each.startswith(b"RANK=")), None)
        if rank is not None:
            found[f"rank {rank.removeprefix(b'RANK=').decode()}"] = int(pid)
    return found


def has_ended(pid: int) -> bool:
    """Whether a process has, which may be nobody's child here."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def require_end(pid: int) -> None:
    """Wait until a process has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while not has_ended(pid):
        assert time.monotonic() < deadline, f"process {pid} hangs"
        time.sleep(0.01)


@pytest.mark.parametrize("when", ["begun", "with a checkpoint", "trained"])
def test_sigterm_to_the_launcher_stops_a_run_that_can_resume(when: str, folder: Path) -> None:
    run, straight = RunFolder(folder / f"stopped {when}"), RunFolder(folder / "group")
    if not straight.report.is_file():
        with started(folder, straight) as whole:
            assert whole.wait(PATIENCE_S) == 0
    with started(folder, run) as launcher:
        deadline = time.monotonic() + PATIENCE_S
        while stage_of(run) not in (when, "done"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        launcher.send_signal(signal.SIGTERM)
        code = launcher.wait(PATIENCE_S)
        said = launcher.stderr.read().decode() if launcher.stderr else ""
    assert code == (0 if run.report.is_file() else 75), said
    require_whole(run)
    with started(folder, run, "--auto-resume") as again:  # before the first step, nothing is left
        assert again.wait(PATIENCE_S) == 0
    require_same(run, straight)
