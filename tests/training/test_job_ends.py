"""How a job ends before its end, and how it goes on: signals, memory, full disks, other folders, other versions."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpdrun.errors import DataError, RecipeError, RunError, StoppedError
from dpdrun.plan.digest import digest_of
from dpdrun.recipe.loader import Loaded, load_recipe
from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import health
from dpdrun.run.listing import summary_of
from dpdrun.run.metrics import read_metrics
from dpdrun.training import checkpoint, job, loop
from dpdrun.training.telemetry import Silent

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
    assert "interrupted; last heartbeat at step" in health(here / "run").line
    assert summary_of(here / "run").state == "unfinished"
    assert job.train(loaded, here / "run", resume=True)["splits"] == straight["splits"]


@pytest.mark.parametrize("step", ["check_machine", "floor_of", "fit"])
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


@pytest.fixture(params=["limit", "disk"])
def room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Room]:
    """A folder to train in whose room a test can take away: by a limit on files, or as a disk of its own that fills."""
    place = tmp_path / "small"
    place.mkdir()
    if request.param == "limit":
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        yield Room(place, lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or before[0], before[1])))
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    ballast = place / "ballast"

    def leave(size: int | None) -> None:
        ballast.unlink(missing_ok=True)
        free = os.statvfs(place)
        if size is not None:
            ballast.write_bytes(bytes(free.f_bavail * free.f_frsize - size))

    try:
        yield Room(place, leave)
    finally:
        subprocess.run(["umount", place], check=True)


@dataclass(frozen=True)
class Room:
    """`leave(bytes)` takes the room away but for that; `leave(None)` gives it back."""

    place: Path
    leave: Callable[[int | None], None]


class FullAt(Silent):
    """A monitor that takes the room away when a step is reached."""

    def __init__(self, step: int, room: Room) -> None:
        self._step, self._room = step, room

    def step(self, line: dict[str, Any]) -> None:
        if line["step"] == self._step:
            self._room.leave(4096)


def test_a_full_disk_keeps_the_older_checkpoint_and_the_run_resumes_with_room(
    room: Room, loaded: Loaded, here: Path
) -> None:
    straight, run = job.train(loaded, here / "straight"), RunFolder(room.place / "run")
    with pytest.raises(
        RunError, match=r"cannot write: (No space left|File too large).*; .*, then continue with"
    ) as caught:
        job.train(loaded, run.path, watch=lambda _: nullcontext(FullAt(6, room)))
    assert caught.value.exit_code == 2
    assert run.resume_command in str(caught.value)
    assert checkpoint.progress_of(run.last, checkpoint.read_header(run.last)).step == 4
    before = contents(run.last.parent)
    with pytest.raises(RunError, match="cannot write"):  # no room to go on either
        job.train(loaded, run.path, resume=True)
    assert contents(run.last.parent) == before
    assert not list(run.path.rglob(f"*{PARTIAL}"))
    room.leave(None)
    assert job.train(loaded, run.path, resume=True)["splits"] == straight["splits"]
    assert run.model.read_bytes() == (here / "straight" / "model.safetensors").read_bytes()


@pytest.fixture
def bound() -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """A block in which file modes bind this process: root acts as nobody there."""

    @contextmanager
    def as_nobody() -> Iterator[None]:
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)

    return as_nobody


def test_a_folder_that_cannot_be_written_is_left_as_it_is(
    bound: Callable[[], AbstractContextManager[None]],
    lay_out: Callable[..., None],
    stop_at: WatchAt,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as own:  # pytest's own folders are for this user alone
        place = Path(own)
        lay_out(place, job=RECIPE)
        monkeypatch.chdir(place)
        recipe, run = load_recipe("job.yaml"), RunFolder(place / "run")
        with pytest.raises(StoppedError):
            job.train(recipe, run.path, watch=stop_at(3))
        for path in (place, *place.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = contents(place)
        with bound(), pytest.raises(RunError, match=r"cannot write: (Permission denied|Read-only)") as caught:
            job.train(recipe, run.path, resume=True)
        assert "make its folder writable, then continue with" in str(caught.value)
        with (
            bound(),
            pytest.raises(RunError, match=r"runs/new.*: cannot write: Permission denied; make its folder"),
        ):
            job.train(recipe, place / "runs" / "new")
        assert contents(place) == before
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)


def test_the_run_of_a_pa_model_is_read_and_never_written(bench: Any, tmp_path: Path) -> None:
    before = contents(bench.pa)
    job.train(bench.recipe("train.max_steps=2", "train.eval_every=2"), tmp_path / "dpd")
    assert contents(bench.pa) == before
    foreign = tmp_path / "foreign"
    shutil.copytree(bench.pa, foreign)
    (foreign / "plots").symlink_to(tmp_path)
    with pytest.raises(RecipeError, match="plots: a symlink out of this folder"):
        job.train(bench.recipe(f"pa={foreign}"), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_thread_can_train_and_resume_and_signals_are_left_alone(loaded: Loaded, here: Path) -> None:
    """As a caller of the Python API may: handlers can be set in the main thread alone."""
    before, ended = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)], []

    def work() -> None:
        ended.append(job.train(loaded, here / "run")["steps"])
        (here / "run" / "report.json").unlink()
        ended.append(job.train(loaded, here / "run", resume=True)["steps"])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [8, 8]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_while_the_end_is_audited_is_not_lost(
    loaded: Loaded, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audited = loop.audit

    def audit(*arguments: Any, **more: Any) -> Any:
        then_sigterm()
        return audited(*arguments, **more)

    monkeypatch.setattr(loop, "audit", audit)
    with pytest.raises(StoppedError, match="outside the training steps; continue with"):
        job.train(loaded, here / "run")
    monkeypatch.undo()
    assert job.train(loaded, here / "run", resume=True)["steps"] == 8


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


def test_a_source_next_to_the_recipe_is_suggested(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    with pytest.raises(DataError) as caught:
        job.prepare_training(load_recipe("../job.yaml"))
    assert f"current folder, {here / 'sub'}" in str(caught.value)
    assert "write data.source: ../capture.npz" in str(caught.value)
    plan, _ = job.prepare_training(load_recipe("../job.yaml", ["data.source=../capture.npz"]))
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
        del content["recipe"]["train"]["phase_augment"]
        content["dpdrun"] = "0.0.9"

    rewritten(stopped, older, checkpoint_too=True)
    with pytest.raises(
        RunError, match=r"started by dpdrun 0\.0\.9, whose plans differ .* in train\.phase_augment; resume it with"
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
    with pytest.raises(RunError, match=r"capture\.npz has changed since this run was started \(sha256 \w{12}, was"):
        job.train(loaded, stopped.path, resume=True)


def test_equal_runs_give_equal_models(loaded: Loaded, here: Path) -> None:
    for name in ("a", "b", "c"):
        job.train(loaded, here / name)
    assert len({(here / name / "model.safetensors").read_bytes() for name in ("a", "b", "c")}) == 1
