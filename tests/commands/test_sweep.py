"""`dpdrun sweep` as a user types it: workers of their own, what is printed, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from tests.commands_run import DPDRUN, ended, small_recipe, started
from tests.json_documents import as_documented

SWEEP = ("sweep", "small.yaml", "--over", "model.d_model=4,8")


def dpdrun(*arguments: Any, code: int = 0, columns: int = 80) -> Result:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": str(columns)})
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    small_recipe(tmp_path, steps=4, every=2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A sweep that a worker has run, and what was printed meanwhile. Do not change it."""
    folder = tmp_path_factory.mktemp("sweep")
    small_recipe(folder, steps=4, every=2)
    words = (*DPDRUN, *SWEEP, "--workers", "1")
    code, out, err = ended(started(*words, cwd=folder))
    assert code == 0, err
    assert err == "runs/small-sweep: 2 trials, 2 to do; 1 worker, one thread\n"
    return folder, out


def test_from_the_first_line_to_the_report(finished: tuple[Path, str]) -> None:
    folder, out = finished
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert sum(line.startswith("point ") and ", seed " in line for line in lines) == 2
    assert "sweep small-sweep: 2 of 2 trials done" in lines
    assert any("over the recipe" in line or "better than the recipe" in line for line in lines)
    assert lines[-1] == "results: runs/small-sweep/sweep.json, sweep.csv, report.html"
    place = folder / "runs" / "small-sweep"
    assert as_documented("sweep", json.loads((place / "sweep.json").read_text()))["trials"]["finished"] == 2
    for line in (place / "journal.jsonl").read_text().splitlines():
        as_documented("journal", json.loads(line))
    assert {path.name for path in place.iterdir()} == {
        "sweep.yaml", "recipe.yaml", "journal.jsonl", "journal.lock", "final.lock", "workers", "trials",
        "sweep.json", "sweep.csv", "report.html",
    }  # fmt: skip


def test_what_is_there_afterwards(finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder, _ = finished
    monkeypatch.chdir(folder)
    as_documented("sweep_status", json.loads(dpdrun("sweep", "status", "runs/small-sweep", "--format", "json").stdout))
    status = dpdrun("sweep", "status", "runs/small-sweep").stdout
    assert status.startswith("runs/small-sweep: 2 finished; ")
    shown = json.loads(dpdrun("sweep", "show", "runs/small-sweep", "--format", "json").stdout)
    assert [each["config"] for each in shown["points"]] == [{}, {"model.d_model": "4"}, {"model.d_model": "8"}]
    narrow = dpdrun("sweep", "show", "runs/small-sweep", columns=40).stdout
    assert "time" not in narrow
    again = dpdrun("sweep", "run", "small.yaml", "--over", "model.d_model=4,8").stdout
    assert "2 of 2 trials done" in again
    fewest = min(each["objectives"]["macs_per_sample"]["mean"] for each in shown["points"])
    written = dpdrun("sweep", "best", "runs/small-sweep", "--budget", f"macs={fewest}").stdout
    assert "d_model: 4" in written
    dpdrun("sweep", "best", "runs/small-sweep", "-o", tmp_path / "best.yaml")
    dpdrun("recipe", "check", tmp_path / "best.yaml")
    refused = dpdrun("sweep", "best", "runs/small-sweep", "--budget", "macs=1", code=2).stderr
    assert "no configuration is within this budget; the lowest of this sweep: macs_per_sample" in refused
    run = json.loads(dpdrun("runs", "list", "runs/small-sweep", "--format", "json").stdout)["runs"]
    assert len(run) == 2
    compared = json.loads(dpdrun("compare", "runs/small-sweep", "--split", "val", "--format", "json").stdout)
    on_front = [trial["id"] for each in shown["points"] if each["on_front"] for trial in each["trials"]]
    assert {row["run"] for group in compared["groups"] for row in group["runs"]} == set(on_front)


def test_a_sweep_that_cannot_be_written_is_shown(finished: tuple[Path, str], tmp_path: Path) -> None:
    place = tmp_path / "copy"
    shutil.copytree(finished[0] / "runs" / "small-sweep", place)
    for name in ("final.lock", "sweep.json"):
        (place / name).unlink()
    (place / "final.lock").mkdir()  # as root, tests may write into a folder without permission
    result = CliRunner().invoke(app, ["sweep", "show", str(place)])
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"note: {place / 'final.lock'}: cannot write: ")
    assert "2 of 2 trials done" in result.stdout
    assert "results:" not in result.stdout


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--over", "model.d_modl=4"), "--over model.d_modl=4: unknown key model.d_modl; did you mean 'd_model'?"),
        (("--over", "optim.lr=log:1e-1..1e-3:5"), "the range is empty: 1e-1 is not below 1e-3"),
        (("--over", "optim.lr"), "--over optim.lr: write KEY=VALUES, for example --over optim.lr=log:3e-3..1e-1:5"),
        (("--over", "optim.lr=1e-3", "--objective", "val_nmse"), "got val_nmse; did you mean 'val_nmse_db'?"),
        (("--over", "optim.lr=1e-3..1e-1", "--search", "tpe"), "search: tpe needs a budget"),
    ],
)
def test_bad_sweeps_end_with_one_message(words: tuple[str, ...], why: str, folder: Path) -> None:
    result = dpdrun("sweep", "small.yaml", *words, code=2)
    assert why in " ".join(result.stderr.split())
    assert result.stderr.count("error:") == 1
    assert not (folder / "runs").exists()


def test_a_misspelt_command_is_not_taken_for_a_recipe() -> None:
    said = dpdrun("sweep", "shw", "runs/small-sweep", code=2).output
    assert "No such command 'shw'. Did you mean 'show'?" in said


def test_folders_that_are_no_sweep_or_another(folder: Path, finished: tuple[Path, str]) -> None:
    assert "no such folder" in dpdrun("sweep", "resume", "runs/nothing", code=2).stderr
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")
    assert "this folder is not empty" in dpdrun(*SWEEP, "--run-dir", "full", code=2).stderr
    (folder / "runs").mkdir()
    (folder / "runs" / "small-sweep").symlink_to(finished[0] / "runs" / "small-sweep")
    before = (finished[0] / "runs" / "small-sweep" / "journal.jsonl").read_bytes()
    said = dpdrun(*SWEEP, "--set", "optim.beta1=0.5", code=2).stderr
    assert "holds a sweep of another recipe: optim.beta1 auto -> 0.5; give another --run-dir" in " ".join(said.split())
    assert (finished[0] / "runs" / "small-sweep" / "journal.jsonl").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_stopped_sweep_is_continued_by_the_command_it_names(number: int, code: int, tmp_path: Path) -> None:
    small_recipe(tmp_path, steps=400, every=100)
    process = started(*DPDRUN, *SWEEP, "--workers", "1", cwd=tmp_path)
    journal = tmp_path / "runs" / "small-sweep" / "journal.jsonl"
    metrics = "trials/*/metrics.jsonl"
    while process.poll() is None and not any(path.stat().st_size for path in journal.parent.glob(metrics)):
        time.sleep(0.05)
    process.send_signal(number)
    ended_with, _, err = ended(process)
    assert ended_with == code, err
    assert err.splitlines()[-1].strip() == "dpdrun sweep resume runs/small-sweep"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [each["event"] for each in events if "id" in each][-1] in ("given back", "finished")
    assert list((journal.parent / "workers").glob("*.json")) == []
    for path in journal.parent.glob("trials/*"):
        assert (path / "checkpoints" / "last.safetensors").is_file()
