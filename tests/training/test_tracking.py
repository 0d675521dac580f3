"""Experiment tracking beside a run: what trackers are told, and that nothing they do reaches the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dpdrun.data.capture import Capture
from dpdrun.recipe.loader import Loaded, load_recipe, load_text
from dpdrun.rules.engine import Finding
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import Metrics, read_metrics
from dpdrun.training import job, tracking
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.telemetry import Silent
from dpdrun.training.trackers import TensorBoard, Tracker
from dpdrun.training.tracking import Tracking, of_evaluation, of_refinement, of_report
from tests.processes import Processes

RECIPE = """\
task: pa
data: {{source: {source}}}
model: {{kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}}
optim: {{lr: 1e-2}}
train: {{max_steps: 12, batch_size: 4, frame: 32, burn_in: 8, eval_every: 4, checkpoint_every: 6, compile: off}}
"""
Told = list[tuple[Any, ...]]
pytestmark = pytest.mark.usefixtures("patient_trackers")
STEP = {"kind": "step", "loss": 1.0, "lr": 0.1, "grad_norm": 2.0, "clipped": True, "step_s": 0.01, "data_s": 0.001}


class Listening(Silent):
    """A monitor that keeps the messages, and can break a run off at a step."""

    def __init__(self, breaks_at: int = 0) -> None:
        self.said: list[str] = []
        self._breaks_at = breaks_at

    def message(self, text: str) -> None:
        self.said.append(text)

    def step(self, line: dict[str, Any]) -> None:
        if line["step"] == self._breaks_at:
            raise ConnectionAbortedError

    @property
    def watch(self) -> job.Watch:
        return lambda _: nullcontext(self)


def recording(told: Told, **acts: Callable[[], Any]) -> type[Tracker]:
    """A tracker that writes down its calls; `acts` happen in the calls of that name."""

    class Recording(Tracker):
        name = "tensorboard"
        viewer = "listen"

        def _do(self, call: str, *arguments: Any) -> None:
            told.append((call, *arguments))
            acts.get(call, lambda: None)()

        def begin(self, step: int | None) -> None:
            self._do("begin", step)

        def back_to(self, step: int) -> None:
            self._do("back_to", step)

        def log(self, values: Any, step: int) -> None:
            self._do("log", dict(values), step)

        def note(self, name: str, text: str, step: int) -> None:
            self._do("note", name, text, step)

        def end(self, *, failed: bool) -> None:
            self._do("end", failed)

    return Recording


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    """Put a recording tracker in the place of TensorBoard."""

    def put(**acts: Callable[[], Any]) -> Told:
        found: Told = []
        monkeypatch.setattr(tracking, "TRACKERS", {"tensorboard": recording(found, **acts)})
        return found

    return put


def tracked(path: Path, group: ProcessGroup | None = None) -> Tracking:
    return Tracking(["tensorboard"], RunFolder(path), {}, group or ProcessGroup())


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard shows of a run."""
    events = EventAccumulator(str(run / "tracking" / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def files(run: Path) -> list[Path]:
    return sorted(path for path in (run / "tracking").rglob("*") if path.is_file())


def trace(log: Metrics) -> list[tuple[float, ...]]:
    return [(line["step"], line["loss"], line["grad_norm"], line["lr"]) for line in log.steps]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, capture: Capture) -> Path:
    """A recipe on a small capture. Do not write into its folder."""
    folder = tmp_path_factory.mktemp("tracked")
    x, y = (np.concatenate([getattr(part, side) for part in capture.parts.values()]) for side in "xy")
    np.savez(folder / "capture.npz", x=x, y=y, sample_rate_hz=1e6)
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(source=folder / "capture.npz"))
    return path


@pytest.fixture
def loaded(recipe: Path) -> Loaded:
    return load_recipe(recipe)


@pytest.fixture(scope="module")
def bare(recipe: Path) -> Path:
    """The run of that recipe without tracking."""
    path = recipe.parent / "run"
    job.train(load_recipe(recipe), path)
    return path


