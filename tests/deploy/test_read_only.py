"""Commands where nothing can be written but the folder of the run: no home, no /tmp, no cache of matplotlib."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands_run import DPDRUN, ROOT

# Arguments: the folder that stays writable, then the command. Every other file system is mounted read-only.
READ_ONLY = """\
set -eu
free=$1; shift
mount --make-rprivate /
mount --bind "$free" "$free"
while read -r _ _ _ _ at _; do
  case $at in "$free" | /proc | /proc/* | /sys | /sys/*) continue ;; esac
  mount -o remount,bind,ro "$at" 2> /dev/null || true
done < /proc/self/mountinfo
! touch "$free/../written" 2>/dev/null || exit 70
cd /
exec "$@"
"""
NAMESPACE = ("unshare", "--mount") if hasattr(os, "geteuid") and os.geteuid() == 0 else ("unshare", "-rm")
STEPS = ("--set", "train.max_steps=4", "--set", "train.eval_every=2")


def can_mount() -> bool:
    """Whether the kernel lets this user have mounts of its own."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*NAMESPACE, "mount", "--make-rprivate", "/"], capture_output=True, check=False).returncode == 0
    )


pytestmark = [pytest.mark.slow, pytest.mark.skipif(not can_mount(), reason="needs mounts of its own (unshare -rm)")]


def run(free: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return subprocess.run(
        [*NAMESPACE, "sh", "-c", READ_ONLY, "read-only", str(free), *DPDRUN, *words],
        env={**kept, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80", **environment},
        cwd=free, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was trained while it alone could be written. Nothing names a home."""
    free = tmp_path_factory.mktemp("read-only") / "free"
    free.mkdir()
    done = run(free, "train", "quickstart", "--run-dir", str(free / "run"), *STEPS)
    assert done.returncode == 0, done.stderr
    assert (free / "run" / "report.json").is_file()
    return free


COMMANDS = [
    ("recommend",),
    ("recommend", "--model", "transformer", "--data", "synthetic/mild"),
    ("diagnose", "RUN"),
    ("evaluate", "RUN"),
    ("runs", "list", "FREE"),
    ("sweep", "quickstart", "--over", "optim.lr=1e-2", "--workers", "1", "--run-dir", "FREE/sweep", *STEPS),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_what_needs_no_temporary_files(words: tuple[str, ...], free: Path) -> None:
    paths = [word.replace("RUN", str(free / "run")).replace("FREE", str(free)) for word in words]
    done = run(free, *paths, HOME="/nonexistent")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", "RUN", "--plot", "FREE/d.png"),
        ("diagnose", "RUN", "-o", "FREE/page.html"),
        ("evaluate", "RUN", "--save", "FREE/scores"),
        ("export", "RUN", "--to", "c", "-o", "FREE/model.c"),
        ("train", "quickstart", "--run-dir", "FREE/two", "--processes", "2", *STEPS),
    ],
    ids=" ".join,
)
def test_what_needs_them_says_so_and_works_with_a_folder_for_them(words: tuple[str, ...], free: Path) -> None:
    paths = [word.replace("RUN", str(free / "run")).replace("FREE", str(free)) for word in words]
    refused = run(free, *paths, HOME="/nonexistent")
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False), refused.stderr
    assert "TMPDIR" in refused.stderr or "MPLCONFIGDIR" in refused.stderr
    temporary = free / "tmp"
    temporary.mkdir(exist_ok=True)
    done = run(free, *paths, HOME="/nonexistent", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
