"""deploy/slurm/train.sbatch under a Slurm of three small scripts: what each node runs, and when the job comes back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import EXIT_STOPPED

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "train.sbatch"
LIMIT_S = 900  # ends a hang, however slow the machine

# As Slurm's: the command once on each node, at the same time, SIGTERM passed on, the highest exit code of them all.
SRUN = """\
import os, signal, subprocess, sys
print("srun", *sys.argv[1:], file=open(os.environ["LOG"], "a"))
command = [word for word in sys.argv[1:] if not word.startswith("--")]
nodes = range(int(os.environ["SLURM_JOB_NUM_NODES"]))
tasks = [subprocess.Popen(command, env=os.environ | {"SLURM_NODEID": str(node)}) for node in nodes]
signal.signal(signal.SIGTERM, lambda number, _: [task.send_signal(number) for task in tasks])
sys.exit(max(task.wait() for task in tasks))
"""
SCONTROL = """\
echo "scontrol $*" >> "$LOG"
if [ "$1" = show ]; then echo 127.0.0.1; echo 127.0.0.2; fi
"""
DPDRUN = """\
echo "dpdrun $*" >> "$LOG"
[ -z "$ENDS_WITH" ] || exit "$ENDS_WITH"
exec "$PYTHON" -m dpdrun "$@" $EXTRA
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start the script as a job of two nodes; the calls it makes are lines of `log` in the folder of the test."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("dpdrun", DPDRUN)):
        (programs / name).write_text(f"#!{sys.executable if name == 'srun' else '/bin/bash'}\n{text}")
        (programs / name).chmod(0o755)

    def start(*arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["bash", str(SCRIPT), *map(str, arguments)], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={
                **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "COLUMNS": "100",
                "PYTHON": sys.executable, "LOG": str(tmp_path / "log"), "ENDS_WITH": "", "EXTRA": "",
                "SLURM_JOB_ID": "123456", "SLURM_JOB_NODELIST": "gpu[1-2]", "SLURM_JOB_NUM_NODES": "2",
                "SLURM_GPUS_ON_NODE": "4", **environment,
            },
        )  # fmt: skip

    return start


def test_shellcheck_finds_nothing(tool: Callable[..., Any]) -> None:
    result = tool("shellcheck", SCRIPT)
    assert result.stdout + result.stderr == ""
    assert result.returncode == 0


def test_the_directives_make_a_job_that_comes_back() -> None:
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    first = next(at for at, line in enumerate(lines) if line and not line.startswith("#"))
    given = [line.removeprefix("#SBATCH ") for line in lines[:first] if line.startswith("#SBATCH ")]
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")], (
        "sbatch stops reading at the first command"
    )
    assert {"--requeue", "--open-mode=append", "--ntasks-per-node=1", "--signal=TERM@120"} <= set(given)


def test_each_node_runs_one_launcher_with_its_own_rank(slurm: Callable[..., Any], tmp_path: Path) -> None:
    run = slurm("recipes/quickstart.yaml", "runs/quick start", EXTRA="--dry-run")
    output, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0, output
    assert output.count("optim.lr ") == 2, output
    calls = (tmp_path / "log").read_text().splitlines()
    ranks = sorted(call.split("--rank ")[1].split()[0] for call in calls if call.startswith("dpdrun train"))
    assert ranks == ["0", "1"]
    shared = "--processes 4 --hosts 2 --rank 1 --rendezvous 127.0.0.1:23456"
    assert f"dpdrun train recipes/quickstart.yaml --run-dir runs/quick start --auto-resume {shared}" in calls
    assert not [call for call in calls if "requeue" in call]


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (2, False), (EXIT_STOPPED, True)])
def test_only_a_stopped_run_is_requeued(code: int, again: bool, slurm: Callable[..., Any], tmp_path: Path) -> None:
    run = slurm("r.yaml", "runs/r", ENDS_WITH=str(code))
    output, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == code, output
    assert ("scontrol requeue 123456" in (tmp_path / "log").read_text().splitlines()) is again


def test_missing_arguments_are_named(slurm: Callable[..., Any], tmp_path: Path) -> None:
    run = slurm("r.yaml")
    output, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode != 0
    assert "usage: sbatch train.sbatch RECIPE RUN_DIR" in output
    assert not (tmp_path / "log").exists()


RECIPE = """\
task: pa
data: {source: synthetic/mild}
model: {kind: gru, hidden: 4}
train: {max_steps: 1000, batch_size: 4, frame: 32, eval_every: 500, compile: off}
"""


@pytest.mark.slow
def test_a_preempted_job_of_two_nodes_comes_back_and_finishes(slurm: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    run = tmp_path / "run"

    def submit() -> subprocess.Popen[str]:
        return slurm(tmp_path / "r.yaml", run, SLURM_GPUS_ON_NODE="1", GLOO_SOCKET_IFNAME="lo", OMP_NUM_THREADS="1")

    job = submit()
    heartbeat = run / "heartbeat.json"
    while not (heartbeat.is_file() and '"training"' in heartbeat.read_text()):
        assert job.poll() is None, job.communicate()[0]
        time.sleep(0.05)
    (srun,) = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
    job.send_signal(signal.SIGTERM)  # which it outlives
    os.kill(int(srun), signal.SIGTERM)
    output, _ = job.communicate(timeout=LIMIT_S)
    assert job.returncode == EXIT_STOPPED, output
    assert "scontrol requeue 123456" in (tmp_path / "log").read_text().splitlines()
    job = submit()
    output, _ = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 0, output
    assert "resumed: gru of" in output
    report = json.loads((run / "report.json").read_text())
    assert (report["steps"], report["processes"]) == (1000, 2)
