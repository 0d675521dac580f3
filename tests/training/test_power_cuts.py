"""The power is cut: of what was not synced anything may be on the disk; the run continues, to the same weights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dpdrun.recipe.loader import load_recipe
from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder
from dpdrun.training import job
from tests.power_cut.disk import REMAINS, Call, Disk, build, calls_of
from tests.training.interrupted import require_same

RECIPE = """\
task: pa
data: {{source: '{}/capture.npz'}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, dropout: 0.1}}
optim: {{lr: 1e-2, schedule: plateau}}
train: {{max_steps: 24, batch_size: 4, frame: 32, burn_in: 8, eval_every: 3, checkpoint_every: 4, compile: off,
        threads: 1}}
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="records the calls of a process with a library of C"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, lay_out: Callable[..., None]) -> Path:
    path = tmp_path_factory.mktemp("power")
    lay_out(path, job=RECIPE.format(path))
    return path


@pytest.fixture(scope="module")
def recorded(folder: Path) -> tuple[RunFolder, list[Call]]:
    """A run, and every call that its process made to the disk."""
    root, journal = folder / "disk", folder / "journal"
    root.mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parents[2]), "POWER_CUT_ROOT": str(root), "POWER_CUT_JOURNAL": str(journal),
        "LD_PRELOAD": str(build(folder)),
    }  # fmt: skip
    code = (
        "from pathlib import Path; from dpdrun.recipe.loader import load_recipe; from dpdrun.training import job\n"
        "from tests.baselines import small_baselines\n"
        f"with small_baselines(): job.train(load_recipe(Path('job.yaml')), Path({str(root / 'run')!r}))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, check=True)
    return RunFolder(root / "run"), list(calls_of(journal.read_bytes()))


def test_the_record_of_calls_gives_the_files_again(recorded: Any, folder: Path, tmp_path: Path) -> None:
    run, calls = recorded
    disk = Disk(run.path.parent)
    for call in calls:
        disk.do(call)
    disk.lay_out(tmp_path / "again", "all", Random(0))
    for path in sorted(run.path.rglob("*")):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(run.path.parent)).read_bytes() == path.read_bytes(), path


@pytest.mark.parametrize("cuts", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_a_run_survives_a_power_cut_at_any_moment(recorded: Any, folder: Path, tmp_path: Path, cuts: int) -> None:
    straight, calls = recorded
    met, rng = Counter[str](), Random(8)
    moments = {round(len(calls) * (each + 1) / (cuts + 1)) for each in range(cuts)}
    disk = Disk(straight.path.parent)
    for done, call in enumerate(calls, start=1):
        disk.do(call)
        for remains in REMAINS if done in moments else ():
            left = tmp_path / f"{done}-{remains}"
            disk.lay_out(left, remains, rng)
            run = RunFolder(left / "run")
            met["with a checkpoint" if run.last.is_file() else "begun" if run.plan.is_file() else "nothing"] += 1
            job.train(load_recipe(folder / "job.yaml"), run.path, resume="auto")
            for partial in run.path.rglob(f"*{PARTIAL}"):
                partial.unlink()  # of a process that is gone: nobody reads it
            require_same(run, straight)
            shutil.rmtree(left)
    print(f"\n{len(moments)} power cuts, {len(REMAINS)} remains each: {dict(met)}")
    assert met["with a checkpoint"] > sum(met.values()) // 3
