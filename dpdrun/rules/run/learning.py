"""LS: whether a run learned anything, or memorised its training set; from the loss alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from dpdrun.rules.declare import Family, finding, info, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.guessing import COIN, guess_at
from dpdrun.rules.run.constant_answer import constant_answer, same_number, says_the_larger_class, starts_still
from dpdrun.rules.series import noise
from dpdrun.rules.statistics import decimate, trend

LEAST_LINES = 8
MOVED = 0.03  # of the first level, up or down
QUIET = 0.05  # spread over level of the last third; at a guess the output is constant: up to 3 % in ten such logs
KNOWN_TO = 0.006  # error of a level that can be distinguished from others
QUIET_AT_GUESS = 0.15  # where batches are small
SURE = 3.0  # standard errors between two levels
CREEPS = 0.005  # of the level, with CREEPS_P: a slow fall is learning
CREEPS_P = 0.01
BLOCKS = 8
ENOUGH = 30  # lines from which a flat loss alone is a warning
EARLY = 0.3  # of the plan
SETTLED_FROM = 5  # the first fifth may be that of a poor initialisation
STARTS_NEAR = 1.5  # times the guess
STARTS_FAR = 3.0  # where the level is as quiet as VERY_QUIET
VERY_QUIET = 0.01
COIN_WITHIN = 0.002  # of a level that a quiet loss comes down to
COIN_MOVES = 0.02
FALLS_Z, FALLS_MOST = 2.0, 0.08
TINY_LR = 1e-6  # at which a constant rate has hardly left its warmup
SCORES_FLAT = 0.01
LEAST_SCORES = 3
MANY_SCORES = 20  # of a validation, from the first on
IMPROVES, IMPROVES_DB = 0.05, 1.0
NOTHING_DB = -1.0  # validation NMSE of predicting about zero

MEMORISED = 0.05  # of the first level
MANY_EPOCHS = 5.0

finite = Family(where=used("eval_losses", "eval_metrics", "grad_norm", "total_steps"), requires=("LS201",))


@dataclass(frozen=True)
class Flat:
    """A loss, or a series of scores, that stays where it is: its level, and the error of that."""

    level: float
    error: float
    moved: float
    n: int


def flat(values: Sequence[float], quiet: float) -> Flat | None:
    """Return a series that neither moved nor moves; None where it did, or is too restless to tell.

    Its first tenth and its last third differ by less than 3 %, and by less than 3 standard errors or 1 %; its last
    third spreads by less than `quiet` of its level, and the means of eight stretches do not fall one after the other.
    """
    n = len(values)
    head, tail = values[: max(2, n // 10)], values[-max(3, n // 3) :]
    first, last = fmean(head), fmean(tail)
    spread = stdev(tail)
    if first <= 0.0 or last <= 0.0 or spread >= quiet * last:
        return None
    moved = last / first - 1.0
    if abs(moved) >= MOVED:
        return None
    stretches = decimate(values, BLOCKS)
    seen = trend(stretches)
    if seen.p_down < CREEPS_P and seen.change < -CREEPS * first:
        return None
    return Flat(fmean(values), stdev(values) / math.sqrt(n), moved, n)


@finite.diagnose(
    "LS204", evidence="assumed", where=known("loss", "step"), requires=("DM201", "SC202", "LS209"),
    source="the loss of a constant guess: ln K for K classes, the variance for a mean square; limits from public logs",
    fires=dict(loss=math.log(4), spread=0.02, loss_unit="nats"), silent=dict(spread=0.02),
)  # fmt: skip
def never_learns(run: RunFacts) -> Verdict:
    """The loss is where it began, or where a constant guess is.

    ## Why
    A network that learns nothing still has a loss that goes up and down with its batches. Reported if the first tenth
    and the last third of the lines differ by less than 3 %, the last third is quiet (5 % of its level; 15 % at the
    value of a guess), and the means of eight stretches do not fall one after the other (Mann-Kendall, p below 0.01).
    This is an error where the loss stays at the value of a constant guess: ln K for K classes, 1 for a standardised
    target, 0 dB of validation NMSE, or where the gradient is zero. Else it is a warning, and info for fewer than 30
    lines without another sign: scores that differ by less than 1 %, an accuracy that is the same number each time, a
    loss that is the same to its last digit (three or more) in six lines, or one that from the first line on moves by
    less than 0.5 % and spreads by less than 1 %. A cross-entropy that falls is a warning too where every accuracy stays
    within 0.5 % of one number and the loss is not below the entropy of an answer that is right so often: the network
    says the most frequent class. So is a validation loss of twenty scores that stays within 3 % of the first, in the
    same way, next to a training loss that falls by less than 5 % after the first fifth of the lines.

    ## Known limits
    Some networks learn late, after a long plateau (grokking; a physics-informed loss); a fine-tuned network may
    start at its floor. Silent where the validation improves by 5 %. Noise of more than 5 % hides a flat loss, so
    the absence of this finding means little then. Skipped in the first 30 % of a run, and where the level of the
    loss says nothing (reinforcement learning, GAN).
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    losses = [value for value in run.loss if math.isfinite(value)]
    same = same_number(losses)
    if len(losses) < LEAST_LINES and not same:
        return Skipped(f"needs {LEAST_LINES} lines with a loss, there are {len(losses)}")
    progress = run.progress
    if progress is not None and progress < EARLY and not same:
        return Skipped(f"the run is {progress:.0%} done; checked from {EARLY:.0%} on")
    if majority := says_the_larger_class(run, losses):
        return majority
    seen = flat(losses, QUIET_AT_GUESS)
    guess = _guess(run, seen, losses)
    constant = same or constant_answer(run)
    if guess is None and not constant and _validation_improves(run):
        return None
    signs = _signs(run)
    if seen is not None and starts_still(run, losses):
        signs.append("it has not moved since the first line")
    if constant and constant.partition(" is ")[0] not in {sign.partition(" is ")[0] for sign in signs}:
        signs.append(constant)
    settled = losses[len(losses) // SETTLED_FROM :]
    if guess is None and (seen is None or flat(losses, QUIET) is None):
        seen = (flat(settled, QUIET) or _no_gain(losses)) if constant else None
    elif seen is None:
        seen = flat(settled, QUIET_AT_GUESS) or flat(losses[-len(losses) // 3 :], QUIET)
    if seen is None:
        return _validation_stays(run, settled)
    severe = guess is not None
    few = not signs and seen.n < ENOUGH
    at_guess = f", which is {guess}" if guess else ""
    what = "is where it began" if seen.n == len(losses) else "does not fall"
    named = "".join(f"; {sign}" for sign in signs)
    return finding(
        "error" if severe else "info" if few else "warning",
        f"the loss {what}: {fmean(losses[:2]):.4g} in the first lines, {seen.level:.4g} at the end "
        f"({seen.moved:+.1%} over the last {seen.n} lines){at_guess}{named}",
        value=abs(seen.moved), threshold=MOVED, n=seen.n, level=seen.level, step=run.step[0],
        advice="overfit a single batch first: if that fails too, the labels, the mask of the loss or the gradient are "
        "at fault, not the learning rate; then try a higher learning rate",
    )  # fmt: skip


def _guess(run: RunFacts, seen: Flat | None, losses: Sequence[float]) -> str | None:
    """Return which constant guess costs what the loss or the scores stay at."""
    scores = [value for _, value in run.scores_db] if run.eval_nmse_db else []
    if seen and len(scores) >= LEAST_SCORES and min(scores) > NOTHING_DB:
        return f"a validation NMSE of {min(scores):.1f} dB at best, that of predicting nothing"
    if seen and run.loss_is_nmse:
        return None
    for _, values in run.scorings.values():
        finite_scores = [value for value in values if math.isfinite(value)]
        if len(finite_scores) >= LEAST_SCORES and _spread(finite_scores) < SCORES_FLAT:
            guess = guess_at(median(finite_scores), 0.0, run.loss_unit)
            if guess and (seen or abs(fmean(losses[-3:]) / median(finite_scores) - 1.0) < MOVED):
                return guess
    settled = losses[len(losses) // SETTLED_FROM :]
    if coin := _comes_down_to_a_coin(run, losses):
        return coin
    rest = seen or (flat(settled, QUIET) if len(settled) >= ENOUGH else None)
    if rest is not None and rest.error > KNOWN_TO * rest.level:
        return None
    guess = guess_at(rest.level, rest.error, run.loss_unit) if rest else None
    if rest is None or guess is None:
        return None
    quiet = flat(settled[len(settled) // 2 :], VERY_QUIET) is not None
    return guess if fmean(losses[:2]) <= (STARTS_FAR if quiet else STARTS_NEAR) * rest.level else None


def _validation_stays(run: RunFacts, settled: Sequence[float]) -> Verdict:
    """Return the finding of a validation loss that is where its first score was, next to a loss that hardly falls."""
    start, end = fmean(settled[:2]), fmean(settled[-3:])
    for name, (steps, values) in run.scorings.items():
        long = len(values) >= MANY_SCORES and all(0.0 < value < math.inf for value in values)
        still = flat(values, QUIET) if long and steps[0] <= 2 * (steps[1] - steps[0]) else None
        if still is None or end < (1.0 - IMPROVES) * start or min(values) < (1.0 - MOVED) * values[0]:
            continue
        of = f" of {name}" if name else ""
        return warning(
            f"the validation loss{of} is where it began: {values[0]:.4g} at first, {still.level:.4g} in the mean of "
            f"{still.n} scores; the training loss goes from {start:.4g} to {end:.4g}",
            value=abs(still.moved), threshold=MOVED, n=still.n, level=still.level, step=steps[0],
            advice="overfit a single batch first; if that works, nothing that was learned carries over: check that "
            "the validation has the same features and targets as the training set",
        )  # fmt: skip
    return None


def _validation_improves(run: RunFacts) -> bool:
    """Return whether a validation score is clearly better at the end: what was learned shows there."""
    if run.eval_nmse_db and len(scores := [value for _, value in run.scores_db]) >= LEAST_SCORES:
        return fmean(scores[-2:]) <= scores[0] - IMPROVES_DB
    series = [[value for value in values if math.isfinite(value)] for _, values in run.scorings.values()]
    return any(len(each) >= LEAST_SCORES and fmean(each[-2:]) <= (1.0 - IMPROVES) * each[0] for each in series)


def _no_gain(losses: Sequence[float]) -> Flat | None:
    """Return a loss whose last third is not below its first fifth by more than noise, and hardly at all."""
    n = len(losses)
    start, tail = losses[: max(2, n // SETTLED_FROM)], losses[-max(3, n // 3) :]
    level, single = fmean(tail), noise(losses)
    fall = min(fmean(start), max(start[1:])) - level
    error = single * math.sqrt(1.0 / len(start) + 1.0 / len(tail))
    if fall > min(FALLS_Z * error, FALLS_MOST * level) and level < min(start):
        return None
    return Flat(level, single / math.sqrt(len(tail)), -fall / level, n)


def _comes_down_to_a_coin(run: RunFacts, losses: Sequence[float]) -> str | None:
    """Return the guess between two answers that a quiet loss ends at, to within 0.2 %, however it came down to it."""
    last, third = losses[-max(5, len(losses) // 10) :], losses[-len(losses) // 3 :]
    level = fmean(last)
    still = max(last) - min(last) <= COIN_WITHIN * level and max(third) - min(third) <= COIN_MOVES * level
    far = fmean(losses[:2]) > STARTS_FAR * level
    if len(losses) < ENOUGH or far or not still or run.loss_in_db:
        return None
    guesses = (COIN, math.log(2.0)) if run.loss_unit is None else (math.log(2.0),) if run.loss_unit == "nats" else ()
    return (
        guess_at(level, 0.0, run.loss_unit) if any(abs(level / each - 1.0) <= COIN_WITHIN for each in guesses) else None
    )


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) - 1.0 if min(values) > 0.0 else math.inf


def _signs(run: RunFacts) -> list[str]:
    """Return what else says that nothing was learned."""
    signs = []
    for name, (_, values) in run.scorings.items():
        finite_scores = [value for value in values if math.isfinite(value)]
        if len(finite_scores) >= LEAST_SCORES and _spread(finite_scores) < SCORES_FLAT:
            of = f" of {name}" if name else ""
            low, high = min(finite_scores), max(finite_scores)
            signs.append(f"the validation loss{of} stays within {low:.4g} to {high:.4g}")
    if run.lr and 0.0 < max(run.lr) <= TINY_LR and max(run.lr) == min(run.lr):
        signs.append(f"the learning rate stays at {run.lr[0]:.2g}")
    for name, (_, values) in run.eval_metrics.items():
        if len(values) >= LEAST_SCORES and len(set(values)) == 1:
            signs.append(f"{name} is {values[0]:.4g} each time")
    return signs


@finite.diagnose(
    "LS208", source="a loss far below any plausible error of new data; limits from public logs", evidence="assumed",
    where=known("loss", "step"),
    fires=dict(loss=lambda t: 3.0 * 10 ** (-3 * t), loss_unit="nats", epochs=50.0),
    silent=dict(loss=lambda t: 3.0 * 10 ** (-0.3 * t), loss_unit="nats", epochs=50.0),
)  # fmt: skip
def memorised_training_set(run: RunFacts) -> Verdict:
    """A cross-entropy falls to almost nothing over several epochs, and no validation shows whether that is of use.

    ## Why
    A cross-entropy of a twentieth of its start means that nearly every answer of the training set is given with
    certainty. Where examples are seen several times, the usual reason is that they are memorised. Neither a higher
    rate nor a longer run is advised then (LR201 is skipped).

    ## Known limits
    Info only: extraction, translation and speech recognition reach such a loss honestly. Not for mean squares, which
    have no such floor, and not where there is a validation: EV205 and EV206 compare with it.
    """
    if run.loss_in_db or run.loss_unit == "objective":
        return Skipped("this is no cross-entropy")
    if run.scorings or run.eval_nmse_db:
        return Skipped("there is a validation to compare with")
    losses = [value for value in run.loss if math.isfinite(value)]
    if len(losses) < LEAST_LINES:
        return Skipped(f"needs {LEAST_LINES} lines with a loss, there are {len(losses)}")
    if run.epochs is not None and run.epochs < MANY_EPOCHS:
        return None
    start, end = fmean(losses[: max(2, len(losses) // 10)]), fmean(losses[-max(3, len(losses) // 20) :])
    if not 0.0 < end <= MEMORISED * start:
        return None
    return info(
        f"the training loss falls from {start:.3g} to {end:.2g}, {end / start:.1%} of its start, and there is no "
        "validation",
        value=end / start, threshold=MEMORISED, n=len(losses),
        advice="score held-out samples during training; more epochs, or a higher learning rate, would only sharpen "
        "what has been memorised",
    )  # fmt: skip
