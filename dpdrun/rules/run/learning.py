"""LS: whether a run learned anything, or memorised its training set; from the loss alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, stdev

from dpdrun.rules.declare import Family, finding, info, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.guessing import COIN, SATURATED, SATURATED_WITHIN, guess_at
from dpdrun.rules.run.constant_answer import (
    answers_poorly,
    constant_answer,
    same_number,
    says_the_larger_class,
    wrong_with_certainty,
)
from dpdrun.rules.series import EIGHTH, largest_fall, noise
from dpdrun.rules.statistics import decimate, trend

LEAST_LINES, LEAST_EPOCHS = 8, 4
LEAST_VERY_FLAT, VERY_FLAT = 5, 0.015  # lines, if they hardly move
LEARNS = 0.06  # of the first level; at most 0.06 in public logs that learned nothing, 0.08 and more in healthy ones
LEARNS_AT_GUESS = 0.1  # a known level is further evidence
KNOWN_TO = 0.006  # error of a level that can be distinguished from others
EARLY, HALF = 0.25, 0.5  # of the plan
SETTLED_FROM = 5  # the first fifth may be that of a poor initialisation
STARTS_NEAR = 1.15  # times the guess: whole numbers have logarithms near any level that a loss settles at
LEAST_FOR_NO_TREND, TREND_P_SHOWS, NO_LOWER, HIDDEN = 10, 0.1, 0.05, 0.45
SURE = 2.0  # standard errors
FEW_AT_GUESS, WITHIN = 3, 0.025  # lines, all of them this near to the guess
FEWEST = range(2, 7)  # classes whose logarithms are far apart
LEAST_AT_GUESS, STANDS_WITHIN = 5, 0.005  # scores; of their level, in the later half, which none is further below
SINKS_TO, NEVER_BELOW, BEGAN_ABOVE = 0.015, 0.002, 0.02  # of a guess; 0.02 of it in 965 healthy public logs finds none
LAST_QUARTER = 4
UNLIKELY = 5.0  # nats of a guess among 150: no network that has learned stays there, whatever it was trained on before
PART_OF, FALLS_LITTLE = 0.3, 1.1  # of the lines have a rate of their own; the first rate over the last
TINY_LR = 1e-6  # at which a constant rate has hardly left its warmup
SCORES_FLAT = 0.01
LEAST_SCORES = 3
IMPROVES, IMPROVES_DB = 0.05, 1.0
NOTHING_DB = -1.0  # validation NMSE of predicting about zero

MEMORISED = 0.05  # of the first level
MANY_EPOCHS = 5.0

OVERFIT_FIRST = (
    "overfit a single batch first: if that fails too, the labels, the loss mask or the gradient are at fault, not the "
    "learning rate; then try another learning rate"
)

finite = Family(where=used("eval_losses", "eval_metrics", "grad_norm", "total_steps"), requires=("LS201",))


@dataclass(frozen=True)
class Flat:
    """A loss, or a series of scores, that stays where it is: its level, the error of that, and its largest fall."""

    level: float
    error: float
    fell: float
    n: int


def flat(values: Sequence[float], most: float = LEARNS) -> Flat | None:
    """Return a series that fell by less than `most` of its level, unless its noise could hide more."""
    n = len(values)
    if n < LEAST_EPOCHS or min(values) <= 0.0:
        return None
    fell, tail = largest_fall(values), fmean(values[-max(2, n // 3) :])
    if fell >= most or tail >= (1.0 + most) * fmean(values[: max(2, n // 10)]):
        return None
    return Flat(fmean(values), stdev(values) / math.sqrt(n), max(0.0, fell), n)


def shows_no_fall(values: Sequence[float]) -> Flat | None:
    """Return a series without a trend whose last third is not below its first lines, by less than two standard errors.

    That is less than a proof. But a network that learns falls far in its first lines, so that a fall shows in noise.
    """
    n, fell = len(values), largest_fall(values)
    if (
        n < LEAST_FOR_NO_TREND
        or fell >= HIDDEN
        or len(set(values)) == 1
        or trend(decimate(values)).p_down <= TREND_P_SHOWS
    ):
        return None
    head, tail = values[: max(2, n // EIGHTH)], values[-max(2, n // 3) :]
    error = noise(values) * math.sqrt(1.0 / len(head) + 1.0 / len(tail))
    if fmean(head) - fmean(tail) > min(SURE * error, NO_LOWER * fmean(head)):
        return None
    return Flat(fmean(values), stdev(values) / math.sqrt(n), max(0.0, fell), n)


@finite.diagnose(
    "LS204", evidence="assumed", where=used("loss", "step"), requires=("DM201", "SC202", "LS205", "LS206", "LS209"),
    source="an equivalence test: the upper confidence bound of the fall is small; limits from public logs. The loss of "
    "a constant guess: ln K for K classes, the variance for a mean square",
    fires=dict(loss=math.log(4), spread=0.02, loss_unit="nats"), silent=dict(spread=0.02),
)  # fmt: skip
def never_learns(run: RunFacts) -> Verdict:
    """The loss stays at its initial level, or at that of a constant guess.

    ## Why
    The loss of a network that learns nothing still fluctuates from batch to batch. Seeing no fall does not prove that
    there is none, so the rule computes the largest fall that is compatible with the lines (99 % confidence; Student's t
    of the noise between lines). Reported if it is below 6 % of the first level (1.5 % with five to seven lines), in a
    log that starts with the run, or at 5 nats or more, where no network stays that has learned; from ten lines on and
    from half of the run on, also if there is no trend (Mann-Kendall, p above 0.1), the last third is at 95 % of the
    first lines or above, to within two standard errors, and the largest fall is below 45 %. Of three to seven lines (or
    validation losses, if there is no training loss), all have to be within 2.5 % of ln K for two to six classes. With
    eight lines or more, also if a loss or a validation loss comes down to such a value (or 1 or 0.25, the variance of
    a standardised target, and of targets that are 0 or 1) and is never below it: within 1.5 % in the last quarter. An
    error if the loss stays at the value of a constant guess: ln K for K classes, 1 for a standardised target, 0 dB of
    validation NMSE; also if the later half of five validation losses or more is there to within 0.5 % and none is
    lower, or if it only comes down to that value in the first fifth of the lines, and with a largest fall
    of up to 10 %. A warning if the loss does not fall after the first fifth of the lines and an accuracy is the same
    number in every score, or if the loss is the same to its last digit (three or more) in six lines. A cross-entropy
    that falls is a warning too if every accuracy stays within 0.5 % of one value and the loss is not below the entropy
    of an answer that is right that often: the network predicts the majority class; or if half of the scores of an
    accuracy that is never above 70 % are values that it had before, or the accuracy of training is never above 70 % and
    the loss ends at 95 % of its first line or above; or if, in the last lines (two or three), a cross-entropy is the
    share of wrong answers times minus the logarithm at which a probability of 0 is cut off (15.9 to 16.1 in Keras, 100
    in torch.nn.BCELoss): then every wrong answer is given with certainty.

    ## Known limits
    Some networks learn late, after a long plateau (grokking, physics-informed losses), and a fine-tuned network may
    start at its floor. Noise can hide a slow fall, and a flat loss. Not reported if the validation improves by 5 %,
    unless there is no trend. Skipped in the first quarter of a run, during the warmup, and where the level of the loss
    carries no information (reinforcement learning, GAN). EV206 reports a validation loss that never improved.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    losses = [value for value in run.loss if math.isfinite(value)]
    if found := (
        _few_at_guess(run, losses) or wrong_with_certainty(run) or _scores_at_guess(run) or _sinks_to_guess(run, losses)
    ):
        return found
    if not losses:
        return Skipped("needs loss")
    same = same_number(losses)
    least = LEAST_EPOCHS if run.steps_per_epoch == 1.0 else LEAST_LINES
    saturated = len(losses) >= LEAST_SCORES and all(abs(loss - SATURATED) <= SATURATED_WITHIN for loss in losses)
    if saturated:
        same = f"every line is {guess_at(SATURATED, 0.0, None)}"
    too_few = Skipped(f"needs {least} lines with a loss, there are {len(losses)}") if len(losses) < least else None
    if len(losses) < min(least, LEAST_VERY_FLAT) and not same:
        return too_few
    progress = run.progress
    if progress is not None and progress < EARLY and not same:
        return Skipped(f"the run is {progress:.0%} done; checked from {EARLY:.0%} on")
    if answers := says_the_larger_class(run, losses) or answers_poorly(run, losses):
        return answers
    settled = losses[len(losses) // SETTLED_FROM :]
    guess, seen = _guess(run, losses, settled)
    signs = _signs(run)
    if guess is None:
        constant = same or constant_answer(run)
        from_start = begins_with_the_run(run) or (run.loss_unit in ("nats", "bits") and fmean(losses) >= UNLIKELY)
        seen = _no_gain(settled) if constant else None
        if from_start and (constant or not _warms_up(run)):
            within = VERY_FLAT if too_few else LEARNS
            fall = shows_no_fall(losses) if progress is None or progress >= HALF else None
            seen = fall or (None if _validation_improves(run) else flat(losses, within)) or seen
        if constant and constant.partition(" is ")[0] not in {sign.partition(" is ")[0] for sign in signs}:
            signs.append(constant)
    if seen is None:
        return too_few
    what = "is still at its initial level" if seen.n == len(losses) else "does not fall"
    named = "".join(f"; {sign}" for sign in signs)
    return finding(
        "error" if guess else "warning",
        f"the loss {what}: {fmean(losses[:2]):.4g} in the first lines, {seen.level:.4g} on average over "
        f"{seen.n} lines, with any fall below {max(seen.fell, 0.001):.1%}"
        f"{f'; that is {guess}' if guess else ''}{named}",
        value=seen.fell, threshold=LEARNS, n=seen.n, level=seen.level, step=run.step[0],
        advice=OVERFIT_FIRST,
    )  # fmt: skip


def _few_at_guess(run: RunFacts, losses: Sequence[float]) -> Verdict:
    """Return a finding if all of a few lines, or of the scores of a log without any, are at ln K of few classes."""
    if run.loss_unit == "power":
        return None
    series = {"the loss": losses} if losses else {f"the {name or 'validation'} loss": values
                                                  for name, (_, values) in run.scorings.items()}  # fmt: skip
    for what, values in series.items():
        level = fmean(values) if values else math.nan
        if not FEW_AT_GUESS <= len(values) < LEAST_LINES or not 0.0 < level < math.log(FEWEST[-1] + 0.5):
            continue
        classes = round(math.exp(level))
        guess = math.log(max(classes, FEWEST[0]))
        if all(abs(value - guess) <= WITHIN * guess for value in values):
            return warning(
                f"{what} is {min(values):.4g} to {max(values):.4g} in all {len(values)} lines, next to "
                f"{guess:.4g} = ln {classes}, the cross-entropy of guessing among {classes} classes",
                value=max(values) / min(values) - 1.0, threshold=WITHIN, n=len(values), level=level,
                step=run.step[0] if run.step else None, advice=OVERFIT_FIRST,
            )  # fmt: skip
    return None


def _scores_at_guess(run: RunFacts) -> Verdict:
    """Return a finding if a validation loss stands at the value of a constant guess, and never was below it."""
    for name, (steps, values) in run.scorings.items():
        scores = [value for value in values if math.isfinite(value)]
        late = scores[len(scores) // 2 :]
        if len(scores) < LEAST_AT_GUESS or min(scores) <= 0.0 or _spread(late) > STANDS_WITHIN:
            continue
        level = median(late)
        guess = guess_at(level, 0.0, run.loss_unit) if min(scores) >= (1.0 - STANDS_WITHIN) * level else None
        if guess:
            return finding(
                "error",
                f"the validation loss{f' of {name}' if name else ''} is {min(late):.4g} to {max(late):.4g} in the last "
                f"{len(late)} of {len(scores)} scores; that is {guess}",
                value=_spread(late), threshold=STANDS_WITHIN, n=len(scores), level=level, step=steps[0],
                advice=OVERFIT_FIRST,
            )  # fmt: skip
    return None


def _sinks_to_guess(run: RunFacts, losses: Sequence[float]) -> Verdict:
    """Return a finding if a loss comes down to the value of a constant guess and goes no further."""
    coin = math.log(FEWEST[0])
    guesses = {"nats": [math.log(classes) for classes in FEWEST], "power": [1.0, COIN], None: [1.0, coin, COIN]}
    series = {"loss": losses} | {f"{name or 'validation'} loss": values for name, (_, values) in run.scorings.items()}
    for what, values in series.items():
        late = values[-max(FEW_AT_GUESS, len(values) // LAST_QUARTER) :]
        if len(values) < LEAST_LINES or run.loss_is_nmse:
            continue
        for guess in guesses.get(run.loss_unit, []):
            stands = all((1.0 - NEVER_BELOW) * guess <= value <= (1.0 + SINKS_TO) * guess for value in late)
            if stands and values[0] > (1.0 + BEGAN_ABOVE) * guess and min(values) >= (1.0 - STANDS_WITHIN) * guess:
                return warning(
                    f"the {what} comes down from {values[0]:.4g} to {late[-1]:.4g} and is never below {guess:.4g}, the "
                    "value of a constant guess",
                    value=max(late) / guess - 1.0, threshold=SINKS_TO, n=len(values), level=late[-1],
                    step=run.step[0] if run.step else None, advice=OVERFIT_FIRST,
                )  # fmt: skip
    return None


def _guess(run: RunFacts, losses: Sequence[float], settled: Sequence[float]) -> tuple[str | None, Flat | None]:
    """Return the constant guess whose loss equals the level of the loss or the scores, and that level."""
    rest = flat(losses, LEARNS_AT_GUESS) or flat(settled, LEARNS_AT_GUESS)
    scores = [value for _, value in run.scores_db] if run.eval_nmse_db else []
    if rest and len(scores) >= LEAST_SCORES and min(scores) > NOTHING_DB:
        return f"a validation NMSE of {min(scores):.1f} dB at best, no better than predicting zero", rest
    if run.loss_is_nmse:
        return None, None
    for _, values in run.scorings.values():
        finite_scores = [value for value in values if math.isfinite(value)]
        if len(finite_scores) >= LEAST_SCORES and _spread(finite_scores) < SCORES_FLAT:
            guess = guess_at(median(finite_scores), 0.0, run.loss_unit) if rest else None
            if guess:
                return guess, rest
    if rest is None or rest.error > KNOWN_TO * rest.level:
        return None, None
    near = fmean(losses[:2]) <= STARTS_NEAR * rest.level
    return (guess_at(rest.level, rest.error, run.loss_unit) if near else None), rest


def begins_with_the_run(run: RunFacts) -> bool:
    """Return whether the first line is of the first steps: an excerpt from later says nothing about the start."""
    gaps = [b - a for a, b in pairwise(run.step)]
    return (not gaps or run.step[0] <= 2 * median(gaps)) and not _is_part_of_a_schedule(run.lr)


def _is_part_of_a_schedule(lr: Sequence[float]) -> bool:
    """Return whether the rate falls all the time, but by little in all: the log is a small part of a long run."""
    falls = all(b <= a for a, b in pairwise(lr)) and len(set(lr)) > PART_OF * len(lr)
    return falls and max(lr, default=0.0) < FALLS_LITTLE * lr[-1]


def _warms_up(run: RunFacts) -> bool:
    """Return whether the learning rate still rises at the end of the log."""
    return len(run.lr) > 1 and run.lr[-1] > run.lr[0] and all(b >= a for a, b in pairwise(run.lr))


def _validation_improves(run: RunFacts) -> bool:
    """Return whether a validation score is clearly better at the end: what was learned shows there."""
    if run.eval_nmse_db and len(scores := [value for _, value in run.scores_db]) >= LEAST_SCORES:
        return fmean(scores[-2:]) <= scores[0] - IMPROVES_DB
    series = [[value for value in values if math.isfinite(value)] for _, values in run.scorings.values()]
    return any(len(each) >= LEAST_SCORES and fmean(each[-2:]) <= (1.0 - IMPROVES) * each[0] for each in series)


def _no_gain(settled: Sequence[float]) -> Flat | None:
    """Return a loss whose last third is not significantly, or hardly, below its start."""
    n = len(settled)
    head, tail = settled[: max(2, n // SETTLED_FROM)], settled[-max(3, n // 3) :]
    level, single = fmean(tail), noise(settled)
    fall = fmean(head) - level
    if fall > max(LEARNS * level, SURE * single * math.sqrt(1.0 / len(head) + 1.0 / len(tail))):
        return None
    return Flat(level, single / math.sqrt(len(tail)), max(0.0, fall / level), n)


def _spread(values: Sequence[float]) -> float:
    return max(values) / min(values) - 1.0 if min(values) > 0.0 else math.inf


def _signs(run: RunFacts) -> list[str]:
    """Return further signs that nothing was learned."""
    signs = []
    for name, (_, values) in run.scorings.items():
        finite_scores = [value for value in values if math.isfinite(value)]
        if len(finite_scores) >= LEAST_SCORES and _spread(finite_scores) < SCORES_FLAT:
            of = f" of {name}" if name else ""
            low, high = min(finite_scores), max(finite_scores)
            signs.append(f"the validation loss{of} stays between {low:.4g} and {high:.4g}")
    if run.lr and 0.0 < max(run.lr) <= TINY_LR and max(run.lr) == min(run.lr):
        signs.append(f"the learning rate stays at {run.lr[0]:.2g}")
    for name, (_, values) in run.eval_metrics.items():
        if len(values) >= LEAST_SCORES and len(set(values)) == 1:
            signs.append(f"{name} is {values[0]:.4g} in every score")
    return signs


@finite.diagnose(
    "LS208", source="a loss far below any plausible error of new data; limits from public logs", evidence="assumed",
    where=known("loss", "step"),
    fires=dict(loss=lambda t: 3.0 * 10 ** (-3 * t), loss_unit="nats", epochs=50.0),
    silent=dict(loss=lambda t: 3.0 * 10 ** (-0.3 * t), loss_unit="nats", epochs=50.0),
)  # fmt: skip
def memorised_training_set(run: RunFacts) -> Verdict:
    """A cross-entropy falls to almost zero over several epochs, and there is no validation to tell if it generalises.

    ## Why
    A cross-entropy at a twentieth of its initial value means that nearly every answer in the training set is given with
    certainty. If examples are seen several times, the usual reason is memorisation. In that case neither a higher
    learning rate nor a longer run is advised (LR201 is skipped).

    ## Known limits
    Info only: extraction, translation and speech recognition can reach such a loss legitimately. Not for mean square
    errors, which have no such floor, and not for logs with a validation loss: EV205 and EV206 compare the two.
    """
    if run.loss_in_db or run.loss_unit == "objective":
        return Skipped("the loss is not a cross-entropy")
    if run.scorings or run.eval_nmse_db:
        return Skipped("there is a validation loss to compare with")
    losses = [value for value in run.loss if math.isfinite(value)]
    if len(losses) < LEAST_LINES:
        return Skipped(f"needs {LEAST_LINES} lines with a loss, there are {len(losses)}")
    if run.epochs is not None and run.epochs < MANY_EPOCHS:
        return None
    start, end = fmean(losses[: max(2, len(losses) // 10)]), fmean(losses[-max(3, len(losses) // 20) :])
    if not 0.0 < end <= MEMORISED * start:
        return None
    return info(
        f"the training loss falls from {start:.3g} to {end:.2g}, {end / start:.1%} of its initial value, and there "
        "is no validation loss",
        value=end / start, threshold=MEMORISED, n=len(losses),
        advice="score held-out samples during training; more epochs, or a higher learning rate, would only sharpen "
        "what has been memorised",
    )  # fmt: skip
