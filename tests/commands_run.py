"""Training commands as processes of their own, for tests that look at several of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
DPDRUN = (sys.executable, "-m", "dpdrun")
LIMIT_S = 900  # of a training that takes seconds: ends a hang, however slow the machine
OF_LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "ACCELERATE_", "GLOO_", "DPDRUN_", "HF_HOME")

RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
train: {{max_steps: {steps}, batch_size: 4, frame: 32, eval_every: {every}, checkpoint_every: off, compile: off}}
"""


def small_recipe(folder: Path, *, steps: int, every: int) -> Path:
    """A recipe and its capture; a step takes milliseconds."""
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    path = folder / "small.yaml"
    path.write_text(RECIPE.format(source=folder / "capture.npz", steps=steps, every=every))
    return path


def started(*words: Any, cwd: Path) -> subprocess.Popen[str]:
    """A command, in an environment without what launchers leave there."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(OF_LAUNCHERS)}
    return subprocess.Popen(
        [*map(str, words)], cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**environment, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "80", "HF_HOME": str(cwd)},
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    try:
        out, err = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    return process.returncode, out, err


def lines_of(run: Path, kind: str = "step") -> list[dict[str, Any]]:
    """The lines of one kind in metrics.jsonl."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = [line for line in lines if line["kind"] == kind]
    assert found
    return found


def same_frames(run: Path, other: Path) -> None:
    """Two runs saw the same samples at the same rates."""
    ours, theirs = lines_of(run), lines_of(other)
    for key in ("step", "samples", "frames_crc", "lr"):  # frames_crc: of all sample ids up to there
        assert [line[key] for line in ours] == [line[key] for line in theirs], key


def same_steps(run: Path, other: Path) -> None:
    """Two runs saw the same samples at the same rates, and computed the same but for rounding."""
    same_frames(run, other)
    ours, theirs = lines_of(run), lines_of(other)
    for key in ("loss", "grad_norm"):
        np.testing.assert_allclose([line[key] for line in ours], [line[key] for line in theirs], rtol=1e-4, err_msg=key)
    scores = [[line["val_nmse_db"] for line in lines_of(each, "eval")] for each in (run, other)]
    np.testing.assert_allclose(*scores, atol=1e-3)