def test_tensorboard_gets_the_values_of_the_log(loaded: Loaded, tmp_path: Path, bare: Path) -> None:
    report = job.train(loaded, tmp_path / "run", track=["tensorboard"])
    found, log = scalars(tmp_path / "run"), read_metrics(tmp_path / "run")
    for name in ("loss", "lr", "grad_norm", "clipped", "step_s", "data_s"):
        assert found[f"train/{name}"] == [
            (each["step"], pytest.approx(float(each[name]), rel=1e-6)) for each in log.steps
        ]
    assert len(log.steps) == 12
    for tag, name in (("val/nmse_db", "val_nmse_db"), ("val/best_db", "best_db")):
        assert found[tag] == [(each["step"], pytest.approx(each[name], rel=1e-6)) for each in log.evals]
    assert [step for step, _ in found["val/nmse_db"]] == [4, 8, 12]
    assert found["test/nmse_db"] == [(12, pytest.approx(report["splits"]["test"]["nmse_db"], rel=1e-6))]
    assert trace(log) == trace(read_metrics(bare))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (bare / "model.safetensors").read_bytes()
    assert not (bare / "tracking").exists()


def test_a_resumed_run_stays_tracked_and_no_step_is_there_twice(loaded: Loaded, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(ConnectionAbortedError):
        job.train(loaded, run, track=["tensorboard"], watch=Listening(breaks_at=9).watch)
    assert [step for step, _ in scalars(run)["train/loss"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    job.train(loaded, run, resume=True)  # from step 6
    assert len(files(run)) == 2
    assert [step for step, _ in scalars(run)["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in scalars(run)["val/nmse_db"]] == [4, 8, 12]


def test_repeated_scores_leave_what_was_tracked(loaded: Loaded, tmp_path: Path) -> None:
    run = tmp_path / "run"
    job.train(loaded, run, track=["tensorboard"])
    (run / "report.json").unlink()
    job.train(loaded, run, resume=True)
    found = scalars(run)
    assert [step for step, _ in found["train/loss"]] == list(range(1, 13))
    assert [step for step, _ in found["test/nmse_db"]] == [12, 12]


@pytest.mark.parametrize("when", ["begin", "log", "end"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SystemExit(3)])
def test_a_tracker_that_fails_is_switched_off_and_the_run_is_the_same(
    when: str, error: BaseException, told: Callable[..., Told], loaded: Loaded, tmp_path: Path, bare: Path
) -> None:
    def fail() -> None:
        raise error

    calls, monitor = told(**{when: fail}), Listening()
    job.train(loaded, tmp_path / "run", track=["tensorboard"], watch=monitor.watch)
    told_off = f"tensorboard is switched off, the run continues without it: {type(error).__name__}: {error}"
    assert monitor.said == ["tracked by tensorboard; to look: listen", told_off]
    assert [call for call, *_ in calls if call == when][:1] == [when]
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (bare / "model.safetensors").read_bytes()
    assert trace(read_metrics(tmp_path / "run")) == trace(read_metrics(bare))


def test_a_tracker_that_hangs_is_abandoned(
    told: Callable[..., Told], loaded: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, monitor = Event(), Listening()
    calls = told(log=released.wait)
    monkeypatch.setattr(tracking, "ENDING_S", 0.0)
    job.train(loaded, tmp_path / "run", track=["tensorboard"], watch=monitor.watch)
    released.set()
    assert monitor.said[1:] == ["tensorboard has not ended in time and is abandoned; its last values may be missing"]
    assert [call for call, *_ in calls][:1] == ["begin"]


def test_steps_that_a_slow_tracker_has_no_time_for_are_left_out(
    told: Callable[..., Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, released, monitor = Event(), Event(), Listening()

    def wait() -> None:
        began.set()
        released.wait()

    calls = told(begin=wait)
    monkeypatch.setattr(tracking, "BACKLOG", 3)
    with tracked(tmp_path) as this:
        shown = this.with_view(monitor)
        for step in range(1, 11):
            shown.step(STEP | {"step": step})
            began.wait()
        shown.evaluation({"kind": "eval", "step": 10, "val_nmse_db": -30.0, "seconds": 1.0})
        released.set()
    assert [step for call, *_, step in calls if call == "log"] == [1, 2, 3, 10]  # the last is the scoring
    assert monitor.said[1:] == ["tensorboard could not keep up: 7 steps were dropped"]


def test_a_rollback_and_a_finding_are_tracked(told: Callable[..., Told], tmp_path: Path) -> None:
    calls = told()
    finding = Finding("it climbs", {}, "warning", code="GN201", slug="climbs", advice="clip")
    with tracked(tmp_path) as this:
        for step in (1, 2, 3, 2, 3):
            this.step(STEP | {"step": step})
        this.finding(finding, 3)
    assert [(call, rest[-1]) for call, *rest in calls] == [
        ("begin", 1), ("log", 1), ("log", 2), ("log", 3), ("back_to", 2), ("log", 2), ("log", 3), ("note", 3),
        ("end", False),
    ]  # fmt: skip
    assert calls[-2][1:3] == ("findings/GN201", "step 3: warning GN201 climbs: it climbs; advice: clip")
    assert calls[1][1] == {f"train/{name}": pytest.approx(float(STEP[name])) for name in tracking.OF_STEP}


def test_an_interrupted_run_is_tracked_as_failed(told: Callable[..., Told], loaded: Loaded, tmp_path: Path) -> None:
    calls = told()
    with pytest.raises(ConnectionAbortedError):
        job.train(loaded, tmp_path / "run", track=["tensorboard"], watch=Listening(breaks_at=3).watch)
    assert calls[-1] == ("end", True)


def test_only_the_first_process_has_trackers(told: Callable[..., Told], tmp_path: Path) -> None:
    calls, monitor = told(), Silent()
    (tmp_path / "tracking" / "tensorboard").mkdir(parents=True)
    with tracked(tmp_path, ProcessGroup(2, rank=1)) as this:
        assert this.with_view(monitor) is monitor
    assert calls == []
    with tracked(tmp_path, ProcessGroup(2, rank=0)) as this:
        assert this.with_view(monitor) is this


def in_a_team(group: ProcessGroup, *, recipe: str, run: str) -> list[str]:
    """Train and track, and return the messages of this process."""
    monitor = Listening()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracking, "ENDING_S", 600.0)
        job.train(load_recipe(recipe), Path(run), track=["tensorboard"], watch=monitor.watch)
    return monitor.said


def test_two_processes_leave_one_event_file(
    recipe: Path, tmp_path: Path, processes: Callable[[int], Processes]
) -> None:
    first, other = processes(2).run(__file__, "in_a_team", recipe=str(recipe), run=str(tmp_path / "run"))
    assert [text.partition(";")[0] for text in first] == ["tracked by tensorboard"]
    assert other == []
    assert len(files(tmp_path / "run")) == 1
    assert [step for step, _ in scalars(tmp_path / "run")["train/loss"]] == list(range(1, 13))


def test_a_least_squares_fit_is_tracked_by_its_scores(told: Callable[..., Told], recipe: Path, tmp_path: Path) -> None:
    calls = told()
    gmp = (
        f"task: pa\ndata: {{source: {recipe.parent}/capture.npz}}\nmodel: {{kind: gmp, order: 3, delays: 2, cross: 0}}"
    )
    report = job.train(load_text(gmp, Path("gmp.yaml")), tmp_path / "run", track=["tensorboard"])
    assert [call for call, *_ in calls] == ["begin", "log", "end"]
    assert calls[1][1]["test/nmse_db"] == report["splits"]["test"]["nmse_db"]


def test_the_folder_of_a_tracker_is_enough_to_resume_it(tmp_path: Path) -> None:
    (tmp_path / "tracking" / "tensorboard").mkdir(parents=True)
    with Tracking([], RunFolder(tmp_path), {}, ProcessGroup()) as this:
        assert [type(worker.tracker) for worker in this._workers] == [TensorBoard]


def test_a_best_score_that_does_not_count_yet_is_left_out() -> None:
    line = {"kind": "eval", "step": 4, "val_nmse_db": -20.0, "objective_db": -21.0, "best_db": 979.0, "seconds": 1.0}
    assert of_evaluation(line) == {"val/nmse_db": -20.0, "val/objective_db": -21.0}
    assert of_evaluation(line | {"best_db": -21.0})["val/best_db"] == -21.0


def test_the_lm_finish_tracks_its_solver_and_scores() -> None:
    line = {"kind": "finish", "step": 15, "iteration": 3, "loss": 1e-3, "damping": 0.1, "gain_ratio": 0.9,
            "val_nmse_db": -30.0, "best_db": -31.0, "seconds": 2.0}  # fmt: skip
    assert of_refinement(line) == {
        "finish/iteration": 3.0, "finish/loss": 1e-3, "finish/damping": 0.1, "finish/gain_ratio": 0.9,
        "val/nmse_db": -30.0, "val/best_db": -31.0,
    }  # fmt: skip


def test_the_report_tracks_scores_with_a_unit() -> None:
    linearity = {"nmse_db": -30.0, "evm_percent": 1.5, "aclr_left_dbc": -40.0, "evm_db": None, "samples": 9, "aclr": {}}
    report = {"splits": {"test": {"nmse_db": -30.0, "samples": 9, "linearity": linearity}}}
    assert of_report(report) == {"test/nmse_db": -30.0, "test/evm_percent": 1.5, "test/aclr_left_dbc": -40.0}
    assert of_report({"splits": {"val": {"nmse_db": -30.0}}}) == {}
