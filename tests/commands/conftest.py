"""A small capture of the user's own, a recipe for it, and a run of that recipe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpdrun.data import sizing
from dpdrun.data.capture import Capture
from dpdrun.data.sizing import DataReading, read_sizes
from tests.baselines import small_baselines

RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
train: {{max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}}
"""


# The warmup's fix makes it shorter than Adam's memory: a second finding.
TWO_ROUNDS = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 512, layers: 1, heads: 8, window: 32}
optim: {lr: 1e-4, beta2: 0.999, warmup: 1000}
train: {max_steps: 2000, batch_size: 256}
"""


@pytest.fixture(scope="module", autouse=True)
def _small_baselines() -> Iterator[None]:
    with small_baselines():
        yield


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in a second. Do not write into its folder."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=3008) + 1j * rng.normal(size=3008), np.hanning(9), mode="valid")
    noise = 1e-3 * (rng.normal(size=3000) + 1j * rng.normal(size=3000))  # else a gmp's error is rounding alone
    np.savez(folder / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2) + noise)
    path = folder / "small.yaml"
    path.write_text(RECIPE.format(source=folder / "capture.npz"))
    return path


@pytest.fixture(scope="session")
def finished(recipe_file: Path) -> Path:
    """The run folder of that recipe. Do not write into it."""
    from dpdrun.diagnosis.diagnose import diagnose
    from dpdrun.recipe.loader import load_recipe
    from dpdrun.run.folder import RunFolder
    from dpdrun.training import job

    path = recipe_file.parent / "run"
    with small_baselines():
        job.train(load_recipe(recipe_file), path)
    folder = RunFolder(path)
    folder.write_json(folder.findings, diagnose(path).to_json())
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that run folder, to be written into."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def followed(tmp_path: Path) -> Path:
    """A recipe whose fixes lead to another finding."""
    path = tmp_path / "a.yaml"
    path.write_text(TWO_ROUNDS, encoding="utf-8")
    return path


@pytest.fixture(scope="session", autouse=True)
def _sizes_once() -> Iterator[None]:
    """Measure the sizes of each capture once: it takes seconds, and gives the same for the same samples."""
    known: dict[str, DataReading] = {}

    def sizes_of(capture: Capture) -> DataReading:
        if capture.sha256 not in known:
            known[capture.sha256] = read_sizes(capture)
        return replace(known[capture.sha256], name=capture.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizing, "read_sizes", sizes_of)
        yield
