"""Climb a ladder of trials with the workers of a sweep, as far as the time allows, and keep the best."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from dpdrun.auto.ladder import (
    AROUND_S,
    ITERATIONS_KEY,
    LEAST_ITERATIONS,
    RULES_SHARE,
    STEPS_KEY,
    Trial,
    on_workers,
    trial_seconds,
)
from dpdrun.auto.reading import Reading
from dpdrun.auto.recipes import RULES_STEPS
from dpdrun.auto.tried import Candidate, in_words
from dpdrun.data.sources import captures_kept
from dpdrun.errors import RunError
from dpdrun.plan.cost import MachineSpeed
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.sweep.document import Sweep, load_sweep
from dpdrun.sweep.final import write
from dpdrun.sweep.folder import SweepFolder, begin, retry
from dpdrun.sweep.journal import DECIDED, TrialState
from dpdrun.sweep.points import LeftOut, Planned, plan_point
from dpdrun.sweep.pool import Pool
from dpdrun.sweep.results import Results
from dpdrun.sweep.space import overrides_of
from dpdrun.sweep.worker import give_back_lost
from dpdrun.training.lm.refine import refined_so_far, shorten

TIME_UP = "the time was up; a larger --minutes continues it"
View = Callable[[SweepFolder, Results], AbstractContextManager[Callable[[], None]]]


class _TimeUpError(Exception):
    """The time of a search has passed; its workers write checkpoints."""


@dataclass
class Clock:
    """The time that the trials of this folder have taken, over all calls of the command.

    Attributes:
        before: of earlier calls [s].
        began: of this call.
    """

    before: float
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Return the time so far [s]."""
        return self.before + time.monotonic() - self.began


