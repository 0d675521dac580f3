"""`dpdrun health` as an orchestrator runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat

ROOT = Path(__file__).parents[2]


def test_a_live_run_exits_0_and_a_silent_one_1(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "runs" / "one")
    result = CliRunner().invoke(app, ["health", str(run.path)])
    assert (result.exit_code, result.stdout) == (1, f"unhealthy: no run in {run.path}\n")
    Heartbeat(run, 10).beat("training", 3)
    result = CliRunner().invoke(app, ["health", str(run.path.parent)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"healthy: {run.path}: training, step 3 of 10, ")
    run.heartbeat.write_text('{"step": 3, "total_steps": 10, "phase": "training", "time": 1e9}')
    result = CliRunner().invoke(app, ["health", str(run.path), "--max-age", "60"])
    assert result.exit_code == 1
    assert result.stdout.endswith("s ago: no heartbeat for more than 60 s\n")


def test_a_run_of_dpdrun_leaves_it(finished: Path) -> None:
    run = RunFolder(finished)
    sign = run.read_json(run.heartbeat)
    assert (sign["phase"], sign["step"], sign["total_steps"]) == ("evaluation", 8, 8)
    result = CliRunner().invoke(app, ["health", str(finished)])
    assert (result.exit_code, result.stdout) == (0, f"healthy: {finished}: finished\n")


def test_it_looks_at_runs_and_is_light(tmp_path: Path) -> None:
    code = (
        "import sys; from dpdrun.commands import app; app(['health'], standalone_mode=False);"
        "print(sorted({'torch', 'numpy', 'scipy', 'yaml', 'rich.console'} & set(sys.modules)))"
    )
    Heartbeat(RunFolder.create(tmp_path / "runs" / "one"), 10).beat("training", 3)
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stdout.splitlines()[0].startswith("healthy: runs/one: ")
    assert result.stdout.splitlines()[1] == "[]", "a health check every minute is to cost nothing"
