"""EV: accuracies and other metrics of the validation, for which higher is better."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import fmean, median

from dpdrun.rules.declare import diagnose, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.constant_answer import accuracies, shares
from dpdrun.rules.run.overfitting import HIGHER, limit_passed
from dpdrun.rules.run.scored import LAST, Scored, training_between
from dpdrun.rules.series import jitter

LEAST_TO_COMPARE = 8  # scores
RISE_OF_METRIC = 0.1  # of its reciprocal
LEAST_OF_GAP = 3  # scores
LEAST_OF_SWINGS, SWINGS, OVER_TRAINING = 6, 0.15, 3.0  # scores; at most 0.11 in 928 healthy public logs; times
LEAST_OF_NONE, NONE, HARDLY, OF_REGRESSION = 3, 0.01, 0.05, 0.05  # scores; their median and highest; of training
AUC, R2, PRECISION = frozenset({"auc", "auroc", "roc"}), "r2", "pr"  # words of names; the area below which curve
CHANCE_AUC, NEAR_CHANCE, LOW_AUC = 0.5, 0.03, 0.1  # what a random order reaches
CHANCE_R2 = 0.0  # what the mean of the targets reaches
GAP = 0.23  # at most 0.21 in 927 of 928 healthy public logs


@diagnose(
    "EV209", evidence="assumed", requires=("LS201", "LS204", "LS209"),
    where={**known("eval_metrics", "loss", "step"), **used("eval_losses", "eval_loss", "eval_nmse_db")},
    source="as EV205, for the reciprocal of a metric for which higher is better; limits from public logs",
    fires=dict(
        loss=lambda t: 2.0 * 10 ** (-0.5 * t), loss_unit="nats",
        eval_metrics={"val_f1": (list(range(40, 401, 40)), [0.3, 0.5, 0.6, 0.61, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2])},
    ),
    silent=dict(
        loss=lambda t: 2.0 * 10 ** (-0.5 * t), loss_unit="nats",
        eval_metrics={"val_f1": (list(range(40, 401, 40)), [0.3, 0.5, 0.6, 0.61, 0.6, 0.62, 0.6, 0.61, 0.62, 0.6])},
    ),
)  # fmt: skip
def metric_gets_worse(run: RunFacts) -> Verdict:
    """A validation metric falls far below its best while the training loss falls, in logs without a validation loss.

    ## Why
    Without a validation loss, only a metric can show overfitting. The reciprocal of an accuracy, precision, recall, F1,
    IoU or similar is judged as EV205 judges a loss, from eight scores on: the mean of the last three is a tenth below
    the best, by three standard errors or more, while the training loss falls to 90 % or less.

    ## Known limits
    A metric over few samples moves in steps; one at chance level fluctuates without anything being learned.
    """
    if run.scorings or run.eval_nmse_db:
        return Skipped("EV205 and EV206 judge the validation loss")
    judged = 0
    for name, (steps, values) in run.eval_metrics.items():
        if len(values) < LEAST_TO_COMPARE or not HIGHER.search(name) or min(values) <= 0.0:
            continue
        judged += 1
        each = Scored(name, steps, [1.0 / value for value in values], training_between(run, steps))
        if each.rise >= RISE_OF_METRIC and limit_passed(each) is not None:
            best, end = max(values), 1.0 / fmean(each.after[-LAST:])
            return warning(
                f"{name} is best at step {steps[each.best]} ({best:.4g}) and {end:.4g} at the end, while the training "
                f"loss falls to {each.fell_to:.0%} of its value at that step",
                value=each.rise, threshold=RISE_OF_METRIC, n=len(values), step=steps[each.best],
                advice=f"keep the checkpoint of step {steps[each.best]} and stop there; more training data help most",
            )  # fmt: skip
    return None if judged else Skipped(f"needs {LEAST_TO_COMPARE} scores of a metric for which higher is better")


@diagnose(
    "EV210", evidence="assumed", where=known("eval_metrics", "train_metrics"),
    requires=("LS201", "LS204", "LS209", "EV205", "EV206", "EV209"),
    source="an accuracy is a share of right answers, whatever the loss is; limit from public logs",
    fires=dict(
        train_metrics={"acc": ([100, 200, 300, 400], [0.5, 0.8, 0.9, 0.95])},
        eval_metrics={"val_acc": ([100, 200, 300, 400], [0.5, 0.55, 0.52, 0.54])},
    ),
    silent=dict(
        train_metrics={"acc": ([100, 200, 300, 400], [0.5, 0.8, 0.9, 0.95])},
        eval_metrics={"val_acc": ([100, 200, 300, 400], [0.5, 0.75, 0.8, 0.82])},
    ),
)  # fmt: skip
def accuracy_gap(run: RunFacts) -> Verdict:
    """The accuracy of training ends far above that of validation, or that of validation swings and the other does not.

    ## Why
    Losses of different programs are hard to compare, shares of right answers are not. A gap of 23 points between the
    medians of the last three scores means that the network has memorized its training data, or that validation data
    differ from those of training (preprocessing, classes, a split by another criterion). The best of several validation
    accuracies counts. A noise of 15 points from score to score (second differences, six scores or more), three times
    that in training, means that the network behaves differently in evaluation: batch statistics that do not follow the
    weights, or answers that all change to one class.

    ## Known limits
    An accuracy over few validation samples moves in steps. A gap that small classes or hard examples explain is
    reported too.
    """
    training, scores = accuracies(run.train_metrics), accuracies(run.eval_metrics)
    ours = [median(values[-LAST:]) for values in training if len(values) >= LEAST_OF_GAP]
    theirs = [median(values[-LAST:]) for values in scores if len(values) >= LEAST_OF_GAP]
    if not ours or not theirs:
        return Skipped(f"needs {LEAST_OF_GAP} accuracies of training and of validation")
    gap = min(ours) - max(theirs)
    if gap < GAP:
        return _swings(training, scores)
    return warning(
        f"the accuracy is {min(ours):.0%} in training and {max(theirs):.0%} in validation at the end",
        value=gap, threshold=GAP, n=max(map(len, scores)),
        advice="check that validation has the same classes and preprocessing; then use more training data, "
        "augmentation or a smaller network, and stop earlier",
    )  # fmt: skip


def _swings(training: list[list[float]], scores: list[list[float]]) -> Verdict:
    """Return a finding if every accuracy of validation swings from score to score, and those of training do not."""
    noise = min((jitter(values) for values in scores if len(values) >= LEAST_OF_SWINGS), default=0.0)
    of_training = max((jitter(values) for values in training if len(values) >= LEAST_OF_SWINGS), default=noise)
    if noise < SWINGS or noise < OVER_TRAINING * of_training:
        return None
    return warning(
        f"the accuracy of validation swings by {noise:.0%} from score to score, that of training by {of_training:.0%}",
        value=noise, threshold=SWINGS, n=max(map(len, scores)),
        advice="compare the accuracy of training data in evaluation mode: if it swings too, the batch statistics lag "
        "behind (a smaller momentum, larger batches) or the learning rate is too high; otherwise score more samples",
    )  # fmt: skip


@diagnose(
    "EV211", evidence="assumed", where={**known("eval_metrics"), **used("train_metrics")},
    requires=("LS201", "LS204", "LS206", "LS209"),
    source="an F1, recall, mAP or accuracy of 0 says that not one answer is right; limits from public logs",
    fires=dict(eval_metrics={"val_f1": ([100, 200, 300, 400], [0.02, 0.0, 0.0, 0.0])}),
    silent=dict(eval_metrics={"val_f1": ([100, 200, 300, 400], [0.0, 0.0, 0.1, 0.3])}),
)  # fmt: skip
def nothing_is_right(run: RunFacts) -> Verdict:
    """A validation metric for which higher is better stays at 0 or at chance, whatever the loss does.

    ## Why
    The loss may fall because the network predicts the background, blanks or the largest class for everything. Reported
    if the later half of an accuracy, F1, recall, IoU or similar (three scores or more) is at most 1 % in the median and
    never above 5 %. A random order has an AUC of 0.5, and the mean of the targets an R2 of 0: also reported if the
    later half of an AUC is never above 0.53, and none of its scores below 0.4, or that of an R2 never above 0.

    ## Known limits
    A detector may need many epochs for its first right answer. The accuracy of a regression means nothing: one is left
    out where that of training is never above 5 %.
    """
    judged = 0
    training = [shares(values) for values in (each for _, each in run.train_metrics.values()) if values]
    regression = bool(training) and all(max(values, default=0.0) <= OF_REGRESSION for values in training)
    for name, (steps, values) in run.eval_metrics.items():
        scores = shares(values)
        if chance := _stays_at_chance(name, steps, scores):
            return chance
        if len(scores) < LEAST_OF_NONE or not HIGHER.search(name) or (regression and "acc" in name.lower()):
            continue
        judged += 1
        late = scores[-max(LEAST_OF_NONE, len(scores) // 2) :]
        if median(late) <= NONE and min(late) >= 0.0 and max(late) <= HARDLY:
            return warning(
                f"{name} is {min(late):.2g} to {max(late):.2g} in the last {len(late)} of {len(scores)} scores",
                value=median(late), threshold=NONE, n=len(scores), step=steps[-len(late)],
                advice="look at the predictions of a few samples: if they are all alike, balance the classes or weight "
                "the loss, and overfit a single batch; if they are right, the metric or its labels are wrong",
            )  # fmt: skip
    return None if judged else Skipped(f"needs {LEAST_OF_NONE} scores of a metric for which higher is better")


def _stays_at_chance(name: str, steps: Sequence[int], scores: Sequence[float]) -> Verdict:
    """Return a finding if an AUC or an R2 is never better than that of an answer that ignores its input."""
    late = scores[-max(LEAST_OF_NONE, len(scores) // 2) :]
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    is_auc = bool(AUC & words) and PRECISION not in words
    limit = CHANCE_AUC + NEAR_CHANCE if is_auc else CHANCE_R2
    if len(scores) < LEAST_OF_NONE or not (is_auc or R2 in words) or max(late) > limit:
        return None
    if is_auc and min(scores) < CHANCE_AUC - LOW_AUC:
        return None  # an order that is reversed
    same = "a random order" if is_auc else "the mean of the targets"
    return warning(
        f"{name} is {min(late):.3g} to {max(late):.3g} in the last {len(late)} of {len(scores)} scores, no better than "
        f"{same}",
        value=max(late), threshold=limit, n=len(scores), step=steps[-len(late)],
        advice="overfit a single batch first; if that works, the inputs say nothing about the targets of new data: "
        "compare with a simple model (a mean, a linear fit)",
    )  # fmt: skip
