"""Experiment tracking: what a monitor gets goes to trackers too, and nothing that they do reaches the run.

Each tracker has its own thread, and training waits for none: one that is slow drops steps, one that fails is switched
off with a message, one that hangs is abandoned at the end. Only rank 0 has trackers.
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
from dpdrun.run.scores import WITH_PAST
from dpdrun.training.process_group import ProcessGroup
from dpdrun.training.telemetry import Monitor, Silent
from dpdrun.training.trackers import TRACKERS, Settings, Tracker

BACKLOG = 1000  # steps that wait for a slow tracker; further ones are dropped
ENDING_S = 30.0  # that trackers may take when the run is done
STOPPING_S = 3.0  # and when it was stopped, as others wait for the end of the process
OF_STEP = ("loss", "lr", "grad_norm", "clipped", "step_s", "data_s")
OF_SOLVER = ("iteration", "loss", "damping", "gain_ratio")
NO_SCORE = ("kind", "step", "seconds", *OF_SOLVER)
UNITS = ("_db", "_dbc", "_percent", "_deg")

Line = Mapping[str, Any]
ValuesOf = Callable[[Line], dict[str, float]]


class Tracking:
    """A monitor that passes everything on to trackers, and to another monitor. A context manager, for one run.

    Args:
        names: of the trackers; those that the run folder shows are added, so that a resumed run stays tracked.
        run: folder of the run.
        settings: of the run, flat.
        group: of the training; only rank 0 has trackers.
    """

    def __init__(self, names: Sequence[str], run: RunFolder, settings: Settings, group: ProcessGroup) -> None:
        earlier = [name for name in TRACKERS if (run.tracking / name).is_dir()]
        names = list(dict.fromkeys([*names, *earlier])) if group.is_rank_zero else []
        self._workers = [_Worker(TRACKERS[name](run, settings)) for name in names]
        self._shown: Monitor = Silent()
        self._has_begun, self._step = False, 0

    def __enter__(self) -> Tracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        deadline = time.monotonic() + (ENDING_S if kind is None else STOPPING_S)
        running = self._workers if self._has_begun else []
        for worker in running:
            worker.end(failed=kind is not None)
        for worker in running:
            worker.join(max(0.0, deadline - time.monotonic()))
        self._remove_failed()
        for worker in self._workers:
            if worker.is_alive():
                self.message(f"{worker.name} has not ended in time and is abandoned; its last values may be missing")
            if worker.dropped:
                self.message(f"{worker.name} could not keep up: {worker.dropped} steps were dropped")

    def with_view(self, shown: Monitor) -> Monitor:
        """Return the monitor to train with, which passes everything on to `shown`."""
        self._shown = shown
        for worker in self._workers:
            shown.message(f"tracked by {worker.name}; to look: {worker.tracker.viewer}")
        return self if self._workers else shown

    def step(self, line: dict[str, Any]) -> None:
        """As `Monitor`; a tracker that is behind drops the step."""
        self._shown.step(line)
        if line["step"] <= self._step:  # train.on_finding: adapt rolled back
            for worker in self._workers:
                worker.do(partial(worker.tracker.back_to, line["step"]))
        self._log(of_step, line, line["step"], droppable=True)

    def evaluation(self, line: dict[str, Any]) -> None:
        """As `Monitor`."""
        self._shown.evaluation(line)
        self._log(of_evaluation, line, line["step"])

    def refinement(self, line: dict[str, Any], iterations: int) -> None:
        """As `Monitor`."""
        self._shown.refinement(line, iterations)
        self._log(of_refinement, line, line["step"])

    def finding(self, finding: Finding, step: int) -> None:
        """As `Monitor`."""
        self._shown.finding(finding, step)
        self._begin(None)
        for worker in self._workers:
            name, text = f"findings/{finding.code}", finding.as_line(f"step {step}")
            worker.do(partial(worker.tracker.note, name, text, step))

    def message(self, text: str) -> None:
        """Show a message; it is not tracked."""
        self._shown.message(text)

    def report(self, report: Line) -> None:
        """Log the scores on the test split of a run that is done."""
        self._begin(None)
        self._log(of_report, report, max(self._step, report["steps"]))

    def _log(self, values_of_line: ValuesOf, line: Line, step: int, *, droppable: bool = False) -> None:
        self._begin(step)
        self._step = step
        for worker in self._workers:
            worker.do(partial(worker.log, values_of_line, line, step), droppable=droppable)
        self._remove_failed()

    def _begin(self, step: int | None) -> None:
        """Start the trackers at the first call: the run is known to be good then, and Accelerate to be set up."""
        if self._has_begun or not self._workers:
            return
        self._has_begun = True
        with suppress(Exception):  # a tracker that misses it reports that
            from accelerate.state import PartialState

            PartialState()  # training in several processes has made it, one process has not
        for worker in self._workers:
            worker.do(partial(worker.tracker.begin, step))
            worker.start()

    def _remove_failed(self) -> None:
        for worker in [each for each in self._workers if each.error is not None]:
            self._workers.remove(worker)
            reason = f"{type(worker.error).__name__}: {worker.error}".splitlines()[0]
            self.message(f"{worker.name} is switched off, the run continues without it: {reason[:300]}")


class _Worker(Thread):
    """The thread of one tracker: runs its calls in order, until one fails."""

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(name=tracker.name, daemon=True)
        self.tracker = tracker
        self.error: BaseException | None = None
        self.dropped = 0
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def do(self, call: Callable[[], None], *, droppable: bool = False) -> None:
        if droppable and self._calls.qsize() >= BACKLOG:
            self.dropped += 1
        else:
            self._calls.put(call)

    def log(self, values_of_line: ValuesOf, line: Line, step: int) -> None:
        self.tracker.log(values_of_line(line), step)

    def end(self, *, failed: bool) -> None:
        self._calls.put(partial(self.tracker.end, failed=failed))
        self._calls.put(None)

    def run(self) -> None:
        try:
            while (call := self._calls.get()) is not None:
                call()
        except BaseException as error:  # SystemExit as well: nothing that a library does may reach the run
            self.error = error
            with suppress(BaseException):
                self.tracker.end(failed=True)


def settings_of(plan: Plan, **more: str | float) -> Settings:
    """Return the settings of a run by dotted key: every value of its recipe, and the lengths in steps that follow."""
    counts = {name: getattr(plan, name) for name in ("total_steps", "warmup_steps", "frames_per_epoch", "lr_end")}
    values = {**values_of(plan.recipe), **counts, **more}
    return {key: value if isinstance(value, str | int | float) else str(value) for key, value in values.items()}


def of_step(line: Line) -> dict[str, float]:
    """Return the numbers to track of a step, under names of which `dpdrun diagnose` knows the meaning."""
    return {f"train/{name}": float(line[name]) for name in OF_STEP}


def of_evaluation(line: Line) -> dict[str, float]:
    """Return the scores of a line; no best score where none counts yet."""
    scores = {key: value for key, value in line.items() if key not in NO_SCORE and isinstance(value, int | float)}
    if scores.get("best_db", 0.0) > POWER_GATE_PENALTY_DB / 2:
        del scores["best_db"]
    return {f"val/{key.removeprefix('val_')}": float(value) for key, value in scores.items()}


def of_refinement(line: Line) -> dict[str, float]:
    """Return the scores of a line of `optim.refine`, and the numbers of its solver."""
    return {f"finish/{name}": float(line[name]) for name in OF_SOLVER} | of_evaluation(line)


def of_report(report: Line) -> dict[str, float]:
    """Return the scores on the test split, those of linearity too."""
    test = report["splits"].get("test", {})
    past = {"nmse_with_past_db": (test.get(WITH_PAST) or {}).get("nmse_db")}
    scores = {**(test.get("linearity") or {}), **test, **past}
    return {
        f"test/{key}": float(value)
        for key, value in scores.items()
        if key.endswith(UNITS) and isinstance(value, int | float)
    }
