"""`dpdrun train` and `dpdrun recipe check` on a pipeline, as a user types them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app

DATA = "data: {source: capture.npz, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}\n"
TRAIN = "train: {max_steps: 8, batch_size: 4, frame: 32, eval_every: 4, checkpoint_every: 4, compile: off}\n"
MODEL = "model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}\n"


def dpdrun(*arguments: Any, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "80"})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=4008) + 1j * rng.normal(size=4008), np.hanning(9), mode="valid")
    np.savez(tmp_path / "capture.npz", x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2))
    (tmp_path / "amp.yaml").write_text("task: pa\nmodel: {kind: gmp, order: 4, delays: 2, cross: 0}\n" + DATA)
    (tmp_path / "net.yaml").write_text("task: dpd\npa: runs/amp\ndpd: {weak_pa: accept}\n" + MODEL + TRAIN + DATA)
    (tmp_path / "chain.yaml").write_text("task: pipeline\nsteps: {pa: amp.yaml, net: net.yaml}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plain(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_a_chain_from_its_dry_run_to_its_scores(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    lines = plain(dpdrun("train", "chain.yaml", "--dry-run").stdout)
    assert lines[0] == "pipeline: chain.yaml in runs/chain"
    assert [line.split()[:2] for line in lines[2:5]] == [["pa", "run"], ["net", "run"], ["evaluation", "run"]]
    assert sorted(folder.rglob("*")) == before, "nothing is written"

    out = dpdrun("train", "chain.yaml").stdout
    steps = [line for line in out.splitlines() if line.startswith("step ") and " of 2, " in line]
    assert steps == ["step 1 of 2, pa (amp.yaml): not run yet", "step 2 of 2, net (net.yaml): not run yet"]
    assert "step 8/8" in out, "the way of the run is shown as that of any"
    assert out.splitlines()[-2:] == [
        "scores: runs/chain/evaluation/scores.json", "report: runs/chain/evaluation/net/report.html"
    ]  # fmt: skip
    page = folder / "runs" / "chain" / "evaluation" / "net"
    assert (page / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert (page / "scores.json").is_file()
    assert {path.name for path in (folder / "runs" / "chain").iterdir()} == {"pa", "net", "evaluation"}

    lines = plain(dpdrun("train", "chain.yaml", "--dry-run").stdout)
    assert [line.split()[:2] for line in lines[2:5]] == [["pa", "skip"], ["net", "skip"], ["evaluation", "skip"]]
    again = dpdrun("train", "chain.yaml", "--resume").stdout
    assert "step 8/8" not in again
    assert again.splitlines()[-2].endswith("scores.json (unchanged, as are the models)")


def test_what_has_changed_is_reported_and_redone_on_request(folder: Path) -> None:
    dpdrun("train", "chain.yaml")
    sets = ("--set", "net.train.seed=1")
    shown = dpdrun("train", "chain.yaml", *sets, "--dry-run").stdout
    assert "net changed" in " ".join(plain(shown))
    assert "this pipeline would be refused; --redo" in shown
    said = dpdrun("train", "chain.yaml", *sets, code=2).stderr
    assert "runs/chain/net: its inputs have changed: train.seed" in said
    command = next(line.strip() for line in said.splitlines() if line.strip().startswith("dpdrun train"))
    assert command == "dpdrun train chain.yaml --set net.train.seed=1 --run-dir runs/chain --redo"
    done = dpdrun(*command.split()[1:]).stdout
    assert "net (net.yaml): changed: train.seed; the old folder is runs/chain/net.old-1" in " ".join(done.split())
    dpdrun("train", "chain.yaml", *sets)


@pytest.mark.usefixtures("patient_trackers")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_ends_with_the_command_that_resumes(
    number: int, code: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpdrun.report.console import TrainingView

    take = TrainingView.step

    def stepping(self: TrainingView, line: dict[str, Any]) -> None:
        take(self, line)
        if line["step"] == 3:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(TrainingView, "step", stepping)
    result = dpdrun("train", "chain.yaml", "--run-dir", "mine", "--track", "tensorboard", code=code)
    assert "Traceback" not in result.output
    assert "after step 3 of 8 in step net, 2 of 2 of the pipeline; to continue it:" in result.stderr
    hint = result.stderr.splitlines()[-1].strip()
    assert hint == "dpdrun train chain.yaml --track tensorboard --run-dir mine"
    assert all(list((folder / "mine" / step / "tracking").rglob("*.tfevents.*")) for step in ("pa", "net"))
    monkeypatch.setattr(TrainingView, "step", take)
    lines = plain(dpdrun(*hint.split()[1:], "--dry-run").stdout)
    assert lines[3].startswith("net resume ")
    assert "continues from step 3 of 8" in lines[3]
    assert "\nresumed: transformer of " in dpdrun(*hint.split()[1:]).stdout


def test_bad_input_exits_2_and_writes_nothing(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    for arguments, why in (
        (["chain.yaml", "--set", "optim.lr=1"], "in a pipeline a key starts with the name of a step (pa or net)"),
        (["chain.yaml", "--set", "net.optim.lrr=1"], "unknown key optim.lrr"),
        (["chain.yaml", "--set", "net.train.frame=5000"], "train.frame 5000 is longer than the training split"),
        (["chain.yaml", "--run-dir", "net.yaml"], "net.yaml is a file"),
        (["net.yaml", "--redo"], "--redo is for pipelines"),
    ):
        for dry in ([], ["--dry-run"]):
            assert why in dpdrun("train", *arguments, *dry, code=2).stderr
    assert sorted(folder.rglob("*")) == before


def test_recipe_check_takes_a_pipeline(folder: Path) -> None:
    assert dpdrun("recipe", "check", "chain.yaml", "amp.yaml").stdout.splitlines()[0] == (
        "chain.yaml: ok: pipeline of pa, net"
    )
    (folder / "chain.yaml").write_text("task: pipeline\nstep: {}\n")
    assert (
        "chain.yaml:2:1: unknown key step; did you mean 'steps'?"
        in dpdrun("recipe", "check", "chain.yaml", code=2).stderr
    )
    assert "this is a pipeline" in dpdrun("recommend", "chain.yaml", code=2).stderr
