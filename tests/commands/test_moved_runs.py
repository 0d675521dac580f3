"""A run is known by its samples and settings: moved, mounted elsewhere or sent to somebody, it is still that run."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.recipe.schema import GMPModel
from dpdrun.report.console import TrainingView

DATA = "data: {source: data/capture.npz, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}\n"
AMP = "task: pa\nmodel: {kind: gmp, order: 4, delays: 2, cross: 0}\n" + DATA
NET = (
    "task: dpd\npa: runs/amp\ndpd: {weak_pa: accept}\n"
    "model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}\n"
    "train: {max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}\n" + DATA
)
CHAIN = "task: pipeline\nsteps: {amp: amp.yaml, net: net.yaml}\nevaluate: [val]\n"


def dpdrun(*words: Any, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.stderr


@pytest.fixture(scope="module", autouse=True)
def _small_baselines() -> Iterator[None]:
    """The gmp next to every score, so small that it takes no time: what it scores does not matter here."""
    with pytest.MonkeyPatch.context() as patch:
        small = partial(GMPModel, order=2, delays=1, cross=0)
        patch.setattr("dpdrun.evaluation.baselines.GMPModel", small)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a capture, a finished PA run, a predistorter, a stopped one and a pipeline. Copy it."""
    project = tmp_path_factory.mktemp("made") / "project"
    (project / "data").mkdir(parents=True)
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=4008) + 1j * rng.normal(size=4008), np.hanning(9), mode="valid")
    np.savez(project / "data" / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    for name, text in (("amp", AMP), ("net", NET), ("chain", CHAIN)):
        (project / f"{name}.yaml").write_text(text)
    take = TrainingView.step

    def stepping(self: TrainingView, line: dict[str, Any]) -> None:
        take(self, line)
        if line["step"] == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        dpdrun("train", "amp.yaml")
        dpdrun("train", "net.yaml")
        dpdrun("train", "chain.yaml")
        patch.setattr(TrainingView, "step", stepping)
        dpdrun("train", "net.yaml", "--run-dir", "runs/stopped", code=75)
    return project


@pytest.fixture
def moved(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That project under another name, the old one out of reach; the current folder is an empty one."""
    shutil.copytree(made, tmp_path / "moved")
    away = made.with_name("away")
    made.rename(away)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    yield tmp_path / "moved"
    away.rename(made)


@pytest.fixture
def changed(moved: Path) -> Callable[[Path], Path]:
    """Writes the capture with other samples."""

    def write(path: Path) -> Path:
        with np.load(moved / "data" / "capture.npz") as capture:
            np.savez(path, x=capture["x"], y=1.01 * capture["y"])
        return path

    return write


def scores(report: str) -> Any:
    return json.loads(report)["splits"]


@pytest.mark.parametrize("name", ["amp", "net"])
def test_a_moved_project_is_read_where_it_is(name: str, moved: Path) -> None:
    run = moved / "runs" / name
    report = scores((run / "report.json").read_text())
    assert scores(dpdrun("evaluate", run, "--format", "json")) == report
    dpdrun("apply", run, "val", "out.npy")
    assert len(np.load("out.npy")) > 100
    assert json.loads(dpdrun("compare", run, "--format", "json"))["groups"][0]["runs"][0]["run"] == name
    if name == "net":
        dpdrun("export", run, "--to", "npz")
        shown = json.loads(dpdrun("evaluate", run, "--format", "json"))["pa"]["path"]
        assert shown == str(moved / "runs" / "amp")


@pytest.mark.parametrize("name", ["amp", "net"])
def test_a_capture_that_is_elsewhere_is_named(name: str, moved: Path, tmp_path: Path) -> None:
    run, elsewhere = moved / "runs" / name, tmp_path / "elsewhere.npz"
    (moved / "data" / "capture.npz").rename(elsewhere)
    for words in (("evaluate", run), ("apply", run, "val", "out.npy"), ("compare", run)):
        assert "is no longer there; give its new location: --data PATH" in " ".join(dpdrun(*words, code=2).split())
        dpdrun(*words, "--data", elsewhere)
    if name == "net":
        dpdrun("export", run, "--to", "npz", "--data", elsewhere)
    said = dpdrun("apply", run, elsewhere, "other.npy", "--data", elsewhere, code=2)
    assert "omit it" in said


def test_other_samples_are_refused_with_both_hashes(moved: Path, tmp_path: Path, changed: Callable[..., Path]) -> None:
    run, other = moved / "runs" / "net", changed(tmp_path / "other.npz")
    was = json.loads((run / "plan.json").read_text())["data_sha256"]
    for words in (
        ("evaluate", run),
        ("apply", run, "val", "out.npy"),
        ("compare", run),
        ("export", run, "--to", "npz"),
    ):
        said = " ".join(dpdrun(*words, "--data", other, code=2).split())
        assert f"other.npz: not the capture that {run} was trained on" in said
        assert f"but the run has {was[:12]}" in said
    changed(moved / "data" / "capture.npz")
    assert f"but the run has {was[:12]}; give --data PATH" in dpdrun("evaluate", run, code=2), "found, and not believed"


def test_a_predistorter_finds_its_pa_run_next_to_it_by_the_hash(moved: Path, tmp_path: Path) -> None:
    folder, data = tmp_path / "sent", moved / "data" / "capture.npz"
    shutil.copytree(moved / "runs" / "net", folder / "net")
    assert "move its run back, or next to this one" in dpdrun("evaluate", folder / "net", "--data", data, code=2)
    shutil.copytree(moved / "runs" / "amp", folder / "amp")
    dpdrun("evaluate", folder / "net", "--data", data)
    model = folder / "amp" / "model.safetensors"
    model.write_bytes((folder / "net" / "model.safetensors").read_bytes())
    dpdrun("evaluate", folder / "net", "--data", data, code=2)


def test_a_moved_run_is_resumed_to_the_same_bits(moved: Path, tmp_path: Path, changed: Callable[..., Path]) -> None:
    run, elsewhere = moved / "runs" / "stopped", tmp_path / "elsewhere.npz"
    other = changed(tmp_path / "other.npz")
    resume = ("train", run / "recipe.yaml", "--run-dir", run, "--resume")
    (moved / "data" / "capture.npz").rename(elsewhere)
    assert "--data PATH" in dpdrun(*resume, code=2)
    refused = " ".join(dpdrun(*resume, "--data", other, code=2).split())
    assert "has changed since this run was started (sha256 " in refused
    dpdrun(*resume, "--data", elsewhere)
    straight = (moved / "runs" / "net" / "model.safetensors").read_bytes()
    assert (run / "model.safetensors").read_bytes() == straight
    assert "nothing to resume" in dpdrun(*resume)
    assert "not the capture that" in " ".join(dpdrun(*resume, "--data", other, code=2).split())


def test_data_is_for_a_run_that_is_there(moved: Path) -> None:
    for words in ((), ("--auto-resume", "--run-dir", "new")):
        said = " ".join(dpdrun("train", moved / "amp.yaml", *words, "--data", "x.npz", code=2).split())
        assert "for --resume; otherwise set it in the recipe: --set data.source=x.npz" in said


def test_a_moved_chain_is_skipped(moved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere.npz"
    (moved / "data" / "capture.npz").rename(elsewhere)
    (moved / "runs" / "chain").rename(tmp_path / "out")
    sets = [word for step in ("amp", "net") for word in ("--set", f"{step}.data.source={elsewhere}")]
    chain = ("train", moved / "chain.yaml", "--run-dir", tmp_path / "out", *sets)
    lines = [line.split()[:2] for line in dpdrun(*chain, "--dry-run").splitlines()[2:5]]
    assert lines == [["amp", "skip"], ["net", "skip"], ["evaluation", "skip"]]
    (tmp_path / "out" / "net" / "report.json").unlink()
    assert "net resume" in " ".join(dpdrun(*chain, "--dry-run").split())
    assert "(unchanged, as are the models)" in dpdrun(*chain)


def test_a_capture_of_two_files_is_found_where_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "job").mkdir()
    monkeypatch.chdir(tmp_path / "job")
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=4008) + 1j * rng.normal(size=4008), np.hanning(9), mode="valid")
    for name, samples in (("a.cf32", x), ("b.cf32", 2.0 * x * (1 - 0.3 * np.abs(x) ** 2))):
        samples.astype("<c8").tofile(name)
    source = "data: {source: {input: a.cf32, output: b.cf32}, sample_rate_hz: 1e6}\n"
    Path("amp.yaml").write_text("task: pa\nmodel: {kind: gmp, order: 4, delays: 2, cross: 0}\n" + source)
    dpdrun("train", "amp.yaml", "--run-dir", "runs/amp")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job").rename(tmp_path / "moved")
    dpdrun("apply", "moved/runs/amp", "test", "one.npy")  # found around the run folder
    (tmp_path / "files").mkdir()
    for name in ("a.cf32", "b.cf32"):
        (tmp_path / "moved" / name).rename(tmp_path / "files" / name)
    assert "a.cf32: this capture" in dpdrun("apply", "moved/runs/amp", "test", "two.npy", code=2)
    dpdrun("apply", "moved/runs/amp", "test", "two.npy", "--data", "files")
    pair = "{input: files/a.cf32, output: files/b.cf32}"
    dpdrun("apply", "moved/runs/amp", "test", "three.npy", "--data", pair)
    assert Path("one.npy").read_bytes() == Path("two.npy").read_bytes() == Path("three.npy").read_bytes()
    swapped = "{input: files/b.cf32, output: files/a.cf32}"
    assert "not the capture that" in dpdrun("apply", "moved/runs/amp", "test", "four.npy", "--data", swapped, code=2)
