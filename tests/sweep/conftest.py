"""A capture, a recipe of a few steps, and a sweep over it that this process works on itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.run.files import Json
from dpdrun.sweep.document import Sweep, load_sweep
from dpdrun.sweep.final import finish
from dpdrun.sweep.folder import SweepFolder, begin
from dpdrun.sweep.points import Planned, plan_points
from dpdrun.sweep.worker import work
from tests.baselines import small_baselines

RECIPE = """\
task: pa
data: {source: capture.npz, sample_rate_hz: 1e6}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
train: {max_steps: 6, batch_size: 4, frame: 32, eval_every: 2, checkpoint_every: 2, compile: off, threads: 1}
"""


@pytest.fixture(autouse=True)
def _small_baselines() -> Iterator[None]:
    with small_baselines():
        yield


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with small.yaml and capture.npz."""
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=2008) + 1j * rng.normal(size=2008), np.hanning(9), mode="valid")
    np.savez(tmp_path / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    (tmp_path / "small.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def read(place: Path) -> Callable[..., Sweep]:
    """Reads a sweep over small.yaml: `read(over={"optim.lr": "1e-3,1e-2"}, seeds=2)`."""

    def reading(*sets: str, **flags: Any) -> Sweep:
        return load_sweep(Path("small.yaml"), flags, sets)

    return reading


@pytest.fixture
def begun(place: Path) -> Callable[..., SweepFolder]:
    """Makes or extends the folder of a sweep."""

    def beginning(sweep: Sweep, name: str = "out", planned: Planned | None = None) -> SweepFolder:
        folder = SweepFolder(place / "runs" / name)
        begin(folder, sweep, planned or plan_points(sweep))
        return folder

    return beginning


@pytest.fixture
def done(begun: Callable[..., SweepFolder]) -> Callable[..., tuple[SweepFolder, Json]]:
    """Runs a sweep in this process to its end; gives its folder and the content of sweep.json."""

    def doing(sweep: Sweep, name: str = "out") -> tuple[SweepFolder, Json]:
        folder = begun(sweep, name)
        lines: list[str] = []
        work(folder, lines.append)
        return folder, finish(folder, folder.load(), lines.append)

    return doing
