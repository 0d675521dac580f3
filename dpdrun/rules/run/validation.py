"""EV2xx: what the validation scores of a run say compared with its training loss."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from statistics import fmean, median

from dpdrun.rules.declare import Family, finding, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.constant_answer import accuracies
from dpdrun.rules.run.overfitting import metric_improves
from dpdrun.rules.run.scored import LAST, Scored, scored
from dpdrun.rules.series import jitter, p_greater

LEAST_EVALS = 8
LEAST_AFTER_BEST = 8
RISE_DB = 1.0  # from the best score to the median of the last three
RISE_P = 0.025  # 0.05 over the two signs of overfitting that are tested
TRAIN_FALL_DB = 0.5
TRAIN_P = 0.01
EARLY = 0.8  # the best score lies before this share of the scored steps

LEAST_FOR_NOISE = 16
NOISE_SHARE = 0.25  # of the whole gain; up to 0.16 in 150 healthy runs, most of them below 0.1
NOISE_DB = 1.0
NOISE_OVER_TRAINING = 2.3
LEAST_OF_SWINGS, SWINGS, STILL_HIGH = 6, 0.2, 0.5  # scores; of a score; of the first one
MOSTLY_RIGHT = 0.95  # of the answers: then the loss is that of a few

GAP_EVALS = 3
GAP_DB = 3.0
GAP_ERROR_DB = 10.0  # a tenth of the power; swapped, delayed or padded validation parts cost 22 to 38 dB
GAP_PASSES = 5.0  # over the training part; too few to overfit
MANY_PASSES = 10.0  # from which a small part can be overfitted
OPENED_P = 0.01
# The gap at the end of a run: up to 1.2 dB in healthy Transformers, to 7 dB in a few healthy GRUs of fewer than five
# passes; 1 to 2 dB where a twentieth of the data stood in for nine tenths of it, 10 to 17 dB in runs that saw 300
# samples 500 times.
SOME_DB = 1.0
HEART_DB = 3.0
HEART_WARNING_DB = 6.0
BEFORE = 50  # steps before a scoring whose loss it is compared with, at most
JUST_BEFORE = 10

EVERY_20 = list(range(20, 401, 20))
EVERY_50 = list(range(50, 401, 50))
GOES_ON = dict(loss_is_nmse=True, steps_per_epoch=2.0, loss=lambda t: 10 ** (-4.0 * t), eval_step=EVERY_20)

finite = Family(requires=("LS201",))


def _training_db(run: RunFacts, most: int = BEFORE) -> list[tuple[float, float]]:
    """(validation, training) in dB at each scoring: the mean loss of the steps since the one before, at most `most`."""
    pairs, before = [], 0
    for step, score in run.scores_db:
        stop = bisect_right(run.step, step)
        start = max(bisect_right(run.step, before), stop - most)
        before = step
        power = fmean(run.loss[start:stop]) if stop > start else 0.0
        if power > 0.0:
            pairs.append((score, 10.0 * math.log10(power)))
    return pairs


@finite.diagnose(
    "EV201", fix="unsafe", source="Prechelt 1998, 'Early stopping - but when?'; Mann & Whitney 1947", evidence="cited",
    where=known("scores_db", "loss", "step"), requires=("LS202",),
    fires=dict(
        eval_step=EVERY_20, loss=lambda t: 10 ** (-4 * t),
        eval_nmse_db=[-30 + 0.05 * (k - 6) ** 2 for k in range(20)], max_steps=400,
    ),
    silent=dict(eval_step=EVERY_20, eval_nmse_db=[-20 - 15 * (1 - 0.8**k) for k in range(20)]),
)  # fmt: skip
def overfits(run: RunFacts) -> Verdict:
    """Validation gets worse while the training loss still falls: overfitting.

    ## Why
    Progress that validation does not confirm is fitted noise of the training split. `dpdrun train` keeps the model with
    the best score, so the later steps are wasted but harmless. Reported if the best score is in the first 80 % of the
    run, the last three scores are 1 dB or more above it (median), the later half of the scores after it is above the
    earlier (Mann-Whitney, p below 0.025), and the training loss of the same steps falls by 0.5 dB or more with p below
    0.01.

    ## Known limits
    Needs eight scores after the best. LS202 reports a training loss that rises too.
    """
    scores = run.scores_db
    if not run.eval_nmse_db:
        return Skipped("EV205 judges validation losses")
    if len(scores) < LEAST_EVALS:
        return Skipped(f"needs {LEAST_EVALS} validation scores, there are {len(scores)}")
    at = min(range(len(scores)), key=lambda k: scores[k][1])
    best_step, best = scores[at]
    after = [value for _, value in scores[at:]]
    if best_step > EARLY * scores[-1][0]:
        return None
    if len(after) <= LEAST_AFTER_BEST:
        return Skipped(f"needs {LEAST_AFTER_BEST} scores after the best one, there are {len(after) - 1}")
    rise = median(after[-3:]) - best
    p = p_greater(after[len(after) // 2 :], after[: len(after) // 2])
    if rise < RISE_DB or p >= RISE_P:
        return None
    later = run.loss_db[bisect_right(run.step, best_step) :]
    if len(later) < 2 * LEAST_EVALS:
        return Skipped(f"needs {2 * LEAST_EVALS} steps after the best score")
    first, last = later[: len(later) // 2], later[len(later) // 2 :]
    fall = median(first) - median(last)
    if fall < TRAIN_FALL_DB or p_greater(first, last) >= TRAIN_P:
        return None
    patch = {"train.max_steps": best_step} if run.max_steps else {}
    decay = run.weight_decay or 0.0
    return warning(
        f"best {run.score_name} {best:.2f} dB at step {best_step}, {rise:.1f} dB worse at the end, while the training "
        f"loss falls by {fall:.1f} dB more",
        value=rise, threshold=RISE_DB, p=p, n=len(after), step=best_step, patch=patch,
        advice=f"stop at step {best_step}; more training data help most, then a smaller network or a higher "
        f"optim.weight_decay (now {decay:g})",
    )  # fmt: skip


@finite.diagnose(
    "EV202", evidence="assumed",
    source="a score that varies more between evaluations than training explains is from too few samples",
    where={**known("scores_db", "loss", "step"), **used("eval_losses", "eval_metrics")},
    requires=("LS202", "LR202", "SG201"),
    fires=dict(eval_step=EVERY_20, eval_nmse_db=[-20 - 0.3 * k + (4.0 if k % 2 else 0.0) for k in range(20)]),
    silent=dict(eval_step=EVERY_20, eval_nmse_db=[-20 - 0.8 * k for k in range(20)]),
)  # fmt: skip
def validation_is_noisy(run: RunFacts) -> Verdict:
    """The validation score is noisy compared with the gain of the run, but the training loss is not.

    ## Why
    The best model is selected by these scores; with noisy scores the selection is partly chance. The usual cause is a
    validation split that is too short, or an unrepresentative section of the record. The noise of the scores is the
    size of the second differences in their second half. Reported if it is 1 dB or more, 25 % of the total gain or more,
    and 2.3 times that of the training loss over the same steps. Info for a validation loss in another unit, because
    near 0 large relative changes mean little; a warning for one that swings by 20 % from score to score (six or more),
    2.3 times as much as the training loss, if its median is above that of the training loss and half of its first
    score or more, no accuracy ends at 95 % or more, and no metric ends a tenth better than its first value.

    ## Known limits
    If the training loss is noisy too, the weights are, and the learning rate is the cause. Needs 16 scores, six
    for swings.
    """
    if not run.eval_nmse_db and (swings := _swings(run)):
        return swings
    pairs = _training_db(run)
    if len(pairs) < LEAST_FOR_NOISE:
        return Skipped(f"needs {LEAST_FOR_NOISE} validation scores, there are {len(pairs)}")
    late = pairs[len(pairs) // 2 :]
    noise, of_training = jitter([score for score, _ in late]), jitter([loss for _, loss in late])
    gain = max(score for score, _ in pairs) - min(score for score, _ in pairs)
    if noise < NOISE_DB or noise < NOISE_SHARE * gain or noise < NOISE_OVER_TRAINING * of_training:
        return None

    what = "validation score" if run.eval_nmse_db else "validation loss"

    def shown(db: float) -> str:
        return f"{db:.1f} dB" if run.eval_nmse_db else f"{10 ** (db / 10) - 1:.0%}"

    return finding(
        "warning" if run.eval_nmse_db else "info",
        f"the noise of the {what} is {shown(noise)}, of the training loss {shown(of_training)}; the run "
        f"gained {shown(gain)}",
        value=noise / gain, threshold=NOISE_SHARE, n=len(late), noise_db=noise,
        step=run.scores_db[len(run.scores_db) // 2][0],
        advice="score on more samples (data.split)" + _on_records(run),
    )  # fmt: skip


def _swings(run: RunFacts) -> Verdict:
    """Return a finding if a validation loss that is still high swings from score to score, and the other does not."""
    right = accuracies(run.eval_metrics)
    if any(median(values[-LAST:]) >= MOSTLY_RIGHT for values in right if values) or metric_improves(run):
        return None
    each = next((each for each in scored(run) if _swings_high(each)), None)
    if each is None:
        return None
    noise, of_training = _noise(each.scores), _noise(each.training)
    return warning(
        f"the {each.words} swings by {math.expm1(noise):.0%} from score to score, the training loss by "
        f"{math.expm1(of_training):.0%}",
        value=noise, threshold=SWINGS, n=len(each.scores), step=each.steps[0],
        advice="score a part of the training set in evaluation mode: if it swings too, the batch statistics lag behind "
        "(a smaller momentum, larger batches) or the learning rate is too high; otherwise score more samples",
    )  # fmt: skip


def _swings_high(each: Scored) -> bool:
    training = [value for value in each.training if value > 0.0]
    if len(each.scores) < LEAST_OF_SWINGS or len(training) < LEAST_OF_SWINGS:
        return False
    level, noise = median(each.scores), _noise(each.scores)
    is_high = level >= max(STILL_HIGH * each.scores[0], median(training))
    return is_high and noise >= max(SWINGS, NOISE_OVER_TRAINING * _noise(training))


def _noise(values: Sequence[float]) -> float:
    """Return the noise of a loss, as a share of its level."""
    return jitter([math.log(value) for value in values if value > 0.0])


@finite.diagnose(
    "EV203", evidence="assumed",
    source="train and validation differ in the data alone; Karpathy, 'A recipe for training neural networks'",
    where=known("eval_nmse_db", "eval_step", "loss", "step"), requires=("EV201", "EV202", "SG201"),
    fires=dict(loss_is_nmse=True, eval_step=EVERY_50, eval_nmse_db=[5.0 - 2.0 * k for k in range(8)]),
    silent=dict(loss_is_nmse=True, eval_step=EVERY_50, eval_nmse_db=[-30.0 * step / 400 for step in EVERY_50]),
)  # fmt: skip
def validation_unlike_training(run: RunFacts, nmse_offset_db: float) -> Verdict:
    """Almost from the start, validation is several dB worse than training: it measures something different.

    ## Why
    A few epochs are too few to overfit, so an early difference is caused by the validation itself: attention over a
    complete record although training used short frames, different positions, a different initial state, scale or
    metric. Each of these makes a trained network look untrained. The Transformer of the founding Transformer note
    (docs/note.md) was scored on 98 times the training length. Each score is compared with the mean loss of the ten
    steps before it. This is a warning from 3 dB on, starting at an early evaluation (the third, or within the first
    quarter, and within five epochs), and an error from 10 dB on (median). Needs three such scores.

    ## Known limits
    A validation split that is harder than the training split looks the same. With dropout the training loss is higher,
    which hides part of the difference. Needs a loss that is a normalised error. For finished runs SG201 is more
    specific and takes precedence.
    """
    gaps = [score - loss - nmse_offset_db for score, loss in _training_db(run, JUST_BEFORE)]
    since = next((k + 1 for k in reversed(range(len(gaps))) if gaps[k] < GAP_DB), 0)
    if len(gaps) < GAP_EVALS:
        return Skipped(f"needs {GAP_EVALS} validation scores, there are {len(gaps)}")
    if len(gaps) - since < GAP_EVALS:
        return None
    first = run.scores_db[since][0]
    passes = first / run.steps_per_epoch if run.steps_per_epoch else None
    if since > max(GAP_EVALS - 1, len(gaps) // 4) or (passes is not None and passes > GAP_PASSES):
        return None  # it came later: what overfitting does
    gap = median(gaps[since:])
    return finding(
        "error" if gap >= GAP_ERROR_DB else "warning",
        f"validation is {min(gaps[since:]):.1f} to {max(gaps):.1f} dB worse than the training loss from step {first} on"
        + (f", after {passes:.1f} passes over the data" if passes is not None else ""),
        value=gap, threshold=GAP_DB, n=len(gaps) - since, step=first,
        advice=_as_trained(run),
    )  # fmt: skip


@finite.diagnose(
    "EV204", source="train and validation scores agree at first and diverge with the epochs; Mann & Whitney 1947",
    evidence="assumed", where=known("eval_nmse_db", "eval_step", "loss", "step"),
    requires=("LS202", "EV201", "EV203", "SG201"),
    fires=dict(GOES_ON, eval_nmse_db=[max(-2.0 * k, -25.0) for k in range(1, 21)]),
    silent=dict(GOES_ON, eval_nmse_db=[-2.0 * k for k in range(1, 21)]),
)  # fmt: skip
def generalization_gap(run: RunFacts, nmse_offset_db: float, steps_per_epoch: float) -> Verdict:
    """Over many epochs the training loss falls below the validation score: further progress is overfitting.

    ## Why
    With a gap of 3 dB, half of the error in use is no longer in the training loss; with 6 dB, three quarters. The score
    need not get worse: it levels off, or falls more slowly, while the network fits the noise and the peculiarities of a
    training split that is too short. A few epochs of thousands of frames are too few to overfit, unless the sampler
    repeats some of the frames. Reported if the scores of the last quarter are 3 dB (1 dB before the tenth epoch) above
    the mean loss of the ten steps before each, and the gap is that much larger than in the first quarter (Mann-Whitney,
    p below 0.01). This is a warning from 6 dB and ten epochs on, else info.

    ## Known limits
    Info if further training may still help. EV201 reports a score that rises again, EV203 a difference from the start,
    SG201 a difference between frames and complete records. Needs a loss that is a normalised error, and the number of
    steps per epoch.
    """
    gaps = [score - loss - nmse_offset_db for score, loss in _training_db(run, JUST_BEFORE)]
    if len(gaps) < LEAST_EVALS:
        return Skipped(f"needs {LEAST_EVALS} validation scores, there are {len(gaps)}")
    passes = run.step[-1] / steps_per_epoch
    least = HEART_DB if passes >= MANY_PASSES else SOME_DB
    quarter = max(GAP_EVALS, len(gaps) // 4)
    gap, before = median(gaps[-quarter:]), median(gaps[:quarter])
    if min(gap, gap - before) < least or p_greater(gaps[-quarter:], gaps[:-quarter]) >= OPENED_P:
        return None
    since = next((k + 1 for k in reversed(range(len(gaps))) if gaps[k] < least), 0)
    decay = run.weight_decay or 0.0
    return finding(
        "warning" if passes >= MANY_PASSES and gap >= HEART_WARNING_DB else "info",
        f"validation is {gap:.1f} dB worse than the training loss after {passes:.3g} passes over the data, and was "
        f"{abs(before):.1f} dB {'worse' if before > 0 else 'better'} at the start",
        value=gap, threshold=least, opened_db=gap - before, n=len(gaps),
        step=run.scores_db[min(since, len(gaps) - 1)][0],
        advice="more training data help most (data.split, a longer capture, train.phase_augment); then a smaller "
        f"network or a higher optim.weight_decay (now {decay:g})"
        if passes >= MANY_PASSES
        else "harmless so far; check that a custom sampler draws all frames equally often" + _on_records(run),
    )  # fmt: skip


def _on_records(run: RunFacts) -> str:
    """Return the advice to score complete records, where the run does not."""
    open_ = run.still_open({"train.eval_on": "record"})
    return " and on complete records (train.eval_on record)" if open_ else ""


def _as_trained(run: RunFacts) -> str:
    """Return the advice to score a network as it was trained, without what the recipe has already."""
    wanted = run.still_open(
        {"train.eval_on": "record"} | ({"model.positions": "relative"} if run.kind == "transformer" else {})
    )
    if run.kind == "transformer" and run.settings.get("model.window", "full") == "full":
        wanted.insert(0, "a window (model.window) instead of full")
    wanted.append("train.burn_in at least the context")
    return f"score as the network is trained: {', '.join(wanted)}; then compare the splits (`dpdrun data inspect`)"
