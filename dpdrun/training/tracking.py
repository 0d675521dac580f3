"""Experiment tracking: what a run tells its user, told to trackers too, which cannot harm it.

Each tracker has a thread of its own, and training waits for none: one that is slow leaves steps out, one that fails
is switched off with a message, one that hangs is left behind at the end. What a run computes never depends on them.
Only the first process of a group has trackers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any

from dpdrun.dpd.objective import POWER_GATE_PENALTY_DB
from dpdrun.plan.plan import Plan
from dpdrun.recipe.conflicts import values_of
from dpdrun.rules.engine import Finding
from dpdrun.run.folder import RunFolder
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.telemetry import Monitor, Silent
from dpdrun.training.trackers import TRACKERS, Settings, Tracker, begun_in, make_ready

BACKLOG = 1000  # steps that wait for a slow tracker; further ones are left out
ENDING_S = 30.0  # that trackers may take when the run is done
LEAVING_S = 3.0  # and when it was stopped, as others wait for the end of the process
OF_STEP = ("loss", "lr", "grad_norm", "clipped", "step_s", "data_s")
OF_SOLVER = ("iteration", "loss", "damping", "gain_ratio")
NO_SCORE = ("kind", "step", "seconds", *OF_SOLVER)
UNITS = ("_db", "_dbc", "_percent", "_deg")

Line = Mapping[str, Any]


class Tracking:
    """A monitor beside the one that draws: what it sees goes to both. A context manager; one object is one run.

    Args:
        names: of the trackers; those that the folder shows come on top, so that a resumed run stays tracked.
        run: folder of the run.
        settings: what the run was made with.
        group: of the training; only its first process has trackers.
    """

    def __init__(self, names: Sequence[str], run: RunFolder, settings: Settings, group: ProcessGroup) -> None:
        names = list(dict.fromkeys([*names, *begun_in(run)])) if group.is_rank_zero else []
        self._workers = [_Worker(TRACKERS[name](run, settings)) for name in names]
        self._shown: Monitor = Silent()
        self._begun, self._step = False, 0

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        deadline = time.monotonic() + (ENDING_S if kind is None else LEAVING_S)
        begun = self._workers if self._begun else []
        for worker in begun:
            worker.end(failed=kind is not None)
        for worker in begun:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._look_after()
        for worker in self._workers:
            if worker.is_alive():
                self._shown.message(
                    f"{worker.name} did not finish in time and was abandoned; its last values may be missing"
                )
            if worker.left_out:
                self._shown.message(f"{worker.name} could not keep up: {worker.left_out} steps were skipped")

    def beside(self, shown: Monitor) -> Monitor:
        """The monitor to train with, which passes everything on to `shown`."""
        self._shown = shown
        for worker in self._workers:
            shown.message(f"tracked by {worker.name}; to look: {worker.tracker.look}")
        return self if self._workers else shown

    def step(self, line: dict[str, Any]) -> None:
        """One optimizer step."""
        self._shown.step(line)
        if line["step"] <= self._step:  # train.on_finding: adapt went back
            for worker in self._workers:
                worker.do(partial(worker.tracker.back_to, line["step"]))
        self._tell(of_step, line, line["step"], droppable=True)

    def evaluation(self, line: dict[str, Any]) -> None:
        """One scoring of the validation part."""
        self._shown.evaluation(line)
        self._tell(of_evaluation, line, line["step"])

    def finish(self, line: dict[str, Any], iterations: int) -> None:
        """One scoring of `optim.refine`."""
        self._shown.finish(line, iterations)
        self._tell(of_finish, line, line["step"])

    def finding(self, finding: Finding, step: int) -> None:
        """A rule has something to say."""
        self._shown.finding(finding, step)
        self._begin(None)
        for worker in self._workers:
            worker.do(partial(_note, worker.tracker, finding, step))

    def message(self, text: str) -> None:
        """Something the user should know; it is not tracked."""
        self._shown.message(text)

    def report(self, report: Line) -> None:
        """The run is done: its scores on the test part."""
        self._begin(None)
        self._tell(of_report, report, max(self._step, report["steps"]))

    def _tell(
        self, make: Callable[[Line], dict[str, float]], line: Line, step: int, *, droppable: bool = False
    ) -> None:
        self._begin(step)
        self._step = step
        for worker in self._workers:
            worker.do(partial(_log, worker.tracker, make, line, step), droppable=droppable)
        self._look_after()

    def _begin(self, step: int | None) -> None:
        """With the first thing to tell: the run is known to be good then, and Accelerate to be set up."""
        if not self._begun:
            self._begun = True
            with suppress(Exception):  # a tracker that misses it says so
                make_ready()
            for worker in self._workers:
                worker.do(partial(worker.tracker.begin, step))
                worker.start()

    def _look_after(self) -> None:
        """Switch off the trackers that have failed."""
        for worker in [each for each in self._workers if each.trouble is not None]:
            self._workers.remove(worker)
            what = f"{type(worker.trouble).__name__}: {worker.trouble}".splitlines()[0]
            self._shown.message(f"{worker.name} is disabled; the run continues without it: {what[:300]}")


class _Worker(Thread):
    """The thread of one tracker: does what it is told in that order, until something fails."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(name=tracker.name, daemon=True)
        self.tracker = tracker
        self.trouble: BaseException | None = None
        self.left_out = 0
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def do(self, job: Callable[[], None], *, droppable: bool = False) -> None:
        if droppable and self._jobs.qsize() >= BACKLOG:
            self.left_out += 1
        else:
            self._jobs.put(job)

    def end(self, *, failed: bool) -> None:
        self._jobs.put(partial(self.tracker.end, failed=failed))
        self._jobs.put(None)

    def run(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                job()
        except BaseException as error:  # SystemExit as well: nothing that a library does may reach the run
            self.trouble = error
            with suppress(BaseException):
                self.tracker.end(failed=True)


def _log(tracker: Tracker, make: Callable[[Line], dict[str, float]], line: Line, step: int) -> None:
    tracker.log(make(line), step)


def _note(tracker: Tracker, finding: Finding, step: int) -> None:
    tracker.note(f"findings/{finding.code}", finding.as_line(f"step {step}"), step)


def settings_of(plan: Plan, **more: str | float) -> Settings:
    """What a run is made with, by dotted key: every value of its recipe, and the lengths in steps that follow."""
    counts = {name: getattr(plan, name) for name in ("total_steps", "warmup_steps", "frames_per_epoch", "lr_end")}
    found = {**values_of(plan.recipe), **counts, **more}
    return {key: value if isinstance(value, str | int | float) else str(value) for key, value in found.items()}


def of_step(line: Line) -> dict[str, float]:
    """The numbers to track of a step; names of which `dpdrun diagnose` knows the meaning."""
    return {f"train/{name}": float(line[name]) for name in OF_STEP}


def of_evaluation(line: Line) -> dict[str, float]:
    """The scores of a line; no best score where none counts yet."""
    found = {key: value for key, value in line.items() if key not in NO_SCORE and isinstance(value, int | float)}
    if found.get("best_db", 0.0) > POWER_GATE_PENALTY_DB / 2:
        del found["best_db"]
    return {f"val/{key.removeprefix('val_')}": float(value) for key, value in found.items()}


def of_finish(line: Line) -> dict[str, float]:
    """The scores of a line of `optim.refine`, and how its solver does."""
    return {f"finish/{name}": float(line[name]) for name in OF_SOLVER} | of_evaluation(line)


def of_report(report: Line) -> dict[str, float]:
    """The scores on the test part, those of linearity too."""
    scores = report["splits"].get("test", {})
    found = {**(scores.get("linearity") or {}), **scores}
    return {
        f"test/{key}": float(value)
        for key, value in found.items()
        if key.endswith(UNITS) and isinstance(value, int | float)
    }
