"""EV2xx: what the validation scores of a run say beside its training loss."""

from __future__ import annotations

import math
from bisect import bisect_right
from statistics import fmean, median

from dpdrun.rules.engine import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import jitter, p_greater

INF = math.inf

LEAST_EVALS = 8
LEAST_AFTER_BEST = 8
RISE_DB = 1.0  # from the best score to the median of the last three
RISE_P = 0.025  # 0.05 over the two signs of overfitting that are asked for
TRAIN_FALL_DB = 0.5
TRAIN_P = 0.01
EARLY = 0.8  # the best score lies before this share of the scored steps

LEAST_FOR_NOISE = 16
NOISE_SHARE = 0.25  # of the whole gain; up to 0.16 in 150 healthy runs, most of them below 0.1
NOISE_DB = 1.0
NOISE_OVER_TRAINING = 3.0

GAP_EVALS = 3
GAP_DB = 3.0
GAP_ERROR_DB = 10.0  # a tenth of the power; swapped, delayed or padded validation parts cost 22 to 38 dB
GAP_PASSES = 5.0  # over the training part; nothing is learned by heart in so few
MANY_PASSES = 10.0  # from which a small part can be learned by heart
OPENED_P = 0.01
# The gap at the end of a run: up to 1.2 dB in healthy Transformers, to 7 dB in a few healthy GRUs of fewer than five
# passes; 1 to 2 dB where a twentieth of the data stood in for nine tenths of it, 10 to 17 dB in runs that saw 300
# samples 500 times.
SOME_DB = 1.0
HEART_DB = 3.0
HEART_WARNING_DB = 6.0
BEFORE = 50  # steps before a scoring whose loss it is compared with, at most
JUST_BEFORE = 10


def _training_db(run: RunFacts, most: int = BEFORE) -> list[tuple[float, float]]:
    """(validation, training) in dB at each scoring: the mean loss of the steps since the one before, at most `most`."""
    found, before = [], 0
    for step, score in run.scores_db:
        stop = bisect_right(run.step, step)
        start = max(bisect_right(run.step, before), stop - most)
        before = step
        power = fmean(run.loss[start:stop]) if stop > start else 0.0
        if power > 0.0:
            found.append((score, 10.0 * math.log10(power)))
    return found


