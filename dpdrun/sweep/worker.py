"""A worker: a long-lived process that pulls trials from a sweep until none is left.

It imports torch once, reads a capture once and fits the baselines of its scores once. A trial is trained by the same
job as any run, in its own folder, so another worker continues the trial of a killed one from its checkpoint.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from dpdrun.data.sources import captures_kept
from dpdrun.errors import (
    EXIT_FINDINGS,
    DpdrunError,
    FindingError,
    StoppedError,
    UnwritableError,
    explained,
)
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_text
from dpdrun.run.heartbeat import last_beat
from dpdrun.sweep.document import Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.journal import DECIDED, MOST_LOSSES, Transaction, TrialState
from dpdrun.sweep.points import LeftOut, Trial
from dpdrun.sweep.prune import PrunedError, on_finding, pruning
from dpdrun.sweep.results import Results, compact
from dpdrun.sweep.search import next_points, require_search
from dpdrun.training import job
from dpdrun.training.guard import stopping
from dpdrun.training.job import Job
from dpdrun.training.resume import should_resume
from dpdrun.training.telemetry import Monitor

WAIT_S = 0.5  # between two checks for a trial, while others run the last ones
Say = Callable[[str], None]


def work(folder: SweepFolder, say: Say) -> None:
    """Run trials until all of the sweep are decided.

    Args:
        folder: of a sweep that was begun.
        say: gets a line for each trial.

    Raises:
        StoppedError, KeyboardInterrupt: SIGTERM or Ctrl-C; the trial has a checkpoint and was given back.
        UnwritableError: the folder cannot be written; the trial was given back where that could be written.
    """
    sweep = folder.load()
    require_search(sweep)
    results = Results(folder, sweep)
    with stopping(lambda: "between two trials"), folder.presence.alive(), captures_kept():
        while True:
            claimed, is_over = _claim(folder, sweep, results)
            if claimed is not None:
                _run(folder, sweep, claimed, say)
            elif is_over:
                return
            else:
                time.sleep(WAIT_S * (0.5 + random.random()))


def _claim(folder: SweepFolder, sweep: Sweep, results: Results) -> tuple[Trial | None, bool]:
    """Take the next trial; returns it, and whether the sweep is over."""
    with folder.journal.transaction() as now:
        give_back_lost(folder, now)
        waiting = _next(now)
        if waiting is None:
            for found in next_points(sweep, now.state, results):
                if isinstance(found, LeftOut):
                    now.add("left_out", config=found.config, reason=found.reason)
                else:
                    now.add("point", point=found.to_json())
            waiting = _next(now)
        if waiting is None:
            return None, now.state.count("running") == 0
        now.add("claim", id=waiting.trial.id, worker=folder.presence.name)
        return waiting.trial, False


def _next(now: Transaction) -> TrialState | None:
    return next((each for each in now.state.trials.values() if each.status == "pending"), None)


def give_back_lost(folder: SweepFolder, now: Transaction) -> None:
    """Release the trials of workers that have ended."""
    lost = dict[str, bool]()
    for trial_id, state in now.state.trials.items():
        if state.status != "running":
            continue
        if state.worker not in lost:
            lost[state.worker] = folder.presence.is_lost(state.worker)
        if not lost[state.worker]:
            continue
        beat = last_beat(folder.run(trial_id))
        spent = max(0.0, (state.since if beat is None else beat.time) - state.since)
        now.add("lost", id=trial_id, worker=state.worker, step=0 if beat is None else beat.step, core_seconds=spent)
        if state.losses >= MOST_LOSSES:
            reason = f"{state.losses} workers ended at step {state.step} of it; is there enough memory?"
            now.add("failed", id=trial_id, worker=state.worker, reason=reason)
    for name, is_gone in lost.items():
        if is_gone:
            folder.presence.forget(name)


def _run(folder: SweepFolder, sweep: Sweep, trial: Trial, say: Say) -> None:
    """Train a trial and write what became of it."""
    began, run = time.perf_counter(), folder.run(trial.id)
    loaded = load_text(sweep.base.text, sweep.base.path, [*sweep.base.overrides, *trial.overrides])
    loaded = load_text(loaded.text, loaded.path, [*loaded.overrides, *on_finding(sweep, loaded.recipe)])
    outcome: dict[str, Any] = {"event": "given back"}
    threads = 1

    def watch(this: Job) -> AbstractContextManager[Monitor]:
        nonlocal threads
        threads = int(this.plan.recipe.train.threads)
        return pruning(folder, sweep, trial, this.plan)

    try:
        if run.path.exists() and not should_resume(run):
            run.remove()  # a worker was killed before its first checkpoint: nothing is lost
        report = job.train(loaded, run.path, resume="auto", watch=watch, splits=("val",))
        outcome = {"event": "finished", "report": compact(report)}
        say(f"{trial.id}: finished after {report['seconds']:.1f} s")
    except PrunedError as error:
        outcome = {"event": "pruned", "reason": str(error)}
    except FindingError as error:
        outcome = {"event": "pruned", "reason": _reason(error)}
    except (StoppedError, KeyboardInterrupt, UnwritableError):
        raise
    except DpdrunError as error:
        if isinstance(error.__cause__, UnwritableError):  # with the command that continues this run, not the sweep
            raise error.__cause__ from None
        if run.is_locked():  # another process trains in it after all: leave it to that one
            time.sleep(WAIT_S)
        else:
            outcome = {"event": "failed", "reason": _reason(error)}
    except (Exception, SystemExit) as error:  # the latter: of a plug-in
        shown = explained(error) or plugins.blamed(error)
        if shown is None:
            raise
        outcome = {"event": "failed", "reason": _reason(shown)}
    finally:
        _end(folder, trial, outcome, threads * (time.perf_counter() - began))
    if reason := outcome.get("reason"):
        say(f"{trial.id}: {outcome['event']}: {reason}")


def _end(folder: SweepFolder, trial: Trial, outcome: dict[str, Any], core_seconds: float) -> None:
    """Write the end of a claim, unless another worker has claimed the trial meanwhile."""
    name = folder.presence.name
    with folder.journal.transaction() as now:
        state = now.state.trials[trial.id]
        if state.status in DECIDED or state.worker != name:
            return
        now.add(**outcome, id=trial.id, worker=name, core_seconds=round(core_seconds, 3))


def _reason(error: DpdrunError) -> str:
    """Return the first line of a message, without the name of the run that it begins with."""
    text = str(error).partition("\n")[0]
    return text.partition("train.on_finding: stop: ")[2] or text if error.exit_code == EXIT_FINDINGS else text
