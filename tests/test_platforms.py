"""The commands work where fcntl, resource, SIGHUP and handles on folders do not exist, as on Windows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

WITHOUT = """
import errno, os, signal, stat, sys
import psutil  # on Linux it needs resource itself
for name in ("fcntl", "resource"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGKILL"):
    delattr(signal, name)
open_, fsync = os.open, os.fsync
def open_files_only(path, flags, *rest, **named):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
    return open_(path, flags, *rest, **named)
def fsync_writable_only(handle):
    import io
    with open(f"/proc/self/fdinfo/{handle}") as info:
        flags = int(next(line for line in info if line.startswith("flags")).split()[1], 8)
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(handle)
os.open = open_files_only
if os.path.isdir("/proc/self/fdinfo"):
    os.fsync = fsync_writable_only
from typer.testing import CliRunner
from dpdrun.commands import app
import json
light, heavy = json.loads(sys.argv[1])
def run(words):
    result = CliRunner().invoke(app, words)
    if result.exit_code:
        sys.exit(f"{words}: exit {result.exit_code}, {result.output}, {result.exception!r}")
    print(words[0], "torch" in sys.modules, flush=True)
for words in light:
    run(words)
from tests.baselines import small_baselines
with small_baselines():
    for words in heavy:
        run(words)
"""
RECIPE = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
train: {max_steps: 6, batch_size: 4, frame: 32, eval_every: 3, checkpoint_every: 3, compile: off, device: cpu}
"""


def test_commands_work_without_what_windows_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(RECIPE)
    light = [
        ["recipe", "check", "a.yaml"], ["recommend", "a.yaml"], ["lint", "a.yaml"], ["explain", "LR010"],
        ["data", "list"], ["train", "a.yaml", "--dry-run"],
    ]  # fmt: skip
    heavy = [
        ["train", "a.yaml", "--run-dir", "run"], ["train", "a.yaml", "--run-dir", "run", "--resume"],
        ["diagnose", "run"], ["health", "run"], ["runs", "list", "."], ["runs", "remove", "run", "--yes"],
    ]  # fmt: skip
    words = [sys.executable, "-c", WITHOUT, json.dumps([light, heavy])]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "DPDRUN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    lines = done.stdout.splitlines()
    assert lines[: len(light)] == [f"{each[0]} False" for each in light]
    assert len(lines) == len(light) + len(heavy)
    assert not (tmp_path / "run").exists()
