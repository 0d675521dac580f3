"""How a job ends before its end, and how it goes on: signals, memory, full disks, other folders, other versions."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.errors import DataError, RunError, StoppedError
from dpdrun.plan import digest_of
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.runlog import RunFolder, read_metrics
from dpdrun.training import checkpoint, job

WatchAt = Callable[..., job.Watch]

RECIPE = """\
task: pa
data: {source: capture.npz}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
optim: {lr: 1e-2}
train: {max_steps: 8, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 4, compile: off}
"""


@pytest.fixture
def here(tmp_path: Path, lay_out: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a capture and a recipe that names it by a relative path."""
    lay_out(tmp_path, job=RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loaded(here: Path) -> Loaded:
    return load_recipe("job.yaml")


@pytest.fixture
def stopped(loaded: Loaded, here: Path, stop_at: WatchAt) -> RunFolder:
    """A run that was stopped at step 3."""
    with pytest.raises(StoppedError):
        job.train(loaded, here / "run", watch=stop_at(3))
    return RunFolder(here / "run")


def then_sigterm(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_ctrl_c_writes_a_checkpoint_first(loaded: Loaded, here: Path, stop_at: WatchAt) -> None:
    straight = job.train(loaded, here / "straight")
    with pytest.raises(KeyboardInterrupt, match=r"after step 2 of 8; a checkpoint was written") as caught:
        job.train(loaded, here / "run", watch=stop_at(2, signal.SIGINT))
    assert str(caught.value).endswith(RunFolder(here / "run").resume_command)
    assert len(read_metrics(here / "run").steps) == 2
    assert job.train(loaded, here / "run", resume=True)["splits"] == straight["splits"]


@pytest.mark.parametrize("step", ["load_capture", "floor_of", "fit"])
def test_sigterm_before_the_first_step_leaves_nothing_and_says_so(
    step: str, loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, step, then_sigterm)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(StoppedError, match="before the first step; there is nothing to resume"):
        job.train(loaded, here / "runs" / "one")
    assert not (here / "runs").exists()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("when", ["last step", "scoring"])
def test_sigterm_after_the_last_step_can_be_resumed(
    when: str, loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch, stop_at: WatchAt
) -> None:
    if when == "scoring":
        monkeypatch.setattr(job, "evaluate", then_sigterm)
    with pytest.raises(StoppedError, match=r"--run-dir .*run --resume"):
        job.train(loaded, here / "run", watch=stop_at(8) if when == "last step" else None)
    monkeypatch.undo()
    assert not (here / "run" / "report.json").exists()
    assert job.train(loaded, here / "run", resume=True)["steps"] == 8


def test_sigterm_while_a_resume_starts_leaves_the_run_as_it_was(
    stopped: RunFolder, loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(stopped.path)
    monkeypatch.setattr(job, "floor_of", then_sigterm)
    with pytest.raises(StoppedError, match=r"continue with:\n  dpdrun train"):
        job.train(loaded, stopped.path, resume=True)
    assert contents(stopped.path) == before


@pytest.mark.parametrize("where", ["build", "fit"])
def test_no_memory_leaves_no_folder(where: str, loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 12800000000 bytes.")

    monkeypatch.setattr(job.models if where == "build" else job, where, full)
    with pytest.raises(RunError, match=r"out of memory(.|\n)*batch of 4 frames of 32 samples(.|\n)*model\.d_model 8"):
        job.train(loaded, here / "runs" / "one")
    assert not (here / "runs").exists()


def test_a_disk_that_is_full_at_plan_json_leaves_no_folder(
    loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunFolder, path: Path, content: object) -> None:
        raise RunError(f"{path}: cannot write: No space left on device")

    monkeypatch.setattr(RunFolder, "write_json", full)
    with pytest.raises(RunError, match=r"plan\.json: cannot write: No space"):
        job.train(loaded, here / "runs" / "one")
    assert not (here / "runs").exists()


def test_a_folder_in_which_a_process_trains_is_left_to_it(stopped: RunFolder, loaded: Loaded) -> None:
    before = contents(stopped.path)
    with stopped.lock(), pytest.raises(RunError, match="another process is training in this folder"):
        job.train(loaded, stopped.path, resume=True)
    assert contents(stopped.path) == before


def test_resume_clears_away_what_a_killed_process_left(stopped: RunFolder, loaded: Loaded) -> None:
    litter = [stopped.path / ".report.json.1.partial", stopped.last.parent / ".last.safetensors.1.partial"]
    for path in litter:
        path.write_text("half")
    job.train(loaded, stopped.path, resume=True)
    assert not any(path.exists() for path in litter)


def test_a_run_can_be_used_from_any_folder(
    stopped: RunFolder, loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stopped.read_json(stopped.plan)["recipe"]["data"]["source"] == str(here / "capture.npz")
    assert "source: capture.npz" in stopped.recipe.read_text()  # as it was given
    monkeypatch.chdir(stopped.path)
    report = job.train(loaded, stopped.path, resume=True)
    model, plan, _ = job.load_run(stopped.path)
    capture = job.load_capture(plan.recipe.data)
    assert job.evaluate(model, plan, capture)["splits"] == report["splits"]


def test_a_source_beside_the_recipe_is_pointed_at(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    with pytest.raises(DataError) as caught:
        job.prepare(load_recipe("../job.yaml"))
    assert f"current folder, {here / 'sub'}" in str(caught.value)
    assert "write data.source: ../capture.npz" in str(caught.value)
    plan, _ = job.prepare(load_recipe("../job.yaml", ["data.source=../capture.npz"]))
    assert Path(plan.recipe.data.source).samefile(here / "capture.npz")


def rewritten(run: RunFolder, change: Callable[[dict[str, Any]], None], *, checkpoint_too: bool) -> None:
    """Change plan.json, and with it the hash in the checkpoint, as another version would have written both."""
    content = json.loads(run.plan.read_text())
    change(content)
    run.plan.write_text(json.dumps(content))
    if checkpoint_too:
        tensors, header = checkpoint.read(run.last)
        plan = {key: value for key, value in content.items() if key not in ("dpdrun", "data_sha256")}
        header["plan_hash"] = digest_of(plan, content["data_sha256"])
        checkpoint.write(run.last, tensors, header)


def test_resume_names_the_field_that_an_earlier_schema_lacked(stopped: RunFolder, loaded: Loaded) -> None:
    def older(content: dict[str, Any]) -> None:
        del content["recipe"]["train"]["rotate"]
        content["dpdrun"] = "0.0.9"

    rewritten(stopped, older, checkpoint_too=True)
    with pytest.raises(
        RunError, match=r"begun by dpdrun 0\.0\.9, whose plans differ .* in train\.rotate; resume it with"
    ):
        job.train(loaded, stopped.path, resume=True)


def test_resume_names_a_plan_that_was_changed(stopped: RunFolder, loaded: Loaded) -> None:
    def edited(content: dict[str, Any]) -> None:
        content["lr"] = 0.5

    rewritten(stopped, edited, checkpoint_too=False)
    with pytest.raises(RunError, match=r"plan\.json has been changed since it was written"):
        job.train(loaded, stopped.path, resume=True)


def test_resume_names_data_that_were_changed(stopped: RunFolder, loaded: Loaded, here: Path) -> None:
    with np.load(here / "capture.npz") as archive:
        arrays = dict(archive)
    np.savez(here / "capture.npz", **{**arrays, "y": 1.1 * arrays["y"]})
    with pytest.raises(RunError, match=r"capture\.npz holds other data than when this run began \(sha256 \w{12}, was"):
        job.train(loaded, stopped.path, resume=True)


def test_equal_runs_give_equal_models(loaded: Loaded, here: Path) -> None:
    for name in ("a", "b", "c"):
        job.train(loaded, here / name)
    assert len({(here / name / "model.safetensors").read_bytes() for name in ("a", "b", "c")}) == 1
