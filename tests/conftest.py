"""Settings of all tests, and runs that several of them look at."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing
from hypothesis import HealthCheck, settings

from dpdrun.errors import command_line
from tests.baselines import small_baselines
from tests.processes import Processes

# No test asserts a time: a slow or busy machine must not turn a right answer red.
settings.register_profile("dpdrun", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dpdrun")
# On a busy machine, threads that spin until a late one arrives make a tiny operation a hundred times as long. Read when
# torch is loaded, so it is set before; no result depends on it.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# What buffers hold at the end of a command is written then, or fails; a shell may have switched buffers off.
os.environ.pop("PYTHONUNBUFFERED", None)
# Shells and nohup start what runs in the background with Ctrl-C ignored, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _fits_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fit each gmp once, and leave none in the cache of the user.

    A second fit of the same samples can differ in its last bits: sums in numpy depend on where an array lies in memory.
    """
    from dpdrun.data.cache import ENV
    from dpdrun.evaluation import gmp_cache

    folder = tmp_path_factory.mktemp("fits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gmp_cache, "cache_dir", lambda: Path(os.environ.get(ENV) or folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_built_once() -> Iterator[None]:
    """Let every `CliRunner` use the same command line: Typer takes 40 ms to build it, longer than most commands."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))  # type: ignore[attr-defined]
        yield


@pytest.fixture(autouse=True)
def _words_of_the_command_line(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let errors name the flags of commands; in the tests of the Python API they name its arguments."""
    with nullcontext() if "/tests/api/" in request.path.as_posix() else command_line():
        yield


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Fail a test that waits for a pipe, instead of hanging."""

    def fail(*_: object) -> None:
        pytest.fail("waits for a pipe")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def plugin_registry() -> Iterator[None]:
    """Forget the plug-ins that a test loads."""
    from dpdrun.recipe import plugins
    from dpdrun.rules import engine

    entries, files = {group: dict(names) for group, names in plugins._ENTRIES.items()}, dict(plugins._FILES)
    rules = dict(engine._RULES)
    yield
    for held, before in ((plugins._ENTRIES, entries), (plugins._FILES, files), (engine._RULES, rules)):
        held.clear()
        held.update(before)  # type: ignore[arg-type]
    plugins.set_kinds([entry.value.section for entry in entries["models"].values()])


@pytest.fixture(scope="module", autouse=True)
def _own_plugins() -> Iterator[None]:
    """Leave no plug-in, and no module passed from Python, to the tests of other files."""
    from dpdrun.recipe import plugins
    from dpdrun.rules import engine

    entries, files = {group: dict(each) for group, each in plugins._ENTRIES.items()}, dict(plugins._FILES)
    rules = engine.all_rules()
    yield
    if entries == plugins._ENTRIES and files == plugins._FILES and len(rules) == len(engine._RULES):
        return
    for group, each in plugins._ENTRIES.items():
        each.clear()
        each.update(entries[group])
    plugins._FILES.clear()
    plugins._FILES.update(files)
    engine._RULES.clear()
    engine._RULES.update(rules)
    plugins.set_kinds([entry.value.section for entry in plugins._ENTRIES["models"].values()])


@pytest.fixture(scope="session")
def fit_gmp_once() -> Iterator[None]:
    """Fit the gmp that scores are compared with once for each capture, instead of at each evaluation of it."""
    from dpdrun.evaluation import baselines

    fit, fitted = baselines.fitted_gmp, dict[Any, Any]()

    def fit_once(capture: Any) -> Any:
        key = capture.sha256, capture.loop_samples
        if key not in fitted:
            fitted[key] = fit(capture)
        return fitted[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "fitted_gmp", fit_once)
        yield


@pytest.fixture(scope="session")
def dpd_runs(tmp_path_factory: pytest.TempPathFactory, fit_gmp_once: None) -> Path:
    """Runs on one small capture: PA models `pa` and `other`, and `least` and `network`, which learnt through `pa`;
    `elsewhere` is a PA model of another capture. Do not write into it.
    """
    from dpdrun.recipe.loader import load_text
    from dpdrun.training import job

    folder = tmp_path_factory.mktemp("dpd-runs")
    rng = np.random.default_rng(0)
    white = rng.normal(size=5_000) + 1j * rng.normal(size=5_000)
    x = np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(len(white))) < 0.1))
    x = 0.25 * np.roll(x, len(x) // 4 - np.argmax(np.abs(x))) / np.sqrt(np.mean(np.abs(x) ** 2))
    noise = 1e-3 * (rng.normal(size=len(x)) + 1j * rng.normal(size=len(x)))
    y = 3.0 * x * (1 - (0.35 + 0.1j) * np.abs(x) ** 2) + noise
    np.savez(folder / "capture.npz", x=x, y=y)
    np.savez(folder / "changed.npz", x=x, y=1.1 * y)
    train = "train: {max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}"
    recipes = {
        "pa": ("capture", "task: pa\nmodel: {kind: gmp, order: 4, delays: 2, cross: 0}"),
        "other": ("capture", "task: pa\nmodel: {kind: gmp, order: 6, delays: 3, cross: 1}"),
        "elsewhere": ("changed", "task: pa\nmodel: {kind: gmp, order: 4, delays: 2, cross: 0}"),
        "least": (
            "capture",
            f"task: dpd\npa: {folder / 'pa'}\n"
            "model: {kind: gmp, order: 5, delays: 4, cross: 0}\ndpd: {learning: ilc}",
        ),
        "network": (
            "capture",
            f"task: dpd\npa: {folder / 'pa'}\n"
            f"model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}\n{train}",
        ),
    }
    for name, (data, text) in recipes.items():
        text += f"\ndata: {{source: {folder / data}.npz, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}}\n"
        with small_baselines():
            job.train(load_text(text, folder / f"{name}.yaml"), folder / name)
    return folder


@pytest.fixture
def runaway(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Make training diverge at every step whose learning rate is above a given one: `runaway(5e-3)`.

    Each weight grows by a tenth a step, a hundred times what AdamW moves it. Where a rate that is merely too high
    leads depends on rounding, so on the CPU and on its threads; and this run returns at a lower rate as real ones do.
    """

    def above(lr: float) -> None:
        import torch

        from dpdrun.training import loop

        build = loop.build_optimizer

        def grow(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            with torch.no_grad():
                for group in optimizer.param_groups:
                    for weight in group["params"] if group["lr"] > lr else ():
                        weight.add_(weight.sign(), alpha=0.1)

        def built(*arguments: Any) -> torch.optim.Optimizer:
            optimizer = build(*arguments)
            optimizer.register_step_pre_hook(grow)
            return optimizer

        monkeypatch.setattr(loop, "build_optimizer", built)

    return above


@pytest.fixture
def patient_trackers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trackers get the time that they need at the end of a run: to import TensorBoard takes long on a busy machine."""
    from dpdrun.training import tracking

    monkeypatch.setattr(tracking, "ENDING_S", 600.0)
    monkeypatch.setattr(tracking, "STOPPING_S", 600.0)


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Processes]]:
    """Processes that train together and last for all tests: `processes(2).run(FILE, "function", argument=...)`."""
    made: dict[int, Processes] = {}

    def of(size: int) -> Processes:
        if size not in made:
            made[size] = Processes(size, tmp_path_factory.mktemp(f"processes-{size}"))
        return made[size]

    yield of
    for each in made.values():
        each.close()
