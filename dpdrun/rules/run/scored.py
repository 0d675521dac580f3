"""The scores of an evaluation set with the training loss of the same lines: what the EV rules compare."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from dpdrun.rules.engine import Skipped
from dpdrun.rules.facts.run import RunFacts

LEAST_SCORES = 3
LAST = 3


@dataclass(frozen=True)
class Scored:
    """The scores of one evaluation set with the training loss of the lines since the score before.

    Where there is none since then, that of the line before; nan before the first line.
    """

    name: str
    steps: list[int]
    scores: list[float]
    training: list[float]

    @property
    def best(self) -> int:
        """Position of the lowest score."""
        return min(range(len(self.scores)), key=self.scores.__getitem__)

    @property
    def after(self) -> list[float]:
        """The scores after the lowest one."""
        return self.scores[self.best + 1 :]

    @property
    def rise(self) -> float:
        """Mean of the last scores over the lowest one, less 1."""
        low = self.scores[self.best]
        return fmean(self.after[-LAST:]) / low - 1.0 if self.after and low > 0.0 else 0.0

    @property
    def undone(self) -> float:
        """Share of the gain from the first score to the lowest that the last ones lose; inf where there was none."""
        low = self.scores[self.best]
        return self.rise * low / (self.scores[0] - low) if self.scores[0] > low else math.inf

    @property
    def fell_to(self) -> float:
        """Training loss at the end, over that at the lowest score; nan where it is not known."""
        known_ = [
            value for value in self.training[: self.best + 2] if value == value
        ]  # a score before training has none
        at_best = self.training[self.best]
        at_best = at_best if at_best == at_best or not known_ else known_[0]
        return self.training[-1] / at_best if at_best > 0.0 else math.nan

    @property
    def words(self) -> str:
        """What the scores are."""
        return f"validation loss of {self.name}" if self.name else "validation loss"


def scored(run: RunFacts) -> list[Scored]:
    """Return every evaluation set of a run; scores that are not finite or not positive are left out."""
    found = []
    for name, (steps, values) in run.scorings.items():
        pairs = [(s, v) for s, v in zip(steps, values, strict=True) if 0.0 < v < math.inf]
        if pairs:
            at, scores = [s for s, _ in pairs], [v for _, v in pairs]
            found.append(Scored(name, at, scores, training_between(run, at)))
    return found


def training_between(run: RunFacts, at: Sequence[int]) -> list[float]:
    """Return the mean training loss of the lines up to each of some steps; see `Scored`."""
    means = []
    for before, step in pairwise([min(0, at[0]) - 1, *at]):
        start, stop = bisect_right(run.step, before), bisect_right(run.step, step)
        lines = run.loss[start:stop] or run.loss[max(0, stop - 1) : stop] if run.loss else []
        means.append(fmean(lines) if lines else math.nan)
    return means


def worst_set(
    run: RunFacts, is_bad: Callable[[Scored], bool], key: Callable[[Scored], float]
) -> tuple[Scored, str] | Skipped | None:
    """Return the worst of the evaluation sets that are bad and how many are, or why none can be judged."""
    if run.eval_nmse_db:
        return Skipped("EV201 and EV204 judge the validation NMSE")
    sets = scored(run)
    enough = [each for each in sets if len(each.scores) >= LEAST_SCORES]
    if not enough:
        most = max((len(each.scores) for each in sets), default=0)
        return Skipped(f"needs {LEAST_SCORES} validation scores, there are {most}")
    compared = [each for each in enough if each.fell_to == each.fell_to]
    if not compared:
        return Skipped("no training loss between the validation scores")
    bad = [each for each in compared if is_bad(each)]
    if not bad:
        return None
    return max(bad, key=key), f" ({len(bad)} of {len(compared)} evaluation sets)" if len(compared) > 1 else ""
