"""A capture, recipes and a chain of them that trains in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dpdrun.models import _tensors
from dpdrun.pipeline.document import Pipeline, load_pipeline
from dpdrun.pipeline.execution import execute
from dpdrun.recipe.loader import Loaded
from dpdrun.run.folder import RunFolder
from dpdrun.training import job
from tests.baselines import small_baselines

DATA = "data: {{source: {source}, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}}\n"
AMP = "task: pa\nmodel: {{kind: gmp, order: 4, delays: 2, cross: 0}}\n" + DATA
NET = (
    """\
task: dpd
pa: runs/amp
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
train: {{max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}}
"""
    + DATA
)
CHAIN = "task: pipeline\nsteps:\n  pa: amp.yaml\n  judge: {recipe: amp.yaml, set: [model.order=5]}\n  net: net.yaml\n"


@pytest.fixture(scope="module", autouse=True)
def _small_baselines() -> Iterator[None]:
    with small_baselines():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """amp.yaml, net.yaml and chain.yaml."""
    rng = np.random.default_rng(0)
    white = rng.normal(size=5000) + 1j * rng.normal(size=5000)
    x = np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(len(white))) < 0.1))
    x = 0.25 * np.roll(x, len(x) // 4 - np.argmax(np.abs(x))) / np.sqrt(np.mean(np.abs(x) ** 2))
    noise = 1e-3 * (rng.normal(size=len(x)) + 1j * rng.normal(size=len(x)))
    np.savez(tmp_path / "capture.npz", x=x, y=3.0 * x * (1 - (0.35 + 0.1j) * np.abs(x) ** 2) + noise)
    for name, text in (("amp", AMP), ("net", NET)):
        (tmp_path / f"{name}.yaml").write_text(text.format(source=tmp_path / "capture.npz"))
    (tmp_path / "chain.yaml").write_text(CHAIN)
    return tmp_path


@pytest.fixture
def retrain() -> Callable[[Path], None]:
    """Puts another model, of almost the same numbers, into a run folder."""

    def replace(run: Path) -> None:
        tensors, header = _tensors.read(run / "model.safetensors")
        _tensors.write(run / "model.safetensors", {name: value * (1 + 1e-6) for name, value in tensors.items()}, header)

    return replace


@pytest.fixture
def chain(folder: Path) -> Pipeline:
    """The chain of that folder."""
    return load_pipeline(folder / "chain.yaml")


@pytest.fixture
def run(folder: Path) -> Callable[..., dict[str, str]]:
    """Runs the chain in `out`, and gives what was done for each step."""

    def running(*sets: str, redo: bool = False, scores: bool = True) -> dict[str, str]:
        done: dict[str, str] = {}

        def train(loaded: Loaded, where: RunFolder, resume: bool) -> None:
            job.train(loaded, where.path, resume=resume)

        found, fresh = execute(
            load_pipeline(folder / "chain.yaml", sets), folder / "out", redo=redo, command="dpdrun train chain.yaml",
            train=train, on_step=lambda state, old: done.update({state.step.name: state.action}),
        )  # fmt: skip
        assert found.path.is_file()
        return done | {"evaluation": "run" if fresh else "skip"}

    return running