@dataclass
class Search:
    """One ladder and its sweep folder.

    Attributes:
        base: the recipe that the trials override.
        ladder: the trials, in their order.
        folder: of the sweep.
        reading: the capture.
        pa: `model` section of the PA model after a predistorter; None for PA models.
        speed: of this machine.
        workers: processes at a time.
        slower: measured time over estimated time, of the trials so far.
    """

    base: Loaded
    ladder: Sequence[Trial]
    folder: SweepFolder
    reading: Reading
    pa: Any
    speed: MachineSpeed
    workers: int
    slower: float = 1.0
    _known: dict[str, Any] = field(default_factory=dict)  # what a trial was planned and estimated as

    def seconds(self, trial: Trial) -> float:
        """Return how long a trial takes [s], by what those before have taken."""
        return self.slower * self._estimate(trial)

    def least_seconds(self, trial: Trial) -> float:
        """Return how long a trial takes at least, to be worth its start [s]."""
        return self.seconds(trial.with_value(ITERATIONS_KEY, LEAST_ITERATIONS) if trial.is_refined else trial)

    def needed_seconds(self) -> float:
        """Return the time without which there is no result [s]."""
        return on_workers([self.least_seconds(each) for each in self.ladder if each.is_needed], self.workers)

    def scores_seconds(self) -> float:
        """Return the time of the scores of an interrupted trial that is kept [s]."""
        return self.slower * AROUND_S if any(each.is_refined for each in self.ladder) else 0.0

    def in_words(self, trial: Trial) -> str:
        """Return what tells a trial from the others."""
        overrides = [*self.base.overrides, *overrides_of(trial.texts)]
        return in_words(load_text(self.base.text, self.base.path, overrides).recipe, "up to ")

    def reachable(self, seconds: float) -> list[tuple[Trial, float]]:
        """Return the trials that are begun in a time, each with its own time [s]."""
        found, ends = list[tuple[Trial, float]](), [0.0] * self.workers
        for each in self.ladder:
            first = ends.index(min(ends))
            left = seconds - ends[first]
            trial = self._fitted(each, left)
            if trial is None:
                continue
            least = self.least_seconds(trial)
            if not trial.is_needed and least > left:
                break
            own = max(least, min(self.seconds(trial), left)) if trial.is_refined else self.seconds(trial)
            ends[first] += own
            found.append((trial, own))
        return found

    def climb(self, clock: Clock, until: float, view: View, tick: Callable[[], None]) -> None:
        """Begin trial after trial, as long as the next one is worth its start.

        What the time interrupts has a checkpoint, from which a longer time continues; the best refinement among them is
        kept as far as it came.

        Args:
            clock: of the folder.
            until: end of the time for this ladder [s of the clock].
            view: shows the sweep while it runs.
            tick: called several times a second.

        Raises:
            StoppedError, RunError, KeyboardInterrupt: as `Pool.run`.
            RunError: every trial failed.
        """
        self._measure()
        until -= self.scores_seconds()
        sweep = self._sweep(self.ladder[0])
        if self.folder.journal.exists:
            retry(self.folder, sweep)
        try:
            with captures_kept():
                self._train(clock, until, view, tick)
        finally:
            if self.folder.journal.exists:
                write(self.folder, Results(self.folder, sweep).make(self.folder.journal.read()))
        if not self.candidates():
            reasons = {each.reason for each in self.folder.journal.read().trials.values() if each.reason}
            raise RunError(f"{self.folder.path}: no trial was finished: " + "; ".join(sorted(reasons)))

    def _train(self, clock: Clock, until: float, view: View, tick: Callable[[], None]) -> None:
        """Run trials until the next one does not fit, then keep what is interrupted."""
        while self._waiting() or self._begin_next(until - clock.seconds):
            blocked = False

            def watch() -> None:
                nonlocal blocked
                tick()
                if clock.seconds > until and self._has_result():
                    raise _TimeUpError
                while not blocked and self.workers > self.folder.journal.read().count("pending", "running"):
                    blocked = not self._begin_next(until - clock.seconds)

            try:
                self._run_pool(self.workers, view, watch)
            except _TimeUpError:
                if self._keep_interrupted():
                    self._run_pool(1, view, tick)
                return
            self._measure()

    def _run_pool(self, workers: int, view: View, watch: Callable[[], None]) -> None:
        sweep = self.folder.load()
        with view(self.folder, Results(self.folder, sweep)) as redraw:

            def both() -> None:
                redraw()
                watch()

            Pool(self.folder, workers, sweep.base.recipe.train.device).run(both)

    def _waiting(self) -> bool:
        return self.folder.journal.exists and self.folder.journal.read().count("pending", "running") > 0

    def _begin_next(self, left: float) -> bool:
        """Give the next trial that fits into a time [s] to the workers; returns whether there was one."""
        for each in self.ladder:
            trial = self._fitted(each, left)
            if trial is None:
                continue
            state = self._state_of(trial)
            if state is not None and not _is_interrupted(state):
                continue
            if not (trial.is_needed and state is None) and self.least_seconds(trial) > left:
                return False
            self._begin(trial)
            return True
        return False

    def _fitted(self, trial: Trial, left: float) -> Trial | None:
        """Return a trial as it is, that by the rules with the steps that fit; None where none do, or it was begun."""
        if not trial.is_rules:
            return trial
        for steps in RULES_STEPS:
            shorter = trial.with_value(STEPS_KEY, steps)
            if self.seconds(shorter) <= RULES_SHARE * left:
                return None if steps <= self._steps_by_rules() else shorter
        return None

    def _steps_by_rules(self) -> int:
        """Return the steps of the longest trial by the rules that was begun; 0 where none was."""
        points = self.folder.journal.read().points if self.folder.journal.exists else []
        return max((int(point.values[STEPS_KEY]) for point in points if point.is_rules), default=0)

    def _has_result(self) -> bool:
        """Return whether the time may interrupt: what is needed is finished, or refined far enough to be kept."""
        for trial in (each for each in self.ladder if each.is_needed):
            state = self._state_of(trial)
            if state is None or not (state.status in DECIDED or self._scored(state) >= LEAST_ITERATIONS):
                return False
        return True

    def _scored(self, state: TrialState) -> int:
        run = self.folder.run(state.trial.id)
        return refined_so_far(run).scored if run.refinement.is_file() else 0

    def _keep_interrupted(self) -> bool:
        """Make a trial of the best interrupted refinement, and mark the interrupted ones; returns whether there is one.

        Each is in a state to be continued; the kept one has as many iterations as were scored.
        """
        with self.folder.journal.transaction() as now:
            give_back_lost(self.folder, now)
            waiting = {id_: each for id_, each in now.state.trials.items() if each.status == "pending"}
        refined = [(refined_so_far(run).best_db, id_) for id_, each in waiting.items()
                   if (run := self.folder.run(id_)).refinement.is_file() and self._scored(each)]  # fmt: skip
        finished = [each.score_db for each in self.candidates()]
        kept = min(refined)[1] if refined and min(refined)[0] < min(finished, default=math.inf) else None
        if kept is not None:
            kept = self._shortened(waiting[kept])
        with self.folder.journal.transaction() as now:
            for id_ in waiting:
                if id_ != kept:
                    now.add("pruned", id=id_, reason=TIME_UP, worker="")
        return kept is not None

    def _shortened(self, state: TrialState) -> str:
        """Make a trial of what a refinement has reached, unless it is that already; returns its id."""
        long = next((each for each in self.ladder if self._id(each) == state.trial.id), None)
        if long is None:
            return state.trial.id
        count = self._scored(state)
        short = long.with_value(ITERATIONS_KEY, count)
        if self._state_of(short) is None:
            target = self.folder.run(self._id(short))
            if target.path.exists():  # of a call that was killed here
                target.remove()
            overrides = [*self.base.overrides, *state.trial.overrides, f"{ITERATIONS_KEY}={count}"]
            shorten(self.folder.run(state.trial.id), target, load_text(self.base.text, self.base.path, overrides))
            self._begin(short)
        return self._id(short)

    def _estimate(self, trial: Trial) -> float:
        key = f"seconds {trial.texts}"
        if key not in self._known:
            self._known[key] = trial_seconds(self.base, trial, self.reading, self.pa, self.speed)
        return float(self._known[key])

    def _sweep(self, trial: Trial) -> Sweep:
        return load_sweep(self.base.path, {"over": trial.texts, "seeds": [trial.seed]}, self.base.overrides)

    def _planned(self, trial: Trial) -> tuple[Sweep, Planned]:
        """Return the point of a trial, with the sweep of its seed."""
        key = f"{trial.seed} {trial.texts}"
        if key not in self._known:
            sweep = self._sweep(trial)
            point = plan_point(sweep, trial.texts, is_rules=trial.is_rules)
            if isinstance(point, LeftOut):
                raise RunError(f"{self.base.path}: {point.reason}")
            self._known[key] = sweep, Planned((point,), ())
        sweep, planned = self._known[key]
        return sweep, planned

    def _id(self, trial: Trial) -> str:
        return self._planned(trial)[1].points[0].trials[0].id

    def _state_of(self, trial: Trial) -> TrialState | None:
        id_ = self._id(trial)
        return self.folder.journal.read().trials.get(id_) if self.folder.journal.exists else None

    def _begin(self, trial: Trial) -> None:
        sweep, planned = self._planned(trial)
        begin(self.folder, sweep, planned)
        with self.folder.journal.transaction() as now:
            if _is_interrupted(now.state.trials[self._id(trial)]):
                now.add("retry", id=self._id(trial))

    def _measure(self) -> None:
        """Compare the time of finished trials with the estimates; a least-squares fit says little about the others."""
        ratios = []
        for trial in self.ladder:
            if trial.config.get("model", {}).get("kind") == "gmp" or trial.is_rules or not self.folder.journal.exists:
                continue
            state = self._state_of(trial)
            if state is None:
                break
            if state.status == "finished" and state.core_seconds:
                ratios.append(state.core_seconds / self._estimate(trial))
        if ratios:
            self.slower = median(ratios)

    def candidates(self) -> list[Candidate]:
        """Return the finished trials, the best first."""
        name = "val_nmse_db" if self.base.recipe.task == "pa" else "val_objective_db"
        sweep, state, found = self.folder.load(), self.folder.journal.read(), []
        for point in Results(self.folder, sweep).make(state)["points"]:
            for trial in point["trials"]:
                if (score := trial.get(name)) is None:
                    continue
                overrides = state.trials[trial["id"]].trial.overrides
                loaded = load_text(sweep.base.text, sweep.base.path, [*sweep.base.overrides, *overrides])
                run = self.folder.run(trial["id"])
                found.append(Candidate(run, loaded, loaded.recipe.model.kind, score))
        return sorted(found, key=lambda each: each.score_db)


def _is_interrupted(state: TrialState) -> bool:
    """Return whether the time has ended a trial: it can be continued."""
    return state.status == "pruned" and state.reason == TIME_UP
