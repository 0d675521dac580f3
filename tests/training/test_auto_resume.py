"""What a command that is given again and again finds in its folder, and what it makes of that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from dpdrun.errors import RunError, StoppedError
from dpdrun.recipe.loader import Loaded
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import read_metrics
from dpdrun.training import job
from dpdrun.training.resume import archive, archive_unstarted, should_resume
from dpdrun.training.telemetry import Monitor


@pytest.fixture
def stopped(loaded: Callable[..., Loaded], tmp_path: Path, stop_at: Callable[..., job.Watch]) -> RunFolder:
    """A run that was stopped with a checkpoint after its third step."""
    with pytest.raises(StoppedError):
        job.train(loaded(), tmp_path / "run", watch=stop_at(3))
    return RunFolder(tmp_path / "run")


def test_auto_starts_resumes_and_leaves_a_finished_run(
    loaded: Callable[..., Loaded], tmp_path: Path, stop_at: Callable[..., job.Watch]
) -> None:
    run = RunFolder(tmp_path / "run")
    for step in (3, 7):
        with pytest.raises(StoppedError):
            job.train(loaded(), run.path, resume="auto", watch=stop_at(step))
        assert run.read_json(run.heartbeat)["phase"] == "training"
    assert [line["step"] for line in read_metrics(run.path).steps] == list(range(1, 8))
    run.write_json(run.report, {"steps": 12})
    before = {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    assert job.train(loaded(), run.path, resume="auto")["steps"] == 12
    assert {file: file.read_bytes() for file in run.path.rglob("*") if file.is_file()} == before
    assert [each.name for each in tmp_path.iterdir()] == ["run"]


def test_a_run_without_a_checkpoint_makes_way(
    loaded: Callable[..., Loaded], stopped: RunFolder, signal_at: Callable[[int], Monitor]
) -> None:
    """Killed after some steps, before a checkpoint was due."""
    stopped.last.unlink()
    logged = stopped.metrics.read_bytes()
    told = []

    def watch(this: job.Job) -> AbstractContextManager[Monitor]:
        told.append(this.archived)
        return nullcontext(signal_at(5))

    with pytest.raises(StoppedError):
        job.train(loaded(), stopped.path, resume="auto", watch=watch)
    old = stopped.path.with_name("run.old-1")
    assert told == [old]
    assert (old / "metrics.jsonl").read_bytes() == logged
    assert [line["step"] for line in read_metrics(stopped.path).steps] == [1, 2, 3, 4, 5]


def test_a_lost_checkpoint_is_not_passed_over(
    loaded: Callable[..., Loaded], tmp_path: Path, stop_at: Callable[..., job.Watch]
) -> None:
    recipe, run = loaded("train.checkpoint_every=2"), RunFolder(tmp_path / "run")
    with pytest.raises(StoppedError):
        job.train(recipe, run.path, watch=stop_at(3))
    run.last.unlink()
    with pytest.raises(RunError, match=r"last\.safetensors is missing"):
        job.train(recipe, run.path, resume="auto")
    assert not run.path.with_name("run.old-1").exists()


def test_what_is_not_of_a_run_is_refused(loaded: Callable[..., Loaded], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        job.train(loaded(), tmp_path / "run", resume="auto")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("files", "way"),
    [
        ([], True),
        (["recipe.yaml", ".plan.json.12.partial"], True),
        (["recipe.yaml", "notes.txt"], False),
        (["checkpoints/best.safetensors"], False),
    ],
    ids=str,
)
def test_killed_before_its_plan_was_written(files: list[str], way: bool, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    for name in files:
        (run.path / name).write_text("")
    assert not should_resume(run)
    assert (archive_unstarted(run) is not None) is way
    assert run.path.exists() is not way


def test_another_recipe_is_refused_as_ever(loaded: Callable[..., Loaded], stopped: RunFolder) -> None:
    with pytest.raises(RunError, match="another recipe"):
        job.train(loaded("optim.lr=3e-4"), stopped.path, resume="auto")


def test_names_are_not_used_twice_and_a_live_run_is_not_moved(stopped: RunFolder, tmp_path: Path) -> None:
    assert should_resume(stopped)
    copy = shutil.copytree(stopped.path, tmp_path / "copy")
    assert archive(stopped).name == "run.old-1"
    copy.rename(stopped.path)
    assert archive(stopped).name == "run.old-2"
    again = RunFolder.create(stopped.path)
    with again.lock(), pytest.raises(RunError, match="another process is training"):
        archive(again)
