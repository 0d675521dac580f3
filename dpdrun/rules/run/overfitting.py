"""EV: validation losses of a log compared with its training loss, both in the unit of the log."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from itertools import groupby, pairwise
from statistics import fmean, median

from dpdrun.rules.declare import Family, error, finding, known, used, warning
from dpdrun.rules.engine import Finding, Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.constant_answer import POOR, accuracies
from dpdrun.rules.run.scored import LAST, LEAST_SCORES, Scored, scored, worst_set
from dpdrun.rules.series import jitter
from dpdrun.rules.statistics import decimate, may_rise, trend

LEAST_AFTER, AFTER_OF_MANY = 2, 4  # scores after the best one
RISE_OF_FEW, RISE = 0.06, 0.04  # the former if each is above the one before
FAR_RISE = 0.1  # where the noise is less sure
LONG_AFTER, FELL_ON, OVER_NOISE = 6, 0.7, 0.9  # scores; of the training loss; of the noise of a score
TIES = 0.005  # two scores that differ by less are equal
NOISY_FROM = 6  # scores whose noise shows
SURE, RATHER_SURE = 2.5, 1.5  # standard deviations of the rise
FELL = 0.965  # of the training loss at the best score; 0.98 gives the same alarms on 965 healthy public logs
UNDONE, MUCH_UNDONE = 0.01, 0.25  # of what the validation loss had gained
UNDONE_OF_TWO, UNDONE_OF_FEW = 0.5, 0.1  # where two, or more, scores rise in order
IN_ORDER_P, LEAST_RISE, SHARE_OF_FALL = 0.015, 0.015, 0.05  # five scores in order: p is 0.014; of the fall before
ABOVE_TRAINING, FAR_ABOVE_TRAINING = 0.8, 2.0  # times the training loss: below it, no network overfits
METRIC_GAINS = 0.1  # of the first value
GAINS_P = 0.001  # of a trend: what falls by little, but without doubt, improves
FELL_FAR, FELL_LITTLE = 0.65, 0.95  # of the training loss since the first score
LEAST_NEVER, GAINS = 5, 0.04  # scores, and share of the first; 0.08 and more in healthy public logs
ABOVE_FIRST = 0.03  # of the first score; at most 0.016 in 928 healthy public logs
FROZEN, FROZEN_SHARE = 8, 0.4  # scores in a row that are the same number, and share of all
TRAINED, CONFIRMED, UNCONFIRMED_GAP = 1.9, 0.1, 1.8  # times of the training loss; share of its logarithm; times
LEAST_APART, APART, HARDLY_LOWER = 4, 1.6, 0.9  # scores; times the training loss; of the first score
NOT_FINITE = 0.5  # of the scores
LEAST_TO_COMPARE = 8
FAR_TIMES = 3.0
MOSTLY = 0.9
BETTER = 0.002  # of a metric
NEARLY_PERFECT = 0.995  # of the answers
HIGHER = re.compile(r"acc|f1|prec|recall|auc|map|iou|dice|mcc|exact|bleu|rouge|top.?\d|psnr|ssim", re.IGNORECASE)
LOWER = re.compile(r"\b[wc]er\b", re.IGNORECASE)

finite = Family(where={**known("scorings"), **used("loss", "step", "eval_metrics")}, requires=("LS201", "LS209"))


@finite.diagnose(
    "EV205", evidence="assumed", requires=("EV201",),
    source="Prechelt 1998, 'Early stopping - but when?'; limits from public logs and from noise (see Why)",
    fires=dict(
        loss=lambda t: 2.0 * 10 ** (-2 * t), loss_unit="nats",
        eval_losses={"": ([100, 200, 300, 400], [0.9, 0.8, 0.95, 1.1])},
    ),
    silent=dict(
        loss=lambda t: 2.0 * 10 ** (-2 * t), loss_unit="nats",
        eval_losses={"": ([100, 200, 300, 400], [0.9, 0.8, 0.78, 0.79])},
    ),
)  # fmt: skip
def overfits_in_few_scores(run: RunFacts) -> Verdict:
    """The validation loss rises again while the training loss keeps falling: overfitting, from three scores on.

    ## Why
    Fine-tuning runs have three to ten validation scores. Reported if the training loss falls to 96.5 % or less of its
    value at the best score, and the mean of the last three scores after it is 4 % above it, by 2.5 standard deviations
    (that of a score from second differences, of six scores or more). If the scores rise by 10 %, lose a quarter of what
    they had gained, and end at twice the training loss, 1.5 are enough; if they lose less than a quarter, they have to
    exceed the second lowest score by 1.5 as well, as a single low one may be luck. With six scores after the best,
    0.9 is enough for each of the last three if the training loss has fallen to 70 % since, and the score before the
    best is not above them. Also if all scores after the best one rise, by 6 %, and lose a tenth of the gain (two
    scores: half of it). A rise of 1.5 % that undoes 5 % of the fall before it is enough if the trend is sure (Mann-
    Kendall, p below 0.015, as of five scores in order). What undoes less than 1 % of the gain is noise. Each evaluation
    set is judged separately, and has to end at 80 % of the training loss or above. Info if an accuracy of validation
    ends at 99.5 % or more.

    ## Known limits
    If accuracy or F1 still improve, only the probabilities become overconfident; the message then says so and names the
    metric. EV201 judges NMSE in dB.
    """
    found = worst_set(run, lambda each: _limit_above_training(each) is not None, lambda each: each.rise)
    if not isinstance(found, tuple):
        return found
    worst, others = found
    low, step = worst.scores[worst.best], worst.steps[worst.best]
    better = _still_improves(run, step)
    end = fmean(worst.after[-LAST:])
    return finding(
        "info" if _is_nearly_perfect(run) else "warning",
        f"the {worst.words} is lowest at step {step} ({low:.4g}) and {worst.rise:.0%} higher at the end ({end:.4g}), "
        f"while the training loss falls to {worst.fell_to:.0%} of its value at that step{others}" + better,
        value=worst.rise, threshold=_limit_above_training(worst), n=len(worst.scores), step=step,
        advice=f"keep the checkpoint of step {step} and stop there; more training data help most, then fewer epochs, "
        "more weight decay or dropout" + ("" if not better else "; or select by that metric"),
    )  # fmt: skip


def limit_passed(each: Scored, sure: float = SURE) -> float | None:
    """Return the limit that scores exceed if they rise by more than noise after the best one, as training continues."""
    after, low, n = each.after, each.scores[each.best], len(each.scores)
    if len(after) < LEAST_AFTER or not each.fell_to <= FELL or each.undone < UNDONE:
        return None
    if each.rise >= RISE_OF_FEW and all(b >= a * (1.0 - TIES) for a, b in pairwise([low, *after])):
        least = UNDONE_OF_TWO if len(after) == LEAST_AFTER else UNDONE_OF_FEW
        return RISE_OF_FEW if each.undone >= least else None
    if len(after) < AFTER_OF_MANY:
        return None
    of_one = jitter([math.log(score) for score in each.scores]) if n >= NOISY_FROM else 0.0
    of_rise, end = of_one * math.sqrt(1.0 / LAST + 1.0), math.log(fmean(after[-LAST:]))
    second = math.log(sorted(each.scores)[1])  # a single low score may be luck
    if end - math.log(low) < sure * of_rise or (each.undone < MUCH_UNDONE and end - second < RATHER_SURE * of_rise):
        return None
    if each.rise >= RISE:
        return RISE
    least = max(LEAST_RISE, SHARE_OF_FALL * (each.scores[0] / low - 1.0))
    return least if each.rise >= least and trend(decimate([low, *after])).p_up <= IN_ORDER_P else None


def _is_nearly_perfect(run: RunFacts) -> bool:
    """Return whether an accuracy of validation ends so high that hardly an answer is wrong."""
    found = accuracies(run.eval_metrics)
    return bool(found) and all(median(values[-LAST:]) >= NEARLY_PERFECT for values in found if values)


def _limit_above_training(each: Scored) -> float | None:
    """Return the limit that a validation loss above the training loss passes; less sure where it is far above."""
    end, training = fmean(each.after[-LAST:]) if each.after else 0.0, each.training[-1]
    if limit := limit_passed(each):
        return limit if end >= ABOVE_TRAINING * training else None
    if each.rise < FAR_RISE or end < FAR_ABOVE_TRAINING * training:
        return None
    rises = each.undone >= MUCH_UNDONE and limit_passed(each, RATHER_SURE) is not None
    return FAR_RISE if rises or _trained_on_in_vain(each) else None


def _trained_on_in_vain(each: Scored) -> bool:
    """Return whether training fell far since the best of the scores, and the last ones are all above its noise."""
    if len(each.after) < LONG_AFTER or not each.fell_to <= FELL_ON or each.undone < UNDONE:
        return False
    if each.best and each.scores[each.best - 1] > fmean(each.after[-LAST:]):
        return False  # the lowest may be luck: the scores came down to the level of the last ones
    noise = jitter([math.log(score) for score in each.scores])
    return math.log(min(each.after[-LAST:]) / each.scores[each.best]) >= OVER_NOISE * noise


def _still_improves(run: RunFacts, since: int) -> str:
    """Return the metrics that are better at the end than where the validation loss was lowest, in words."""
    found = []
    for name, (steps, values) in run.eval_metrics.items():
        at = bisect_right(steps, since) - 1
        if at < 0 or not values or not math.isfinite(values[at]):
            continue
        lower_is_better = any(word in name.lower() for word in ("wer", "cer", "loss", "error", "mae", "mse", "perplex"))
        gain = values[at] - values[-1] if lower_is_better else values[-1] - values[at]
        if gain > BETTER * max(abs(values[at]), 1e-12):
            found.append(f"{name} {values[at]:.4g} -> {values[-1]:.4g}")
    return f"; {', '.join(found[:2])} still improves: the probabilities become overconfident" if found else ""


@finite.diagnose(
    "EV206", evidence="assumed", requires=("EV201", "EV205", "LS204"),
    source="training and validation loss of one log are in one unit, so they may be compared; limits from public logs",
    fires=dict(
        loss=lambda t: 2.0 * 10 ** (-2 * t), loss_unit="nats",
        eval_losses={"": (list(range(40, 401, 40)), [1.1, 0.9, 0.8, 0.81, 0.86, 0.8, 0.87, 0.85, 0.86, 0.85])},
    ),
    silent=dict(
        loss=lambda t: 2.0 * 10 ** (-0.4 * t), loss_unit="nats",
        eval_losses={"": (list(range(40, 401, 40)), [1.1, 0.9, 0.8, 0.81, 0.86, 0.8, 0.87, 0.85, 0.86, 0.85])},
    ),
)  # fmt: skip
def validation_stands_still(run: RunFacts) -> Verdict:
    """The validation loss never improved, ends above its first score, or hardly follows the training loss.

    ## Why
    What the network learns does not generalise to new data. Reported if the last of three scores or more (and the
    median of the last three of five or more) is 3 % above the first: all that validation had gained is lost. Also if
    the best of five scores or more is less than 4 % below the first one, in a log that starts with the run, unless an
    accuracy or similar metric ends a tenth better than its first value, or the training loss has fallen by 5 to 35 %
    since, as near a floor (where no accuracy is that is never above 70 %). With eight scores or more also reported if
    the training loss falls to about a half or less, but the logarithm of the validation loss by no more than 10 % of
    that, and the validation loss ends at 1.8 times the training loss or more; with four or more if it ends at 1.6
    times the training loss and its three lowest scores are at 90 % of the first or above; and if eight scores in a row,
    and 40 % of all, are the same number to the last digit: then they are not computed again, or nothing is trained.

    ## Known limits
    The validation loss alone is not enough: a score that has reached its floor looks the same. The finding is therefore
    about the gap between the two losses, and the advice is to stop, not to change the learning rate. LS204 takes
    precedence if the training loss does not fall either.
    """
    sets = [] if run.eval_nmse_db else scored(run)
    if never := next((each for each in sets if _never_gains(run, each)), None):
        return warning(
            f"the {never.words} never improved: {never.scores[0]:.4g} in the first score, "
            f"{min(never.scores):.4g} in the best of {len(never.scores)}",
            value=1.0 - min(never.scores) / never.scores[0], threshold=GAINS, n=len(never.scores), step=never.steps[0],
            advice="overfit a single batch first; if that works, the network does not generalise: check that the "
            "validation set has the same features and targets as the training set, then stop earlier",
        )  # fmt: skip
    if above := next((each for each in sets if _ends_above_its_first(each)), None):
        return warning(
            f"the {above.words} ends at {above.scores[-1]:.4g}, above its first score of {above.scores[0]:.4g}; the "
            f"lowest was {min(above.scores):.4g} at step {above.steps[above.best]}",
            value=above.scores[-1] / above.scores[0] - 1.0, threshold=ABOVE_FIRST, n=len(above.scores),
            step=above.steps[above.best],
            advice=f"keep the checkpoint of step {above.steps[above.best]}; then a lower learning rate and fewer "
            "epochs, more training data or a smaller network",
        )  # fmt: skip
    improves = metric_improves(run)
    found = (_frozen(each) or (None if improves else _unconfirmed(each) or _apart(each)) for each in sets)
    return next(filter(None, found), None)


def _ends_above_its_first(each: Scored) -> bool:
    """Return whether all that a validation loss had gained, or more, is lost at the end."""
    if len(each.scores) < LEAST_SCORES:
        return False
    end = median(each.scores[-LAST:]) if len(each.scores) >= LEAST_NEVER else each.scores[-1]
    return min(end, each.scores[-1]) >= (1.0 + ABOVE_FIRST) * each.scores[0]


def _never_gains(run: RunFacts, each: Scored) -> bool:
    """Return whether no score is clearly below the first, in a log that is not an excerpt from later in the run."""
    if len(each.steps) < LEAST_NEVER:
        return False
    early = each.steps[0] <= 2 * (each.steps[1] - each.steps[0])
    started = not run.step or run.step[0] <= 2 * (each.steps[1] - each.steps[0])
    stands = early and started and min(each.scores) > (1.0 - GAINS) * each.scores[0]
    training = [value for value in each.training if value == value]
    fell_to = fmean(training[-LAST:]) / training[0] if training and training[0] > 0.0 else 1.0
    if FELL_FAR < fell_to < FELL_LITTLE and not _is_poor(run):  # near its floor, which the first score may have found
        return False
    return stands and not may_rise([-score for score in each.scores], GAINS_P) and not metric_improves(run)


def _is_poor(run: RunFacts) -> bool:
    """Return whether an accuracy of validation is known and never above 70 %: no network is near its floor there."""
    scores = [value for values in accuracies(run.eval_metrics) for value in values]
    return bool(scores) and max(scores) <= POOR


def metric_improves(run: RunFacts) -> bool:
    """Return whether a validation metric ends clearly better than its first value."""
    for name, (_, values) in run.eval_metrics.items():
        if len(values) <= LAST:
            continue
        end, first = fmean(values[-LAST:]), max(values[0], 0.0)
        if HIGHER.search(name) and end > (1.0 + METRIC_GAINS) * first:
            return True
        if LOWER.search(name.replace("_", " ")) and end < (1.0 - METRIC_GAINS) * first:
            return True
    return False


def _frozen(each: Scored) -> Finding | None:
    """Return the finding of a score that is the same number to its last digit time after time."""
    longest = max(len(list(same)) for _, same in groupby(each.scores))
    if longest < FROZEN or longest < FROZEN_SHARE * len(each.scores):
        return None
    value = next(value for value, same in groupby(each.scores) if len(list(same)) == longest)
    return warning(
        f"the {each.words} is {value:.6g} to the last digit in {longest} scores in a row",
        value=longest, threshold=FROZEN, n=len(each.scores), step=each.steps[each.scores.index(value)],
        advice="check that each validation is computed again, and from the weights that are trained (requires_grad, a "
        "learning rate of 0, a copy of the network)",
    )  # fmt: skip


def _unconfirmed(each: Scored) -> Finding | None:
    """Return the finding of a training whose progress hardly shows in validation."""
    training = [value for value in each.training if value == value and value > 0.0]
    if len(each.scores) < LEAST_TO_COMPARE or len(training) < LEAST_TO_COMPARE:
        return None
    start, end, late = training[0], fmean(training[-LAST:]), fmean(each.scores[-LAST:])
    lowest = fmean(sorted(each.scores)[:LAST])
    progress, shown = math.log(start / end), math.log(each.scores[0] / lowest)
    if progress < math.log(TRAINED) or shown > CONFIRMED * progress or late < UNCONFIRMED_GAP * end:
        return None
    return warning(
        f"the training loss falls from {start:.4g} to {end:.4g}, the {each.words} only from {each.scores[0]:.4g} to "
        f"{lowest:.4g}: {late / end:.2g} times the training loss at the end",
        value=shown / progress, threshold=CONFIRMED, n=len(each.scores), step=each.steps[each.best],
        advice="what is learned does not carry over: check that validation has the same features and preprocessing; "
        f"then stop near step {each.steps[each.best]}, and use more training data or a smaller network",
    )  # fmt: skip


def _apart(each: Scored) -> Finding | None:
    """Return the finding of a validation loss that ends far above the training loss and has hardly fallen."""
    times = [score / loss for score, loss in zip(each.scores, each.training, strict=True) if loss > 0.0]
    lowest = fmean(sorted(each.scores)[:LAST])
    if len(times) < LEAST_APART or median(times[-LAST:]) < APART or lowest < HARDLY_LOWER * each.scores[0]:
        return None
    if may_rise([-score for score in each.scores], GAINS_P):
        return None
    return warning(
        f"the {each.words} is {median(times[-LAST:]):.2g} times the training loss at the end, and has hardly fallen: "
        f"from {each.scores[0]:.4g} to {lowest:.4g}",
        value=median(times[-LAST:]), threshold=APART, n=len(times), step=each.steps[each.best],
        advice="evaluate a part of the training set in the same way: if its loss is high too, the evaluation differs; "
        "otherwise the network overfits its training set, or validation has other data",
    )  # fmt: skip


@finite.diagnose(
    "EV207", evidence="cited",
    source="a mean over no labels is 0 / 0: labels of -100 in every sample (torch.nn.CrossEntropyLoss, ignore_index)",
    fires=dict(eval_losses={"": ([200, 400], [math.nan, math.nan])}),
    silent=dict(eval_losses={"": ([200, 400], [1.0, 0.9])}),
)  # fmt: skip
def validation_not_finite(run: RunFacts) -> Verdict:
    """At least half of the validation losses are nan or infinite, although the training loss is finite.

    ## Why
    Such a validation measures nothing, and no best model can be selected. The usual cause is a batch without a single
    label: every label is masked (-100), because the prompt alone fills the maximum length. The next most common cause
    is float16, whose largest number is 65504.

    ## Known limits
    Some programs leave out batches whose loss is not finite, so a finite score does not mean that every batch was
    finite.
    """
    for name, (steps, values) in run.scorings.items():
        bad = [step for step, value in zip(steps, values, strict=True) if not math.isfinite(value)]
        if len(bad) < max(1.0, NOT_FINITE * len(values)):
            continue
        of = f" of {name}" if name else ""
        return error(
            f"the validation loss{of} is not finite in {len(bad)} of {len(values)} scores, from step {bad[0]} on",
            value=len(bad) / len(values), threshold=NOT_FINITE, n=len(values), step=bad[0],
            advice="check that every validation sample still has labels after truncation to the maximum length (all "
            "-100 gives 0 / 0); then evaluate in bf16 or fp32",
        )  # fmt: skip
    return None


@finite.diagnose(
    "EV208", evidence="assumed", requires=("EV203", "EV205", "EV206", "LS204"),
    source="training and validation loss of one log are in one unit, so they may be compared; limits from public logs",
    fires=dict(
        loss=lambda t: 0.003 * 10 ** (-1.5 * t), loss_unit=None, kind=None, lr_planned=[],
        eval_losses={"": (list(range(40, 401, 40)), [0.02, 0.01, 8e-3, 5e-3, 4e-3, 3e-3, 2e-3, 3e-3, 1e-3, 9e-4])},
    ),
    silent=dict(
        loss=lambda t: 0.003 * 10 ** (-1.5 * t), loss_unit=None, kind=None, lr_planned=[],
        eval_losses={"": (list(range(40, 401, 40)), [3e-3, 2e-3, 2e-3, 1e-3, 9e-4, 7e-4, 6e-4, 4e-4, 3e-4, 2e-4])},
    ),
)  # fmt: skip
def validation_far_above_training(run: RunFacts) -> Verdict:
    """From the first scores on, the validation loss is at least three times the training loss.

    ## Why
    A network that has seen little data cannot have overfitted yet, so an early difference comes from the evaluation or
    the data: another normalisation, layers that behave differently in evaluation (dropout, batch statistics), another
    length or scale. Reported if each of the first three scores is at least three times the training loss since the
    previous score, and so are nine in ten of all scores; needs eight scores. Not if an accuracy or similar metric ends
    a tenth better than its first value.

    ## Known limits
    A small training set can be memorised by the first score. A harder validation split looks the same. EV203 compares
    NMSE in dB.
    """
    if run.eval_nmse_db:
        return Skipped("EV203 judges the validation NMSE")
    enough = [each for each in scored(run) if len(each.scores) >= LEAST_TO_COMPARE]
    if not enough:
        return Skipped(f"needs {LEAST_TO_COMPARE} validation scores of one set")
    if metric_improves(run):
        return None
    for each in enough:
        times = [v / t if t > 0.0 else math.nan for v, t in zip(each.scores, each.training, strict=True)]
        far = [value >= FAR_TIMES for value in times]
        if all(far[:LAST]) and sum(far) >= MOSTLY * len(far):
            return warning(
                f"the {each.words} is {min(times[:LAST]):.2g} to {max(times[:LAST]):.2g} times the training loss in "
                f"the first scores, and {times[-1]:.2g} times at the end",
                value=min(times[:LAST]), threshold=FAR_TIMES, n=len(times), step=each.steps[0],
                advice="evaluate a part of the training set in the same way: if its loss is high too, the evaluation "
                "differs (dropout, batch statistics, scale, length); otherwise the data differ",
            )  # fmt: skip
    return None
