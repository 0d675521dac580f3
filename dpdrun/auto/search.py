"""Climb a ladder of trials with the workers of a sweep, as far as the time allows, and keep the best."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from dpdrun.auto.ladder import Rung, Trial, rung_seconds, trial_seconds
from dpdrun.auto.product import Product
from dpdrun.auto.reading import Reading
from dpdrun.data.sources import captures_kept
from dpdrun.errors import RunError
from dpdrun.plan.cost import MachineSpeed
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.schema import Recipe
from dpdrun.run.files import Json, unwritable
from dpdrun.run.folder import RunFolder
from dpdrun.sweep.document import Sweep, load_sweep
from dpdrun.sweep.final import write
from dpdrun.sweep.folder import SweepFolder, begin, retry
from dpdrun.sweep.journal import DECIDED
from dpdrun.sweep.points import LeftOut, Planned, plan_point
from dpdrun.sweep.pool import Pool
from dpdrun.sweep.results import Results
from dpdrun.training.resume import archive

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


@dataclass(frozen=True)
class Candidate:
    """A finished trial, with what it is chosen by: the validation score, in dB."""

    run: RunFolder
    loaded: Loaded
    kind: str
    score_db: float


@dataclass
class Search:
    """One ladder and its sweep folder.

    Attributes:
        base: the recipe that the trials override.
        rungs: the ladder.
        folder: of the sweep.
        reading: the capture.
        pa: `model` section of the PA model after a predistorter; None for PA models.
        speed: of this machine.
        workers: processes at a time.
    """

    base: Loaded
    rungs: Sequence[Rung]
    folder: SweepFolder
    reading: Reading
    pa: Any
    speed: MachineSpeed
    workers: int
    _slower: float = 1.0  # measured time over estimated time, of the trials so far

    def seconds(self, rung: Rung) -> float:
        """Return how long the trials of a rung take [s], by what those before have taken."""
        return self._slower * rung_seconds([self._estimate(trial) for trial in rung], self.workers)

    def _estimate(self, trial: Trial) -> float:
        return trial_seconds(self.base, trial, self.reading, self.pa, self.speed)

    def reachable(self, seconds: float) -> int:
        """Return how many rungs fit into a time; at least one."""
        count, total = 0, 0.0
        for rung in self.rungs:
            total += self.seconds(rung)
            if count and total > seconds:
                break
            count += 1
        return count

    def climb(self, clock: Clock, until: float, view: View, tick: Callable[[], None]) -> None:
        """Train rung after rung, until the next one would not be finished in time.

        The first rung is always finished. What is interrupted has a checkpoint, and continues in a longer time.

        Args:
            clock: of the folder.
            until: end of the time for this ladder [s of the clock].
            view: shows the sweep while it runs.
            tick: called several times a second.

        Raises:
            StoppedError, RunError, KeyboardInterrupt: as `Pool.run`.
            RunError: every trial failed.
        """
        for number, rung in enumerate(self.rungs):
            left = until - clock.seconds
            if self._is_decided(rung):
                continue
            if number and self.seconds(rung) > left:
                break
            self._train(rung, None if number == 0 else until, clock, view, tick)
            self._measure(rung)
        if not self.candidates():
            reasons = {each.reason for each in self.folder.journal.read().trials.values() if each.reason}
            raise RunError(f"{self.folder.path}: no trial was finished: " + "; ".join(sorted(reasons)))

    def _sweep(self, trial: Trial) -> Sweep:
        return load_sweep(self.base.path, {"over": trial.texts, "seeds": [trial.seed]}, self.base.overrides)

    def _planned(self, rung: Rung) -> Iterator[tuple[Sweep, Planned]]:
        """Yield the points of a rung, each with the sweep of its seed."""
        for trial in rung:
            sweep = self._sweep(trial)
            point = plan_point(sweep, trial.texts, is_rules=rung is self.rungs[0] and trial is rung[0])
            if isinstance(point, LeftOut):
                raise RunError(f"{self.base.path}: {point.reason}")
            yield sweep, Planned((point,), ())

    def _is_decided(self, rung: Rung) -> bool:
        state = self.folder.journal.read()
        for _, planned in self._planned(rung):
            known = state.trials.get(planned.points[0].trials[0].id)
            if known is None or known.status not in DECIDED:
                return False
        return True

    def _train(self, rung: Rung, until: float | None, clock: Clock, view: View, tick: Callable[[], None]) -> None:
        sweep = None
        with captures_kept():
            for sweep, planned in self._planned(rung):
                begin(self.folder, sweep, planned)
        assert sweep is not None
        retry(self.folder, sweep)
        results = Results(self.folder, sweep)
        try:
            with view(self.folder, results) as redraw:

                def watch() -> None:
                    redraw()
                    tick()
                    if until is not None and clock.seconds > until:
                        raise _TimeUpError

                Pool(self.folder, min(self.workers, len(rung)), sweep.base.recipe.train.device).run(watch)
        except _TimeUpError:
            pass
        finally:
            write(self.folder, results.make(self.folder.journal.read()))

    def _measure(self, rung: Rung) -> None:
        """Compare the time of finished trials with the estimates."""
        state, ratios = self.folder.journal.read(), []
        for trial, (_, planned) in zip(rung, self._planned(rung), strict=True):
            known = state.trials.get(planned.points[0].trials[0].id)
            if known is not None and known.status == "finished" and known.core_seconds:
                ratios.append(known.core_seconds / self._estimate(trial))
        if ratios:
            self._slower = median(ratios)

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


def search_folder(product: Product, name: str) -> SweepFolder:
    """Return the folder of a search."""
    return SweepFolder(product.searches / name)


def trials_of(folder: SweepFolder) -> list[Json]:
    """Return a row for each trial of a search: what, score [dB], time [s], status; the best first."""
    sweep, state = folder.load(), folder.journal.read()
    content, rows = Results(folder, sweep).make(state), list[Json]()
    name = content["objectives"][0]
    for trial in (trial for point in content["points"] for trial in point["trials"]):
        known = state.trials[trial["id"]]
        overrides = [*sweep.base.overrides, *known.trial.overrides]
        what = _in_words(load_text(sweep.base.text, sweep.base.path, overrides).recipe)
        rows.append({"search": folder.path.name, "id": trial["id"], "configuration": what, "seed": trial["seed"],
                     "score": name, "score_db": trial.get(name), "seconds": round(known.core_seconds, 1),
                     "status": trial["status"], "reason": trial["reason"]})  # fmt: skip
    return sorted(rows, key=lambda row: (row["score_db"] is None, row["score_db"] or 0.0))


def _in_words(recipe: Recipe) -> str:
    """Return what tells a trial from the others of its search."""
    if recipe.model.kind == "gmp":
        return "gmp, least squares"
    words = [recipe.model.kind, f"{recipe.train.max_steps:,} steps of AdamW"]
    if recipe.optim.refine == "lm":
        words.append(f"{recipe.optim.refine_iterations:,} iterations of Levenberg-Marquardt")
        words += ["weights over the spectrum"] if recipe.train.loss != "time" else []
        words += ["augmented"] if recipe.dpd.augment == "on" else []
    else:
        words.append("rates by the rules")
    return ", ".join(words)


def keep(candidate: Candidate, product: Product, step: str) -> bool:
    """Copy the run of a trial to the folder of a step; a run of another trial there is renamed to `<step>.old-N`.

    Returns:
        Whether anything was copied.

    Raises:
        RunError: a folder cannot be written.
    """
    target = product.step(step)
    if target.plan.is_file() and target.model.read_bytes() == candidate.run.model.read_bytes():
        return False
    if target.path.exists():
        archive(target)
    temporary = target.path.with_name(f".{step}.partial")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(candidate.run.path, temporary)
        temporary.rename(target.path)
    except OSError as error:
        raise unwritable(target.path, error) from error
    return True