@rule(
    "EV201",
    purpose="diagnose",
    source="Prechelt 1998, 'Early stopping - but when?'; Mann & Whitney 1947",
    evidence="cited",
    fix="unsafe",
    needs=("scores_db", "loss", "step"),
    requires=("LS201", "LS202"),
    fires=lambda: example_run(
        eval_step=list(range(20, 401, 20)),
        loss=lambda t: 10 ** (-4 * t),
        eval_nmse_db=[-30 + 0.05 * (k - 6) ** 2 for k in range(20)],
        max_steps=400,
    ),
    silent=lambda: example_run(
        eval_step=list(range(20, 401, 20)), eval_nmse_db=[-20 - 15 * (1 - 0.8**k) for k in range(20)]
    ),
)
def overfits(run: RunFacts) -> Verdict:
    """Validation gets worse while the training loss still falls: the network learns its training part by heart.

    ## What it does
    From the best score on: the last three scores lie 1 dB or more above it (median), the later half of the scores is
    above the earlier (Mann-Whitney, p below 0.025), and the training loss of the same steps falls by 0.5 dB or more
    with p below 0.01. The best score lies in the first 80 % of the run.

    ## Why
    What validation does not confirm is noise of the training part. `dpdrun train` keeps the model of the best score,
    so the steps behind it are lost but do no harm.

    ## Known limits
    Needs eight scores behind the best. A loss that rises as well is LS202.

    ## Example
    Fires when the score falls to -30 dB and rises again to -21 dB while the loss falls. Silent when it levels off.
    """
    scores = run.scores_db
    if len(scores) < LEAST_EVALS:
        return Skipped(f"needs {LEAST_EVALS} validation scores, there are {len(scores)}")
    at = min(range(len(scores)), key=lambda k: scores[k][1])
    best_step, best = scores[at]
    after = [value for _, value in scores[at:]]
    if len(after) <= LEAST_AFTER_BEST or best_step > EARLY * scores[-1][0]:
        return None
    rise = median(after[-3:]) - best
    p = p_greater(after[len(after) // 2 :], after[: len(after) // 2])
    if rise < RISE_DB or p >= RISE_P:
        return None
    behind = run.loss_db[bisect_right(run.step, best_step) :]
    if len(behind) < 2 * LEAST_EVALS:
        return None
    first, last = behind[: len(behind) // 2], behind[len(behind) // 2 :]
    fall = median(first) - median(last)
    if fall < TRAIN_FALL_DB or p_greater(first, last) >= TRAIN_P:
        return None
    patch = {"train.max_steps": best_step} if run.max_steps else {}
    decay = run.weight_decay or 0.0
    return Finding(
        f"best {run.score_name} {best:.2f} dB at step {best_step}, {rise:.1f} dB worse at the end, while the training "
        f"loss falls by {fall:.1f} dB more",
        patch,
        "warning",
        step=best_step,
        evidence={"value": rise, "threshold": RISE_DB, "p": p, "n": len(after)},
        advice=f"stop at step {best_step}; more training data help most, then a smaller network or a higher "
        f"optim.weight_decay (now {decay:g})",
    )


@rule(
    "EV202",
    purpose="diagnose",
    source="a score that moves more from one scoring to the next than training explains is one of too few samples",
    evidence="assumed",
    needs=("scores_db", "loss", "step"),
    requires=("LS201", "LS202", "LR202", "SG201"),
    fires=lambda: example_run(
        eval_step=list(range(20, 401, 20)),
        eval_nmse_db=[-20 - 0.3 * k + (4.0 if k % 2 else 0.0) for k in range(20)],
    ),
    silent=lambda: example_run(eval_step=list(range(20, 401, 20)), eval_nmse_db=[-20 - 0.8 * k for k in range(20)]),
)
def validation_is_noisy(run: RunFacts) -> Verdict:
    """The validation score jumps about by much of what the run has gained, and the training loss does not.

    ## What it does
    Takes the second differences of the second half of the scores: their size is the noise of a score. A warning where
    it is 1 dB or more, 25 % of the whole gain or more, and three times that of the training loss over the same steps.

    ## Why
    The best model is picked by these scores; one that was picked by luck is not the best. The usual reason is a
    validation part that is too short, or an unlucky piece of a record.

    ## Known limits
    Where the training loss jumps as well, the weights do: that is a learning rate. Needs 16 scores.

    ## Example
    Fires when scores alternate by 4 dB on a way of 6 dB. Silent when they fall steadily.
    """
    pairs = _training_db(run)
    if len(pairs) < LEAST_FOR_NOISE:
        return Skipped(f"needs {LEAST_FOR_NOISE} validation scores, there are {len(pairs)}")
    late = pairs[len(pairs) // 2 :]
    noise, of_training = jitter([score for score, _ in late]), jitter([loss for _, loss in late])
    gain = max(score for score, _ in pairs) - min(score for score, _ in pairs)
    if noise < NOISE_DB or noise < NOISE_SHARE * gain or noise < NOISE_OVER_TRAINING * of_training:
        return None
    return Finding(
        f"a validation score is uncertain by {noise:.1f} dB, of {gain:.1f} dB that the run gained; the training loss "
        f"by {of_training:.1f} dB",
        severity="warning",
        step=run.scores_db[len(run.scores_db) // 2][0],
        evidence={"value": noise / gain, "threshold": NOISE_SHARE, "n": len(late), "noise_db": noise},
        advice="score on more samples (data.split) and on whole records (train.eval_on record)",
    )


@rule(
    "EV203",
    purpose="diagnose",
    source="train and validation differ in the data alone; Karpathy, 'A recipe for training neural networks'",
    evidence="assumed",
    needs=("eval_nmse_db", "eval_step", "loss", "step", "loss_is_nmse"),
    requires=("LS201", "EV201", "EV202", "SG201"),
    fires=lambda: example_run(
        loss_is_nmse=True, eval_step=list(range(50, 401, 50)), eval_nmse_db=[5.0 - 2.0 * k for k in range(8)]
    ),
    silent=lambda: example_run(
        loss_is_nmse=True,
        eval_step=list(range(50, 401, 50)),
        eval_nmse_db=[-30.0 * step / 400 for step in range(50, 401, 50)],
    ),
)
def validation_unlike_training(run: RunFacts) -> Verdict:
    """Almost from the start, validation is worse than training by several decibels: it measures something else.

    ## What it does
    Compares each score with the mean loss of the ten steps before it, both in dB. A warning when the difference is 3 dB
    or more from an early scoring on (the third or the first quarter of them, within five passes over the training
    part), an error when it is 10 dB or more (median). Needs three such scores.

    ## Why
    Nothing is learned by heart in a few passes; a difference that early comes from how validation is done. Attention
    over a whole record where training saw short frames, other positions, a state that starts elsewhere, another scale
    or another metric: each of them makes a network that has learned look as if it had not. The founding note's
    Transformer was scored on 98 times the length it was trained on.

    ## Known limits
    A validation part that is harder than the training part looks alike. Under dropout training is the worse of the two,
    which hides a part of the difference. Needs a loss that is a normalised error. On a finished run SG201 says more,
    and goes before.

    ## Example
    Fires when scores are 15 dB or more above the loss from the start. Silent when both are alike.
    """
    if not run.loss_is_nmse:
        return Skipped("the loss is no normalised error")
    gaps = [score - loss for score, loss in _training_db(run, JUST_BEFORE)]
    since = next((k + 1 for k in reversed(range(len(gaps))) if gaps[k] < GAP_DB), 0)
    if len(gaps) - since < GAP_EVALS:
        return None
    first = run.scores_db[since][0]
    passes = first / run.steps_per_epoch if run.steps_per_epoch else None
    if since > max(GAP_EVALS - 1, len(gaps) // 4) or (passes is not None and passes > GAP_PASSES):
        return None  # it came later: what overfitting does
    gap = median(gaps[since:])
    return Finding(
        f"validation is {min(gaps[since:]):.1f} to {max(gaps):.1f} dB worse than the training loss from step {first} on"
        + (f", after {passes:.1f} passes over the data" if passes is not None else ""),
        severity="error" if gap >= GAP_ERROR_DB else "warning",
        step=first,
        evidence={"value": gap, "threshold": GAP_DB, "n": len(gaps) - since},
        advice="score as the network is trained: a window (model.window) instead of full, positions relative, "
        "train.eval_on record, train.burn_in at least the context; then compare the parts (`dpdrun data inspect`)",
    )


@rule(
    "EV204",
    purpose="diagnose",
    source="train and validation begin alike and part with the passes; Mann & Whitney 1947",
    evidence="assumed",
    needs=("eval_nmse_db", "eval_step", "loss", "step", "loss_is_nmse", "steps_per_epoch"),
    requires=("LS201", "LS202", "EV201", "EV203", "SG201"),
    fires=lambda: example_run(
        loss_is_nmse=True,
        steps_per_epoch=2.0,
        loss=lambda t: 10 ** (-4.0 * t),
        eval_step=list(range(20, 401, 20)),
        eval_nmse_db=[max(-2.0 * k, -25.0) for k in range(1, 21)],
    ),
    silent=lambda: example_run(
        loss_is_nmse=True,
        steps_per_epoch=2.0,
        loss=lambda t: 10 ** (-4.0 * t),
        eval_step=list(range(20, 401, 20)),
        eval_nmse_db=[-2.0 * k for k in range(1, 21)],
    ),
)
def learns_by_heart(run: RunFacts) -> Verdict:
    """Over many passes the training loss leaves the validation score behind: what is still learned is learned by heart.

    ## What it does
    Compares each score with the mean loss of the ten steps before it, both in dB. Fires where the median difference of
    the last quarter of the scores is 3 dB or more (1 dB before the tenth pass over the training part), and as much more
    than in the first quarter (Mann-Whitney of the last quarter against all others, p below 0.01). A warning from 6 dB
    and ten passes on, else info.

    ## Why
    At 3 dB half of the error in use is not in the training loss any more, at 6 dB three quarters. The score need not
    get worse for that: it stands still, or falls more slowly, while the network fits the noise and the accidents of a
    training part that is too short for it. In a few passes over thousands of frames there is nothing to learn by heart,
    unless the sampler gives some of them again and again.

    ## Known limits
    Info where training on may still pay. A score that rises again is EV201's, a difference that is there from the
    beginning EV203's, one between frames and whole records SG201's. Needs a loss that is a normalised error and the
    steps of an epoch.

    ## Example
    Fires where scores stop at -25 dB while the loss goes on to -40 dB. Silent where both reach -40 dB.
    """
    if not run.loss_is_nmse:
        return Skipped("the loss is no normalised error")
    gaps = [score - loss for score, loss in _training_db(run, JUST_BEFORE)]
    if len(gaps) < LEAST_EVALS:
        return Skipped(f"needs {LEAST_EVALS} validation scores, there are {len(gaps)}")
    passes = run.step[-1] / (run.steps_per_epoch or math.inf)
    least = HEART_DB if passes >= MANY_PASSES else SOME_DB
    quarter = max(GAP_EVALS, len(gaps) // 4)
    gap, before = median(gaps[-quarter:]), median(gaps[:quarter])
    if min(gap, gap - before) < least or p_greater(gaps[-quarter:], gaps[:-quarter]) >= OPENED_P:
        return None
    since = next((k + 1 for k in reversed(range(len(gaps))) if gaps[k] < least), 0)
    decay = run.weight_decay or 0.0
    return Finding(
        f"validation is {gap:.1f} dB worse than the training loss after {passes:.3g} passes over the data, and was "
        f"{abs(before):.1f} dB {'worse' if before > 0 else 'better'} at the start",
        severity="warning" if passes >= MANY_PASSES and gap >= HEART_WARNING_DB else "info",
        step=run.scores_db[min(since, len(gaps) - 1)][0],
        evidence={"value": gap, "threshold": least, "opened_db": gap - before, "n": len(gaps)},
        advice="more training data help most (data.split, a longer capture, train.phase_augment); then a smaller "
        f"network or a higher optim.weight_decay (now {decay:g})"
        if passes >= MANY_PASSES
        else "harmless so far; see that a sampler of your own draws all frames alike, and score whole records "
        "(train.eval_on record) with a network that any length is the same to",
    )
