"""`diagnosis.follow` diagnoses again as a log grows, tells its view, and ends with the run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dpdrun.diagnosis.diagnose import Diagnosis, diagnose_any
from dpdrun.diagnosis.follow import EVERY_S, follow
from dpdrun.errors import DataError, RunError
from dpdrun.rules.examples import example_run
from dpdrun.run.folder import RunFolder
from tests.diagnosis.test_diagnose import REPORT, write_run

RUN = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)


class Writer:
    """Stands for `sleep`: writes the next steps of a run, a share at a time."""

    def __init__(self, write: Callable[[int, int], None], end: Callable[[], None], every: int = 100) -> None:
        self._write, self._end, self._every = write, end, every
        self.done = 0

    def __call__(self, seconds: float) -> None:
        assert seconds >= EVERY_S
        if self.done >= len(RUN.step):
            return self._end()
        self._write(self.done, self.done + self._every)
        self.done += self._every
        return None


def stop() -> None:
    raise KeyboardInterrupt


def csv_writer(path: Path, end: Callable[[], None] = stop) -> Writer:
    path.write_text("step,loss,grad_norm,lr\n")

    def write(first: int, last: int) -> None:
        with path.open("a") as file:
            for i in range(first, min(last, len(RUN.step))):
                file.write(f"{RUN.step[i]},{RUN.loss[i]},{RUN.grad_norm[i]},{RUN.lr[i]}\n")

    write(0, 100)
    return Writer(lambda a, b: write(a + 100, b + 100), end)


def looked(path: Path, *maps: str) -> Callable[[], tuple[Diagnosis, str]]:
    return lambda: (diagnose_any(path, maps), str(path))


class Seen:
    """A view that keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.codes: list[list[str]] = []
        self.reasons: list[str] = []
        self.quiet: list[float] = []

    def changed(self, diagnosis: Diagnosis, title: str) -> None:
        self.steps.append(diagnosis.facts.step[-1])
        self.codes.append([finding.code for finding in diagnosis.findings])

    def draw(self, diagnosis: Diagnosis, title: str, quiet_s: float) -> None:
        self.quiet.append(quiet_s)

    def waiting(self, reason: str) -> None:
        self.reasons.append(reason)


def test_each_new_part_of_a_log_is_diagnosed_until_its_planned_end(tmp_path: Path) -> None:
    path, view = tmp_path / "log.csv", Seen()
    followed = follow(path, looked(path, "total_steps=400"), view, sleep=csv_writer(path))
    assert view.steps == [100, 200, 300, 400]
    assert "GN201" not in view.codes[0]
    assert "GN201" in view.codes[-1]
    assert not followed.interrupted
    assert followed.last is not None
    assert followed.last[0].to_json() == diagnose_any(path, ["total_steps=400"]).to_json()
    assert followed.last[0].facts.progress == 1.0


def test_ctrl_c_hands_over_what_was_seen(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    followed = follow(path, looked(path), Seen(), sleep=csv_writer(path))
    assert followed.interrupted
    assert followed.last is not None
    assert followed.last[0].facts.step[-1] == 400


@pytest.mark.usefixtures("no_waiting")
def test_a_pipe_in_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    path, view = tmp_path / "log.csv", Seen()
    csv_writer(path)
    text = path.read_text()

    def replace(_: float) -> None:
        if path.is_fifo():
            path.unlink()
            path.write_text(f"{text}{text.splitlines()[-1]}\n")
        elif view.reasons:
            stop()
        else:
            path.unlink()
            os.mkfifo(path)

    follow(path, looked(path), view, sleep=replace)
    assert "a pipe or a device" in view.reasons[0]
    assert len(view.steps) == 2


def test_a_log_that_does_not_grow_is_not_read_again(tmp_path: Path) -> None:
    path, reads = tmp_path / "log.csv", 0
    csv_writer(path)
    naps = iter([None] * 5)

    def look() -> tuple[Diagnosis, str]:
        nonlocal reads
        reads += 1
        return diagnose_any(path), "log"

    def sleep(_: float) -> None:
        if next(naps, stop) is stop:
            raise KeyboardInterrupt

    times = iter([0.0, 0.0, 3.0, 3.0, 7.0, *[9.0] * 9])
    view = Seen()
    assert follow(path, look, view, sleep=sleep, clock=lambda: next(times)).interrupted
    assert reads == 1
    assert view.quiet[:3] == [0.0, 3.0, 7.0], "since the log last grew"


def test_an_empty_log_is_waited_for_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    path, view = tmp_path / "log.csv", Seen()
    path.write_text("")
    contents = iter(["step,loss,grad_norm,lr\n", "step,loss,grad_norm,lr\n1,0.5,1,1e-3\n"])

    def sleep(_: float) -> None:
        text = next(contents, None)
        if text is None:
            raise KeyboardInterrupt
        path.write_text(text)

    followed = follow(path, looked(path), view, sleep=sleep)
    assert len(view.reasons) == 2  # an empty file, then a header alone
    assert followed.last is not None
    assert followed.last[0].facts.step == [1]
    path.write_text("step,loss\n1,fast\n2,0\n")
    with pytest.raises(DataError, match="is not a number"):
        follow(path, looked(path), Seen(), sleep=sleep)


def test_a_file_that_is_being_rewritten_is_read_later(tmp_path: Path) -> None:
    path, view = tmp_path / "trainer_state.json", Seen()
    whole = json.dumps({"log_history": [{"step": 1, "loss": 0.5}], "max_steps": 2}, indent=1)
    path.write_text(whole)
    states = iter([whole[:40], whole[:30], whole.replace('"step": 1', '"step": 2')])
    followed = follow(path, looked(path), view, sleep=lambda _: (path.write_text(next(states)), None)[1])
    assert followed.last is not None
    assert followed.last[0].facts.step == [2]
    assert "not valid JSON" in view.reasons[0]


def test_a_run_folder_ends_with_its_report(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", RUN, report=REPORT)
    folder, view = RunFolder.create(tmp_path / "run"), Seen()
    folder.plan.write_bytes((whole / "plan.json").read_bytes())
    lines = (whole / "metrics.jsonl").read_text().splitlines(keepends=True)

    def sleep(_: float) -> None:
        if not lines:
            folder.report.write_bytes((whole / "report.json").read_bytes())
            return
        with folder.metrics.open("a") as file:
            file.writelines(lines[:200])
        del lines[:200]

    followed = follow(folder.path, looked(folder.path), view, sleep=sleep)
    assert len(view.reasons) == 1, "the run had logged nothing yet"
    assert view.steps == [200, 400, 400]
    assert followed.last is not None
    assert followed.last[0].to_json() == diagnose_any(whole).to_json()


def test_no_such_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such run folder"):
        follow(tmp_path / "no", looked(tmp_path / "no"), Seen(), sleep=lambda _: None)
