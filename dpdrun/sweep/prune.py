"""End trials early: by their findings, or against other trials at the same optimizer step.

Findings of severity error end a trial by `train.on_finding: stop`, which every trial has unless `prune: off`. `median`
and `halving` compare the best validation score so far at a few steps, the rungs, with those of the trials that reached
the same step before. The trials of point 0 always run to their end: all others are compared with them.

Sources: median rule: Golovin et al. 2017 (doi.org/10.1145/3097983.3098043); successive halving without waiting for
other trials: Li et al. 2020 (arxiv.org/abs/1810.05934).
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from statistics import median
from typing import Any

from dpdrun.errors import DpdrunError
from dpdrun.plan.plan import Plan
from dpdrun.recipe.schema import Recipe
from dpdrun.sweep.document import Prune, Sweep
from dpdrun.sweep.folder import SweepFolder
from dpdrun.sweep.points import Trial
from dpdrun.training.telemetry import Monitor, Silent

SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the steps, where trials are compared
LEAST_OTHERS = 4  # trials at a rung before one is pruned there
KEPT = 1 / 2  # of the trials at a rung, by halving


class PrunedError(DpdrunError):
    """A trial is worse than others were at the same step; the message says by how much."""


def pruning(folder: SweepFolder, sweep: Sweep, trial: Trial, plan: Plan) -> AbstractContextManager[Monitor]:
    """Return the monitor that raises PrunedError where a trial is to end.

    Args:
        folder: of the sweep.
        sweep: with the rule to prune by.
        trial: that is run.
        plan: of the trial.
    """
    points = folder.journal.read().points
    of_rules = any(trial.id == each.id for point in points if point.is_rules for each in point.trials)
    if sweep.prune not in ("median", "halving") or of_rules or not plan.total_steps:
        return nullcontext(Silent())
    return nullcontext(_Pruning(folder, trial.id, sweep.prune, rungs_of(plan)))


def on_finding(sweep: Sweep, recipe: Recipe) -> tuple[str, ...]:
    """Return the override by which a finding of severity error ends a trial; it decides no weight of one that ends.

    Args:
        sweep: that the trial belongs to.
        recipe: of the trial; a gmp has no steps, and so no findings during them.
    """
    keeps = sweep.prune == "off" or recipe.train.on_finding == "adapt" or recipe.model.kind == "gmp"
    return () if keeps else ("train.on_finding=stop",)


def rungs_of(plan: Plan) -> list[int]:
    """Return the steps where a trial is compared: the first validations at or after each share of its steps."""
    every = plan.eval_every
    steps = (math.ceil(share * plan.total_steps / every) * every for share in SHARES)
    return [step for step in dict.fromkeys(steps) if step < plan.total_steps]


class _Pruning(Silent):
    """Compares a trial with the others at its rungs."""

    def __init__(self, folder: SweepFolder, trial_id: str, rule: Prune, rungs: list[int]) -> None:
        self._folder, self._id, self._rule, self._rungs = folder, trial_id, rule, rungs

    def evaluation(self, line: dict[str, Any]) -> None:
        """Compare at a rung. Raises PrunedError."""
        step, best = line["step"], float(line["best_db"])
        if step not in self._rungs:
            return
        with self._folder.journal.transaction() as now:
            others = [score for id_, score in now.state.rungs.get(step, {}).items() if id_ != self._id]
            now.add("rung", id=self._id, step=step, db=best)
        if reason := verdict(self._rule, best, others):
            raise PrunedError(f"step {step}: {reason}")


def verdict(rule: Prune, best: float, others: list[float]) -> str:
    """Return why a trial is pruned; empty if it continues.

    Args:
        rule: median or halving.
        best: its best validation score so far [dB].
        others: those of other trials at the same step [dB].
    """
    if len(others) < LEAST_OTHERS:
        return ""
    if rule == "median":
        middle = median(others)
        return f"{best:.2f} dB, worse than the median {middle:.2f} dB of {len(others)} trials" if best > middle else ""
    better, kept = sum(other < best for other in others), math.ceil(KEPT * (len(others) + 1))
    return f"{best:.2f} dB, rank {better + 1} of {len(others) + 1} trials" if better >= kept else ""
