"""Every command on a predistorter: train it, score it, apply it, diagnose it, ask about its recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.run.scores import chosen

DATA = "data: {{source: {source}, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}}\n"
PA = "task: pa\nmodel: {{kind: gmp, order: 4, delays: 2, cross: 0}}\n" + DATA
LEAST = "task: dpd\npa: pa-run\nmodel: {{kind: gmp, order: 5, delays: 4, cross: 0}}\ndpd: {{learning: ilc}}\n" + DATA
NETWORK_MODEL = "{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}"
TRAIN = "train: {max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}\n"
NETWORK = (
    """\
task: dpd
pa: pa-run
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
train: {{max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}}
"""
    + DATA
)


def dpdrun(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "80"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture, recipes, and the runs of a PA model and of two predistorters."""
    path = tmp_path_factory.mktemp("dpd")
    rng = np.random.default_rng(0)
    white = rng.normal(size=5000) + 1j * rng.normal(size=5000)
    x = np.fft.ifft(np.fft.fft(white) * (np.abs(np.fft.fftfreq(len(white))) < 0.1))
    x = 0.25 * np.roll(x, len(x) // 4 - np.argmax(np.abs(x))) / np.sqrt(np.mean(np.abs(x) ** 2))
    noise = 1e-3 * (rng.normal(size=len(x)) + 1j * rng.normal(size=len(x)))
    np.savez(path / "capture.npz", x=x, y=3.0 * x * (1 - (0.35 + 0.1j) * np.abs(x) ** 2) + noise)
    for name, text in (("pa", PA), ("least", LEAST), ("network", NETWORK)):
        (path / f"{name}.yaml").write_text(text.format(source=path / "capture.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)  # where `pa: pa-run` begins
        for name in ("pa", "least", "network"):
            dpdrun("train", f"{name}.yaml", "--run-dir", f"{name}-run")
    return path


def report_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report.json").read_text())
    return content


@pytest.mark.parametrize("name", ["least", "network"])
def test_evaluate_scores_through_the_pa_model_again(folder: Path, name: str) -> None:
    run = folder / f"{name}-run"
    shown = " ".join(dpdrun("evaluate", run).stdout.replace("│", " ").split())  # where lines break is up to the path
    report = report_of(run)
    for split in ("val", "test"):
        for figure in ("nmse_db", "in_band_db", "aclr_worse_db"):
            assert f"{report['splits'][split][figure]:.2f}" in shown
            assert f"{report['baselines']['one_tap'][split][figure]:.2f}" in shown
        assert f"{split} {report['pa']['nmse_db'][split]:.2f} dB" in shown, "the PA model's NMSE stands beside"
    assert "simulated" in shown
    done = dpdrun("evaluate", run, "--format", "json", "--split", "val")
    again = json.loads(done.stdout)
    figures = {key: value for key, value in report["splits"]["val"].items() if isinstance(value, float)}
    assert len(figures) > 5
    assert {key: again["splits"]["val"][key] for key in figures} == pytest.approx(figures, abs=1e-6)
    assert set(again["splits"]["val"]) == set(report["splits"]["val"])
    margin = chosen(again["splits"]["val"])["nmse_db"] - again["pa"]["nmse_db"]["val"]
    assert ("DP205 judge_too_weak" in done.stderr) is (margin < 10)


def test_without_its_pa_model_there_is_no_score(folder: Path) -> None:
    hidden = (folder / "pa-run").rename(folder / "elsewhere")
    try:
        output = dpdrun("evaluate", folder / "least-run", code=2).output
        assert "no such run folder" in output
        assert "trained and scored through that PA model" in output
        assert "move its run back, or next to this one" in output
    finally:
        hidden.rename(folder / "pa-run")


@pytest.mark.parametrize("name", ["least", "network"])
def test_apply_gives_the_predistorted_waveform_within_its_limit(folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "u.npz"
    dpdrun("apply", folder / f"{name}-run", "test", out)
    with np.load(out) as file:
        x, u = file["x"], file["y"]
    report = report_of(folder / f"{name}-run")
    assert np.abs(u).max() == pytest.approx(report["splits"]["test"]["peak"], rel=1e-5)
    loud = tmp_path / "loud.npy"
    np.save(loud, 3.0 * x)
    dpdrun("apply", folder / f"{name}-run", loud, tmp_path / "v.npy")
    assert np.abs(np.load(tmp_path / "v.npy")).max() <= report["peak_limit"] * (1 + 1e-6)


@pytest.mark.parametrize("name", ["least", "network"])
def test_diagnose_has_a_verdict(folder: Path, name: str) -> None:
    verdict = json.loads(dpdrun("diagnose", folder / f"{name}-run", "--format", "json").stdout)["verdict"]
    assert verdict in ("healthy", "warning", "error")


@pytest.mark.parametrize("name", ["least", "network"])
def test_recommend_and_check_take_the_recipe(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    values = json.loads(dpdrun("recommend", f"{name}.yaml", "--format", "json").stdout)["values"]
    assert ("optim.lr" in values) == (name == "network")
    dpdrun("recipe", "check", f"{name}.yaml")
    dpdrun("train", f"{name}.yaml", "--dry-run")


def test_a_dry_run_counts_the_pa_model_and_checks_what_the_run_would(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    amp = (folder / "pa.yaml").read_text().replace("{kind: gmp, order: 4, delays: 2, cross: 0}", NETWORK_MODEL)
    (folder / "big.yaml").write_text(amp + TRAIN)
    dpdrun("train", "big.yaml", "--run-dir", "big-run")
    indirect = ("--set", "dpd.learning=indirect", "--set", "train.max_steps=9999")
    through = ("--set", "pa=big-run", "--set", "dpd.weak_pa=accept", "--set", "train.max_steps=9999")
    assert "training takes" not in dpdrun("train", "network.yaml", "--dry-run").stdout, "nobody timed a gmp in the way"
    alone = dpdrun("train", "network.yaml", "--dry-run", *indirect, "--set", "pa=off").stdout
    assert "training takes about" in alone
    assert "training takes about" in dpdrun("train", "network.yaml", "--dry-run", *through).stdout
    said = dpdrun("train", "network.yaml", "--dry-run", "--set", "pa=runs/pa", code=2).output
    assert "train the PA model first:\n  dpdrun train pa.yaml --run-dir runs/pa" in said
    said = dpdrun("train", "network.yaml", "--dry-run", "--set", "pa=big-run", code=2).output
    assert "worse than a gmp on the validation split" in said


def test_a_predistorter_is_not_probed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    said = dpdrun("probe", "network.yaml", code=2).output
    assert "probe the recipe of its PA model" in " ".join(said.split())


def test_a_finished_run_is_left_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    said = dpdrun("train", "network.yaml", "--run-dir", "network-run", "--resume").output
    assert "this run is finished" in said


def test_a_wrong_pa_is_reported_at_its_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "wrong.yaml").write_text((folder / "network.yaml").read_text().replace("pa: pa-run", "pa: network-run"))
    said = dpdrun("train", "wrong.yaml", "--run-dir", "never", code=2).output
    assert "wrong.yaml:2:1: pa: " in said
    assert "is a run of task dpd" in said
    assert not (folder / "never").exists()
