"""Signs that a network gives the same answer for every input, or wrong ones with certainty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from dpdrun.rules.declare import warning
from dpdrun.rules.engine import Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.statistics import decimate, trend

CONSTANT_SCORES = 5  # of an accuracy that is the same number each time
MANY_SCORES = 12
SURE_OF_ALL = 0.9  # an accuracy of training that is higher may be one that has learned all it can
MOSTLY = 0.6  # of the scores, the last ones, are that number, and the others
FROZEN = 0.005  # largest relative distance from it
LEAST_ACCURACY = 0.05  # below, it may belong to a regression, where it means nothing
PRIOR = 0.97  # of the entropy of an answer that is right that often: a network that has learned more is below it
SAME_LINES, SAME_DIGITS = 6, 100.0  # lines with one number, of three printed digits or more
PERFECT = 0.99
LEAST_REPEATED, HALF, DIGITS = 5, 0.5, 3  # scores, share of them that are different values, digits
RISES_P = 0.005  # of a trend: few samples give few values, also where an accuracy rises
POOR, PERCENT = 0.7, 1.5  # an accuracy; above the latter it is in percent
LEAST_LOSSES, STAYS = 8, 0.95  # lines; of the first loss
SAME_ANSWERS = (
    "compare the accuracy with the share of the most frequent class; overfit a single batch first, then try another "
    "learning rate, and balance the classes"
)
FIFTH = 5  # of the lines, that of a poor initialisation
STARTS_NEAR = 1.5  # times the number
# Minus the logarithm at which a probability of 0 is cut off: 2^-23 and 1e-7 in Keras, e^-100 in torch.nn.BCELoss.
CUT_OFF = ((23.0 * math.log(2.0), 7.0 * math.log(10.0)), (100.0, 100.0))
CUT_OFF_TO = 0.002  # of it
LEAST_CERTAIN, LAST_CERTAIN = 2, 3  # lines, the last ones


def constant_answer(run: RunFacts) -> str:
    """Return a phrase that says that the network gives the same answer for every input, or ""."""
    accuracies = _accuracies(run)
    if accuracies and all(_frozen(values) for values in accuracies.values()):
        name, values = next(iter(accuracies.items()))
        if abs(values[-1]) < PERFECT:
            alike = "the same number" if len(set(values)) == 1 else f"{values[-1]:.4g} to within {FROZEN:.1%}"
            return f"{name} is {alike} in all {len(values)} scores"
    return ""


def _accuracies(run: RunFacts) -> dict[str, list[float]]:
    """Return the accuracies that were logged often enough to tell whether they move; without running bests.

    Those of training only where there are none of validation.
    """

    def often(metrics: Mapping[str, tuple[Sequence[int], list[float]]]) -> dict[str, list[float]]:
        named = {name: values for name, (_, values) in metrics.items() if "acc" in name.lower()}
        return {
            name: values
            for name, values in named.items()
            if "best" not in name.lower() and len(values) >= CONSTANT_SCORES
        }

    found = often(run.eval_metrics)
    return found or {name: values for name, values in often(run.train_metrics).items() if _share(values) < SURE_OF_ALL}


def _share(values: Sequence[float]) -> float:
    return values[-1] / 100.0 if values[-1] > 1.0 else values[-1]


def _frozen(values: Sequence[float]) -> bool:
    """Return whether an accuracy settles at one number and was never far from it after the first of many scores."""
    last = values[-round(MOSTLY * len(values)) :]
    return len(set(last)) == 1 and all(
        abs(value - last[0]) <= FROZEN * abs(last[0]) for value in values[len(values) >= MANY_SCORES :]
    )


def says_the_larger_class(run: RunFacts, losses: Sequence[float]) -> Verdict:
    """Return a finding if a network predicts the majority class for every input, although its loss falls.

    The cross-entropy of the same answer for all, right with probability p, is at least -p ln p - (1 - p) ln (1 - p).
    """
    accuracies = _accuracies(run)
    if run.loss_unit != "nats" or not accuracies or not all(_frozen(values) for values in accuracies.values()):
        return None
    name, values = next(iter(accuracies.items()))
    p = _share(values)
    if not LEAST_ACCURACY <= p < PERFECT:
        return None
    entropy = -p * math.log(p) - (1.0 - p) * math.log(1.0 - p)
    scores = [values[-1] for _, values in run.scorings.values() if values and math.isfinite(values[-1])]
    if min([median(losses[-3:]), *scores]) < PRIOR * entropy:
        return None
    return warning(
        f"{name} is {values[-1]:.4g} from the first to the last of {len(values)} scores, while the loss goes from "
        f"{losses[0]:.4g} to {losses[-1]:.4g}: a constant prediction has a loss of {entropy:.3g} or more",
        value=p, threshold=FROZEN, n=len(values), level=losses[-1], step=run.step[0],
        advice=SAME_ANSWERS,
    )  # fmt: skip


def wrong_with_certainty(run: RunFacts) -> Verdict:
    """Return a finding if every wrong answer has a probability of 0: the loss is their share times the cut-off."""
    courses = {
        "loss": (run.step, run.loss, run.train_metrics),
        **{f"{name or 'validation'} loss": (*each, run.eval_metrics) for name, each in run.scorings.items()},
    }
    for what, (steps, losses, metrics) in courses.items():
        for name, (at, values) in metrics.items():
            right = dict(zip(at, shares(values), strict=True)) if _all_finite(values) and "acc" in name.lower() else {}
            pairs = [(loss, 1.0 - right[step]) for step, loss in zip(steps, losses, strict=True) if step in right]
            last = pairs[-LAST_CERTAIN:]
            if len(last) >= LEAST_CERTAIN and all(_is_cut_off(loss, wrong) for loss, wrong in last):
                loss, wrong = last[-1]
                return warning(
                    f"the {what} is {loss:.4g} at the end with {wrong:.1%} wrong answers, {loss / wrong:.4g} for each: "
                    "all of them are given with certainty",
                    value=loss / wrong, threshold=CUT_OFF[0][0], n=len(pairs), level=loss,
                    step=run.step[0] if run.step else None,
                    advice="check that the last layer and the loss fit (a softmax of one unit is always 1; logits or "
                    "probabilities), and scale the inputs; then lower the learning rate",
                )  # fmt: skip
    return None


def _all_finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(value) for value in values)


def _is_cut_off(loss: float, wrong: float) -> bool:
    """Return whether a mean loss is what that share of wrong answers costs, each of them at the cut-off."""
    return wrong > 1.0 - PERFECT and any(
        (1.0 - CUT_OFF_TO) * low <= loss / wrong <= (1.0 + CUT_OFF_TO) * high for low, high in CUT_OFF
    )


def answers_poorly(run: RunFacts, losses: Sequence[float]) -> Verdict:
    """Return a finding if an accuracy stays low and takes the same few values, or if it is low and the loss stays."""
    name, steps, values = next(
        (
            (name, steps, values)
            for name, (steps, values) in run.eval_metrics.items()
            if "acc" in name.lower() and len(values) >= LEAST_REPEATED and _digits(values) >= DIGITS
        ),
        ("", [], []),
    )
    training = [values for name, (_, values) in run.train_metrics.items() if "acc" in name.lower()]
    if training and _highest(training[0]) > POOR:
        return None  # EV210 compares the two
    rises = trend(decimate(values)).p_up <= RISES_P if values else False
    if values and not rises and _highest(values) <= POOR and len(set(values)) <= HALF * len(values):
        return warning(
            f"{name} takes {len(set(values))} values in {len(values)} scores, none above {max(values):.4g}: nearly the "
            "same answers each time", value=len(set(values)) / len(values), threshold=HALF, n=len(values),
            step=steps[0], advice=SAME_ANSWERS,
        )  # fmt: skip
    end = median(losses[-max(3, len(losses) // 10) :])
    if training and len(losses) >= LEAST_LOSSES and end >= STAYS * losses[0]:
        return warning(
            f"the accuracy of training is {max(training[0]):.4g} at best, and the loss {end:.4g} at the end, of "
            f"{losses[0]:.4g} in the first line", value=end / losses[0], threshold=STAYS, n=len(losses), level=end,
            step=run.step[0], advice=SAME_ANSWERS,
        )  # fmt: skip
    return None


def _highest(values: Sequence[float]) -> float:
    return max(shares(values), default=math.nan)


def shares(scores: Sequence[float]) -> list[float]:
    """Return the finite ones of the scores of an accuracy, between 0 and 1 also where they are in percent."""
    finite = [value for value in scores if math.isfinite(value)]
    return [value / (100.0 if max(finite) > PERCENT else 1.0) for value in finite]


def accuracies(metrics: Mapping[str, tuple[Sequence[int], Sequence[float]]]) -> list[list[float]]:
    """Return the scores of each accuracy among metrics, as `shares`."""
    return [shares(values) for name, (_, values) in metrics.items() if "acc" in name.lower()]


def _digits(values: Sequence[float]) -> int:
    """Return how many digits after the point the numbers of a log have: two repeat by themselves."""
    return max(len(repr(value).partition(".")[2]) for value in values)


def same_number(losses: Sequence[float]) -> str:
    """Return a phrase that says that the loss is constant to its last digit after a fifth of the lines, or ""."""
    settled = losses[0 if losses[:1] == losses[-1:] else max(1, len(losses) // FIFTH) :]
    if (
        len(settled) < SAME_LINES
        or len(set(settled)) > 1
        or losses[0] > STARTS_NEAR * settled[0]
        or not _resolved(losses)
    ):
        return ""
    return f"the loss is {settled[0]:.6g} to the last digit in {len(settled)} lines"


def _resolved(losses: Sequence[float]) -> bool:
    """Return whether the losses have three digits or more: fewer hide small changes."""
    decimals = [len(repr(value).partition(".")[2]) for value in losses if "e" not in repr(value)]
    return bool(decimals) and losses[-1] >= SAME_DIGITS * 10.0 ** -max(decimals)
