"""A small capture and plans that train in a second; processes that train and end when a test wants them to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.data.capture import Capture, Part
from dpdrun.distributed.launcher import STORE_VARIABLE
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.training import job
from dpdrun.training.telemetry import Silent
from tests.baselines import small_baselines

RECIPE = """
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
optim: {lr: 1e-2}
train: {max_steps: 12, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 6, compile: off}
"""


def amplifier(samples: int, seed: int) -> Part:
    """A memoryless cubic amplifier driven by coloured noise."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=samples + 8) + 1j * rng.normal(size=samples + 8)
    x = 0.1 * np.convolve(white, np.hanning(9), mode="valid")
    return Part(x, 2.0 * x * (1 - np.abs(x) ** 2))


@pytest.fixture(scope="module", autouse=True)
def _small_baselines() -> Iterator[None]:
    with small_baselines():
        yield


@pytest.fixture(scope="session")
def capture() -> Capture:
    return Capture(
        name="test", sample_rate_hz=1e6, bandwidth_hz=None, subchannels=None, licence="", note="",
        train=amplifier(2000, 0), val=amplifier(500, 1), test=amplifier(500, 2),
    )  # fmt: skip


@pytest.fixture(scope="session")
def amplified() -> Callable[[int, int], Part]:
    """`amplified(samples, seed)`: a record of that amplifier."""
    return amplifier


@pytest.fixture(scope="session")
def recipe_text() -> str:
    """The recipe of these tests."""
    return RECIPE


@pytest.fixture
def loaded() -> Callable[..., Loaded]:
    """Make the recipe of these tests, with `key=value` overrides."""

    def make(*overrides: str) -> Loaded:
        return load_text(RECIPE, Path("recipe.yaml"), overrides)

    return make


@pytest.fixture
def plan(loaded: Callable[..., Loaded]) -> Callable[..., Plan]:
    """Make the plan of the recipe of these tests, with `key=value` overrides."""

    def make(*overrides: str) -> Plan:
        return make_plan(loaded(*overrides).recipe, 2000)

    return make


@pytest.fixture(scope="session")
def lay_out(capture: Capture) -> Callable[..., None]:
    """Put the capture, and recipes that name it by a relative path, into a folder: `lay_out(folder, job=text)`."""

    def write(folder: Path, **recipes: str) -> None:
        x, y = (np.concatenate([getattr(part, side) for part in capture.parts.values()]) for side in "xy")
        np.savez(folder / "capture.npz", x=x, y=y, sample_rate_hz=1e6)
        for name, text in recipes.items():
            (folder / f"{name}.yaml").write_text(text)

    return write


class SignalAt(Silent):
    """A monitor that sends this process a signal when a step is reached."""

    def __init__(self, step: int, number: signal.Signals = signal.SIGTERM) -> None:
        self._step, self._number = step, number

    def step(self, line: dict[str, Any]) -> None:
        if line["step"] == self._step:
            os.kill(os.getpid(), self._number)


@pytest.fixture
def signal_at() -> type[SignalAt]:
    """The class of such monitors: `signal_at(7)`, `signal_at(2, signal.SIGINT)`."""
    return SignalAt


@pytest.fixture
def stop_at() -> Callable[..., job.Watch]:
    """Make what a job watches with such a monitor: `watch=stop_at(3)`."""
    return lambda step, number=signal.SIGTERM: lambda _: nullcontext(SignalAt(step, number))


DPD = """\
task: dpd
pa: {pa}
data: {{source: {source}, bandwidth_hz: 2.2e5}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8, lookahead: 2}}
optim: {{lr: 2e-2}}
train: {{max_steps: 60, batch_size: 4, frame: 32, burn_in: 8, eval_every: 20, checkpoint_every: 20, compile: off}}
"""
PA = """\
task: pa
data: {{source: {source}, bandwidth_hz: 2.2e5}}
model: {{kind: gmp, order: 4, delays: 3, cross: 1}}
"""


