"""Workers: they run each trial once, as any run is run, and continue what others left."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dpdrun.errors import DataError, FindingError, RunError, StoppedError, UnwritableError
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_text
from dpdrun.run.files import Json
from dpdrun.run.folder import RunFolder
from dpdrun.sweep import worker
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder, retry, take_over
from dpdrun.sweep.points import plan_points
from dpdrun.training import job

Done = Callable[..., tuple[SweepFolder, Json]]
OVER = {"model.d_model": "4,8"}


def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that `job.train` is called for, as it goes on."""
    calls: list[str] = []
    train = job.train

    def recorded(loaded: Any, run_dir: Path, **options: Any) -> Any:
        calls.append(run_dir.name)
        return train(loaded, run_dir, **options)

    monkeypatch.setattr(job, "train", recorded)
    return calls


def weights_of(folder: SweepFolder) -> dict[str, bytes]:
    return {path.name: RunFolder(path).model.read_bytes() for path in folder.trials.iterdir()}


def test_a_trial_is_the_run_that_train_makes(read: Callable[..., Sweep], done: Done, tmp_path: Path) -> None:
    sweep = read(over=OVER)
    folder, _ = done(sweep)
    trial = plan_points(sweep).points[1].trials[0]
    alone = load_text(sweep.base.text, sweep.base.path, trial.overrides)
    report = job.train(alone, tmp_path / "alone")
    assert RunFolder(tmp_path / "alone").model.read_bytes() == folder.run(trial.id).model.read_bytes()
    own = folder.run(trial.id).read_json(folder.run(trial.id).report)
    assert own["splits"]["val"]["nmse_db"] == report["splits"]["val"]["nmse_db"]