class Bench:
    """A folder with a capture, the finished run of its PA model, and recipes of predistorters for it.

    The signal is oversampled fivefold, so that there are adjacent channels; the amplifier compresses and remembers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.capture, self.pa = path / "capture.npz", path / "runs" / "pa"
        rng = np.random.default_rng(0)
        white = rng.normal(size=5000) + 1j * rng.normal(size=5000)
        x = np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(len(white))) < 0.1))
        x *= 0.25 / np.sqrt(np.mean(np.abs(x) ** 2))
        x = np.roll(x, len(x) // 4 - np.argmax(np.abs(x)))  # the highest peak is one that is trained on
        linear = np.convolve(x, [1.0, 0.1 - 0.05j])[: len(x)]
        y = 3.0 * linear * (1 - (0.35 + 0.1j) * np.abs(linear) ** 2)
        y += 1e-3 * (rng.normal(size=len(x)) + 1j * rng.normal(size=len(x)))
        np.savez(self.capture, x=x, y=y, sample_rate_hz=1e6)
        with small_baselines():
            job.train(load_text(PA.format(source=self.capture), path / "pa.yaml"), self.pa)

    def recipe(self, *overrides: str, text: str = DPD) -> Loaded:
        """The dpd recipe of these tests, as a file, with `key=value` overrides."""
        file = self.path / "dpd.yaml"
        file.write_text(text.format(source=self.capture, pa=self.pa))
        return load_recipe(file, overrides)


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


class Workers:
    """Starts `dpdrun` processes through the server in workers.py."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def ask(self, order: dict[str, Any]) -> int:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def start(
        self, folder: Path, *arguments: str, faults: Sequence[tuple[str, int, Any]] = (), **environment: str
    ) -> Worker:
        """One process in `folder`; `faults` are (place, n-th call, signal or "nan")."""
        out = folder / f"said-{len(list(folder.glob('said-*')))}"
        laid = [{"place": place, "call": call, "what": what} for place, call, what in faults]
        order = {"folder": str(folder), "arguments": arguments, "faults": laid, "environment": environment}
        out.touch()
        return Worker(self, self.ask(order | {"out": str(out)}), out)

    def group(
        self, folder: Path, *arguments: str, faults: Mapping[int, Sequence[tuple[str, int, Any]]] | None = None
    ) -> list[Worker]:
        """Two processes that train together, `faults` by rank, as a launcher would start them but without one."""
        store = folder / f"store-{len(list(folder.glob('said-*')))}"
        about = {
            "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0",
            STORE_VARIABLE: str(store),
        }  # fmt: skip
        return [
            self.start(folder, *arguments, faults=(faults or {}).get(rank, ()), RANK=str(rank), LOCAL_RANK=str(rank),
                       **about)
            for rank in range(2)
        ]  # fmt: skip


@dataclass(frozen=True)
class Worker:
    """One process of `Workers`."""

    workers: Workers
    pid: int
    out: Path

    def wait(self) -> int:
        """Its exit code, negative for the signal that killed it: SIGKILL when it hung."""
        return self.workers.ask({"wait": self.pid})

    @property
    def said(self) -> str:
        """Its output so far."""
        return self.out.read_text()


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("workers.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as server:  # fmt: skip
        yield Workers(server)
        assert server.stdin is not None
        server.stdin.close()


FINISHED = """\
task: pa
data: {source: capture.npz}
model:
  {kind: transformer, d_model: 4, layers: 1, heads: 2, window: 6, conv: 2, ff_mult: 0.5, activation: bilinear,
   norm: off, attention_bias: query}
optim: {lr: 1e-2, refine: lm, refine_iterations: 12}
train: {max_steps: 8, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 4, compile: off}
"""


@pytest.fixture
def here(tmp_path: Path, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a capture and a recipe for it."""
    x, y = (np.concatenate([getattr(p, side) for p in capture.parts.values()]) for side in "xy")
    np.savez(tmp_path / "capture.npz", x=x, y=y, sample_rate_hz=1e6)
    (tmp_path / "job.yaml").write_text(FINISHED)
    monkeypatch.chdir(tmp_path)
    return tmp_path