def test_what_exists_is_not_trained_again(
    read: Callable[..., Sweep], done: Done, begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = trained(monkeypatch)
    done(read(over=OVER))
    assert len(calls) == 2, "the rules' point and d_model 8 are one trial"
    done(read(over=OVER))
    assert len(calls) == 2
    _, content = done(read(over={"model.d_model": "4,8,12"}, seeds=2))  # extended
    assert len(calls) == 6
    assert content["trials"]["finished"] == 6
    other = begun(read(over=OVER, seeds=2), "other")
    assert take_over(other) == 4
    _, again = done(read(over=OVER, seeds=2), "other")
    assert len(calls) == 6
    by_id = {trial["id"]: trial["val_nmse_db"] for each in content["points"] for trial in each["trials"]}
    assert all(by_id[trial["id"]] == trial["val_nmse_db"] for each in again["points"] for trial in each["trials"])


def test_another_recipe_or_other_data_are_refused(read: Callable[..., Sweep], begun: Any, place: Path) -> None:
    begun(read(over=OVER))
    with pytest.raises(RunError, match=r"holds a sweep of another recipe: optim\.beta1 auto -> 0\.5; give another"):
        begun(read("optim.beta1=0.5", over=OVER))
    (place / "capture.npz").write_bytes(_changed(place / "capture.npz"))
    with pytest.raises(RunError, match="the samples of the capture have changed"):
        begun(read(over=OVER))


def _changed(path: Path) -> bytes:
    import numpy as np

    with np.load(path) as arrays:
        np.savez(path.with_name("new.npz"), x=arrays["x"], y=1.5 * arrays["y"])
    return path.with_name("new.npz").read_bytes()


@pytest.mark.parametrize("after", [1, 5])
def test_a_lost_trial_is_continued_to_the_same_bits(
    after: int, read: Callable[..., Sweep], done: Done, begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker ends after some step without a word; what it leaves is what SIGKILL leaves."""
    undisturbed, expected = done(read(over=OVER), "whole")
    folder, step = begun(read(over=OVER), "lost"), job.fit

    class Killed(BaseException):
        pass

    def killed(*arguments: Any, **options: Any) -> Any:
        monitor = arguments[4]

        def die(line: Json) -> None:
            if line["step"] == after:
                raise Killed

        monitor.step = die
        return step(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(job, "fit", killed)
        patch.setattr(worker, "_end", lambda *_: None)
        with suppress(Killed):
            worker.work(folder, print)
    assert folder.journal.read().count("running") == 1
    _, content = done(read(over=OVER), "lost")
    assert folder.journal.read().count("finished") == 2
    assert weights_of(folder) == weights_of(undisturbed)
    assert [each["objectives"]["val_nmse_db"] for each in content["points"]] == [
        each["objectives"]["val_nmse_db"] for each in expected["points"]
    ]


def test_a_trial_whose_workers_keep_ending_is_given_up(
    read: Callable[..., Sweep], begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(read(over={"model.d_model": "4"}))
    monkeypatch.setattr(worker, "_run", lambda *_: (_ for _ in ()).throw(MemoryError))
    monkeypatch.setattr(folder.presence, "is_lost", lambda name: True)
    for _ in range(2 * worker.MOST_LOSSES + 3):
        with suppress(MemoryError):
            worker.work(folder, print)
    state = folder.journal.read()
    assert {each.status for each in state.trials.values()} == {"failed"}
    assert next(iter(state.trials.values())).reason == "20 workers ended at step 0 of it; is there enough memory?"


def test_a_stopped_worker_gives_its_trial_back(
    read: Callable[..., Sweep], begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(read(over=OVER))

    def stop(*_: Any, **__: Any) -> Any:
        raise StoppedError("stopped by SIGTERM")

    monkeypatch.setattr(job, "train", stop)
    with pytest.raises(StoppedError):
        worker.work(folder, print)
    assert folder.journal.read().count("pending") == 2
    assert folder.presence.others() == []


def test_a_failed_trial_is_told_with_its_reason(
    read: Callable[..., Sweep], done: Done, runaway: Callable[[float], None]
) -> None:
    runaway(0.4)
    _, content = done(read("train.max_steps=60", "train.eval_every=30", over={"optim.lr": "0.9"}))
    rules, high = content["points"]
    assert (rules["status"], rules["reason"]) == ("finished", "")
    assert high["status"] == "pruned"
    assert re.match(r"[A-Z]{2}[0-9]{3} [a-z_]+: ", high["reason"]), high["reason"]
    assert content["front"] == [0]


@pytest.mark.parametrize("what", ["a trial", "trials", "a log"])
def test_nothing_behind_a_link_is_written_or_removed(
    what: str, read: Callable[..., Sweep], begun: Any, place: Path
) -> None:
    sweep = read(over=OVER)
    folder = begun(sweep)
    own = place / "own"
    (own / "checkpoints").mkdir(parents=True)
    (own / "checkpoints" / "weights.pt").write_text("mine")
    if what == "a trial":
        folder.trials.mkdir()
        (folder.trials / plan_points(sweep).points[1].trials[0].id).symlink_to(own)
    elif what == "trials":
        folder.trials.symlink_to(own)
    else:
        (folder.logs / "worker-1.log").symlink_to(own / "checkpoints" / "weights.pt")
    for action in (lambda: worker.work(folder, print), lambda: begun(sweep)):
        with pytest.raises(RunError, match=f"a symlink out of this sweep, to {own}"):
            action()
    assert [path.name for path in own.iterdir()] == ["checkpoints"]
    assert (own / "checkpoints" / "weights.pt").read_text() == "mine"


@pytest.mark.usefixtures("plugin_registry")
def test_a_plugin_that_raises_fails_its_trials_alone(read: Callable[..., Sweep], done: Done, place: Path) -> None:
    (place / "bad.py").write_text(
        "def bad(found, wanted):\n    raise ValueError('no value')\n\n"
        "def leaves(found, wanted):\n    raise SystemExit(0)\n\nLOSSES = {'bad': bad, 'leaves': leaves}\n"
    )
    plugins.load_files([place / "bad.py"])
    _, content = done(read(over={"train.loss": "bad,leaves,time"}))
    found = {each["config"].get("train.loss"): (each["status"], each["reason"]) for each in content["points"]}
    assert found["time"] == ("finished", "")
    assert found["bad"][0] == found["leaves"][0] == "failed"
    assert "bad.py:2: ValueError: no value (plug-in bad" in found["bad"][1]
    assert "bad.py:5: SystemExit: 0 (plug-in bad" in found["leaves"][1]


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_full_disk_ends_the_worker_and_nothing_is_lost(
    has_checkpoint: bool, read: Callable[..., Sweep], begun: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(read(over=OVER))

    def full(*_: Any, **__: Any) -> Any:
        error = UnwritableError("report.json: cannot write: No space left on device", "make room on its disk")
        if has_checkpoint:  # as `RunFolder.resume_hint` tells it
            raise RunError(f"{error}, then continue with: ...") from error
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(job, "train", full)
        with pytest.raises(UnwritableError, match="No space left"):
            worker.work(folder, print)
    assert folder.journal.read().count("pending") == 2
    worker.work(folder, print)
    assert folder.journal.read().count("finished") == 2


def test_failed_trials_are_tried_again_on_request_and_pruned_ones_without_pruning(
    read: Callable[..., Sweep], begun: Any, done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(read(over=OVER))
    reasons = iter(
        [DataError("capture.npz: no such file"), FindingError("train.on_finding: stop: LR200 too_high: it is")]
    )

    def refuse(*_: Any, **__: Any) -> Any:
        raise next(reasons)

    with monkeypatch.context() as patch:
        patch.setattr(job, "train", refuse)
        worker.work(folder, print)
    state = folder.journal.read()
    assert [(each.status, each.reason) for each in state.trials.values()] == [
        ("failed", "capture.npz: no such file"), ("pruned", "LR200 too_high: it is")
    ]  # fmt: skip
    assert retry(folder, read(over=OVER)) == 1
    assert folder.journal.read().count("pending") == 1
    assert retry(folder, read(over=OVER, prune="off")) == 1
    _, content = done(read(over=OVER, prune="off"))
    assert content["trials"]["finished"] == 2
    recipes = [(path / "recipe.yaml").read_text() for path in folder.trials.iterdir()]
    assert not any("on_finding" in text for text in recipes)
