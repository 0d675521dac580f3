"""SK: spikes of the loss or the gradient norm, and patterns that repeat with the epoch."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, diagnose, finding, known, moved, used, warning
from dpdrun.rules.engine import Finding, Patch, Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.series import Event, correlations, outliers, p_greater, residuals
from dpdrun.rules.statistics import percentile
from dpdrun.rules.text import pluralize, two_digits

WIDTH = 50  # steps before a step that it is compared with
SPIKE_Z = 3.5  # spreads; gradients and losses of small batches have heavy tails, so size counts as well
SPIKE_Z_UNKNOWN = 6.0  # of a loss that is not known to be a power
SPIKE_LOSS_DB = 10.0
SPIKE_NORM_DECADES = 1.3  # 20 times
FLOOR_LOSS_DB = 0.3  # smallest spread that is believed
FLOOR_NORM_DECADES = 0.05
REFRACTORY = 10  # steps: what follows a spike is its echo
RATE_RISES = 1.5  # within WIDTH steps: a restart of the schedule, which raises the loss by itself
FREQUENT_COUNT = 3
FREQUENT_SHARE = 0.005
NAMED = 5  # steps in a message

# How far the loss may jump in a sound run. In 160 healthy runs of 150 to 600 steps, with rates up to twice the
# rule's, the largest is 11 dB with an echo of 6 dB; an optimizer that is reset in the middle of a run jumps by 17 to 20
# dB with an echo of 9 to 12 dB, batches of another alignment by 19 to 35 dB with 13 to 29 dB, samples of 30 times the
# level by 87 to 93 dB with 4 to 9 dB.
BEFORE = 20  # steps whose median is the level before
ECHO = 10  # steps after the spike whose median is the level after
JUMP_DB = 15.0
ECHO_DB = 6.0
ECHO_P = 1e-3
FOREIGN_DB = 30.0  # no batch of the same data has a thousand times the loss of the others
BACK_DB = 1.0
BACK = 5  # steps whose median is back at the level before

SAME_PLACE = 0.02  # of an epoch, or SAME_STEPS: three spikes by chance that near to each other are one case in 600
SAME_STEPS = 2.0
LEAST_PLACES = 20.0  # steps in an epoch; in a shorter one any two spikes are near to each other

MOST_STEPS = 20_000  # at the end of a log; more do not make a period clearer
LEAST_WIDTH = 5
LEAST_PERIOD = 4.0  # steps in an epoch
LEAST_EPOCHS = 3
LEAST_EPOCHS_FOR_ORDER = 5  # the noise of the weights is not white: three epochs are similar by chance too often
FEW_EPOCHS = 8  # up to which the p-value is exact
PERIOD_P = 2.5e-4  # 0.001 over last and first step of an epoch, up and down (Bonferroni)
PERIOD_DB = 1.0
REPEAT = 0.25  # autocorrelation of signs at a lag of one epoch
REPEAT_ABOVE = 0.2  # more than at other lags
REPEAT_Z = 4.5

settled = Family(where={"settled_steps": Within(2 * WIDTH)}, requires=("LS201",))


@dataclass(frozen=True)
class Spike:
    """An isolated spike of the loss or the gradient norm.

    Attributes:
        at: its position in the lists of the run.
        name: `loss` or `norm`.
        times: how many times its level.
        jump_db: the loss of the spike over the median of the steps before [dB].
        echo_db: the median of the steps after it over that before [dB]; None while the log does not have them.
        back: steps until the loss was back at the level before; None: it is not.
    """

    at: int
    name: str
    times: float
    jump_db: float
    echo_db: float | None
    back: int | None

    @property
    def lasts(self) -> bool:
        """Whether the network lost what it had learned, and had to learn it again."""
        return self.echo_db is not None and self.jump_db >= JUMP_DB and self.echo_db >= ECHO_DB


def spikes_of(run: RunFacts) -> list[Spike]:
    """Return all spikes of a run, in order."""
    return run.once("spikes", lambda: _spikes_of(run))


def _spikes_of(run: RunFacts) -> list[Spike]:
    first = run.settled.start
    seen: list[tuple[int, int, str, float]] = []
    for name, values, least, floor, decades in (
        ("loss", run.loss_db, SPIKE_LOSS_DB, FLOOR_LOSS_DB, 10.0),
        ("norm", run.log_norm, SPIKE_NORM_DECADES, FLOOR_NORM_DECADES, 1.0),
    ):
        z = SPIKE_Z if run.loss_in_db or name == "norm" else SPIKE_Z_UNKNOWN
        events = outliers(values[first:], width=WIDTH, z=z, least=least, floor=floor, gap=REFRACTORY)
        seen += [(first + event.top, first + event.first, name, _times(event, decades)) for event in events]
    apart: list[Spike] = []
    for at, begin, name, times in sorted(seen):
        restarted = bool(run.lr) and run.lr[at] > RATE_RISES * min(run.lr[max(first, begin - WIDTH) : begin + 1])
        if not restarted and (not apart or begin - apart[-1].at > REFRACTORY):
            apart.append(_spike(run.loss_db, first, begin, at, name, times))
    return apart


def _spike(loss_db: Sequence[float], first: int, begin: int, at: int, name: str, times: float) -> Spike:
    before = loss_db[max(first, begin - BEFORE) : begin]
    level, after = median(before), loss_db[at + 1 : at + 1 + ECHO]
    complete = len(after) == ECHO
    echo = median(after) - level if complete else None
    if echo is not None and p_greater(after, before) >= ECHO_P:
        echo = min(echo, 0.0)
    ends = range(at + 1, len(loss_db) - BACK + 1)
    back = next((end - at for end in ends if median(loss_db[end : end + BACK]) <= level + BACK_DB), None)
    return Spike(at, name, times, max(loss_db[begin : at + 1]) - level, echo, back)


def _times(event: Event, decade: float) -> float:
    return float(10.0 ** (event.size / decade))


def _named(run: RunFacts, spikes: Sequence[Spike]) -> str:
    def size(times: float) -> str:
        return f"{times:,.0f}" if times < 1e6 else f"{times:.0e}"

    named = ", ".join(f"step {run.step[each.at]} ({each.name} x{size(each.times)})" for each in spikes[:NAMED])
    return named + (f" and {len(spikes) - NAMED} more" if len(spikes) > NAMED else "")


def _clip(run: RunFacts, spikes: Sequence[Spike]) -> float | None:
    """Return the 90th percentile of the norms, where clipping there would have damped the spikes more than now."""
    if not run.grad_norm:
        return None
    p90 = two_digits(percentile(run.after_warmup(run.grad_norm), 90))
    now = run.clip_norm[-1] if run.clip_norm else math.inf
    return p90 if now > 2.0 * p90 and any(run.grad_norm[each.at] > 2.0 * p90 for each in spikes) else None


def clip_against_spikes(run: RunFacts) -> float | None:
    """Return the clip that SK201 and SK202 advise; None where they do not."""
    spikes = spikes_of(run) if run.loss and run.settled_steps >= 2 * WIDTH else []
    return _clip(run, spikes) if spikes else None


def _place(run: RunFacts, spikes: Sequence[Spike]) -> float | None:
    """Return the step of the epoch that all spikes fall on, to within a few; None where they do not, or unknown."""
    period = run.steps_per_epoch
    if period is None or period < LEAST_PLACES:
        return None
    start = run.step[spikes[0].at]
    off = [(run.step[each.at] - start + period / 2.0) % period - period / 2.0 for each in spikes]
    near = max(off) - min(off) <= 2.0 * max(SAME_STEPS, SAME_PLACE * period)
    return (start + median(off)) % period if near else None


@settled.diagnose(
    "SK202", fix="unsafe", evidence="assumed", where={**known("loss"), **used("grad_norm", "lr")},
    source="Godbole et al., Tuning Playbook, on instability; spike score: Marin / OLMo 2 (arXiv 2501.00656)",
    fires=dict(norm=lambda t: 12.0 if round(400 * t) % 60 == 30 else 0.3),
    silent=dict(norm=lambda t: 12.0 if round(400 * t) == 200 else 0.3),
)  # fmt: skip
def spikes_are_frequent(run: RunFacts) -> Verdict:
    """The loss or gradient norm spikes repeatedly: at least three times, and in at least one of 200 steps.

    ## Why
    AdamW divides by the size of past gradients, so a huge gradient causes a long step, and repeated spikes indicate
    that the steps are too long for the curvature. A spike is a loss 10 dB, or a norm 20 times, above the median of the
    50 steps before, and 3.5 robust standard deviations; spikes within 10 steps count once. Batches with faulty samples
    look the same, but if frames are in a fixed order, they recur at the same step of each epoch, to within 2 %, and
    samples of a different scale have a thousand times the loss of the others: in these cases the learning rate is not
    changed.

    ## Known limits
    Faulty samples in shuffled frames look like a rate that is too high. Small batches have heavy tails: 10 dB of
    loss is rare but possible with 4 frames per batch. A log with the loss alone is judged by it. The first 25 steps
    after the warmup are ignored, as are any 50 in which the rate was raised by half or more: the loss rises after a
    restart of the schedule.
    """
    spikes = spikes_of(run)
    share = len(spikes) / max(1, run.settled_steps)
    if len(spikes) < FREQUENT_COUNT or share < FREQUENT_SHARE:
        return None
    message = f"{pluralize(len(spikes), 'spike')} in {run.settled_steps} steps ({share:.1%}): {_named(run, spikes)}"
    clip, place = _clip(run, spikes), _place(run, spikes)
    foreign = median([each.jump_db for each in spikes]) >= FOREIGN_DB
    patch: Patch = {}
    if place is not None:
        message += f"; all at step {place:.0f} of an epoch"
        advice = "inspect the samples of these steps (`dpdrun data inspect`): the frames are in a fixed order, and one "
        advice += "section of the record is faulty; shuffle the frames"
    elif foreign:
        advice = (
            "inspect the samples (`dpdrun data inspect`): no batch of the same data has a thousand times the loss of "
        )
        advice += "the others"
    else:
        lower = two_digits(run.top_lr / 2)
        patch = {"optim.lr": lower} if lower > 0.0 else {}
        advice = moved("optim.lr", run.top_lr, lower) if patch else "lower the learning rate"
        if clip is not None:
            patch["optim.clip_norm"] = clip
            advice += f" and set optim.clip_norm to {clip:g}, the 90th percentile of the norms"
        advice += "; if they recur once per epoch, inspect the samples (`dpdrun data inspect`)"
    return warning(
        message, value=share, threshold=FREQUENT_SHARE, n=len(spikes), step=run.step[spikes[0].at], patch=patch,
        advice=advice,
    )  # fmt: skip


@settled.diagnose(
    "SK201", fix="unsafe", evidence="cited", where={**known("loss"), **used("grad_norm")},
    requires=("SK202",),
    source="Iglewicz & Hoaglin 1993, 'How to detect and handle outliers': distance from the median in robust spreads",
    fires=dict(norm=lambda t: 12.0 if round(400 * t) == 200 else 0.3, clip_norm=100.0), silent=dict(norm=0.3),
)  # fmt: skip
def isolated_spike(run: RunFacts) -> Verdict:
    """An isolated spike: one or two steps have a loss or a gradient norm far above those before.

    ## Why
    A single spike is not a reason to lower the learning rate: a clip near the usual norms limits the effect of such a
    batch. The frames of a step follow from seed and step, so the batch can be inspected. Two cases are warnings. If,
    after a jump of 15 dB, the median loss of the next 10 steps is 6 dB or more above that of the 20 before, the network
    has to relearn what the step destroyed: because of faulty samples, or after a resume that restored the weights but
    not AdamW's averages, so that the first steps have full length in every weight. A jump of 30 dB, a thousand times
    the loss of the others, cannot come from a batch of the same data. In our runs a clip helped against neither (the
    length of AdamW's steps does not depend on the gradient), so none is recommended. For the definition of a spike see
    SK202.

    ## Known limits
    Spikes within the warmup and the 25 steps after it are ignored.
    """
    spikes = spikes_of(run)
    if not spikes:
        return None
    clip = _clip(run, spikes)
    bound = f"set optim.clip_norm to {clip:g}, the 90th percentile of the norms" if clip is not None else ""
    message = f"{pluralize(len(spikes), 'spike')} in {run.settled_steps} steps: {_named(run, spikes)}"
    worst = max(spikes, key=lambda each: (each.lasts, each.jump_db))
    harmful = worst.lasts or worst.jump_db >= FOREIGN_DB
    if harmful:
        if worst.echo_db is not None:
            back = f"it recovered after {worst.back} steps" if worst.back is not None else "it has not recovered"
            message += f"; the loss of the next {ECHO} steps is {worst.echo_db:.1f} dB above that before, {back}"
        at = run.step[worst.at]
        advice = (
            f"inspect the samples of step {at} (`dpdrun data inspect`); if the run was resumed there, check that the "
        )
        advice += "optimizer state was restored with the weights; if neither is the cause, lower optim.lr"
    else:
        advice = f"{bound or 'leave it'}; keep the learning rate: it was a single batch"
    return finding(
        "warning" if harmful else "info", message, value=spikes[0].times, threshold=SPIKE_Z, n=len(spikes),
        jump_db=worst.jump_db, echo_db=worst.echo_db, step=run.step[spikes[0].at],
        patch={} if harmful or clip is None else {"optim.clip_norm": clip}, advice=advice,
    )  # fmt: skip


@diagnose(
    "SK203", evidence="assumed", requires=("LS201",), where={
        "steps_per_epoch": Within(LEAST_PERIOD), "settled_steps": Within(2 * WIDTH), **known("loss", "step"),
    },
    source="with reshuffled frames all epochs have the same distribution; Mann & Whitney 1947",
    fires=dict(loss=lambda t: 0.01 if round(400 * t) % 20 else 0.04, steps_per_epoch=20.0),
    silent=dict(loss=0.01, steps_per_epoch=20.0),
)  # fmt: skip
def loss_repeats_with_the_epoch(run: RunFacts, steps_per_epoch: float) -> Verdict:
    """The loss dips or spikes at the ends of epochs, or its pattern repeats from epoch to epoch.

    ## Why
    A dip or spike at the end of epochs is caused by a last batch that is smaller and incorrectly weighted, or by an
    optimizer or state that is reset: the last or first steps of the epochs differ by 1 dB or more from all others
    (Mann-Whitney, exact up to eight epochs, p below 0.00025 over the tested lengths). A repeating pattern means that
    frames are never reshuffled: the network sees the same batches in the same order, and the last steps always favour
    the same part of the record. The signs of the detrended loss then correlate by 0.25 or more at a lag of one epoch,
    and well above other lags.

    ## Known limits
    `dpdrun train` has neither partial batches nor a fixed order; this rule is for other training programs. Needs three
    epochs of at least four steps, and five for the order. Steps that were not logged are ignored. With three epochs, a
    dip must be among the deepest few percent of all steps each time.
    """
    period, first = steps_per_epoch, max(run.settled.start, len(run.step) - MOST_STEPS)
    steps = run.step[first:]
    if (steps[-1] - steps[0]) / period < LEAST_EPOCHS:
        return Skipped(f"fewer than {LEAST_EPOCHS} epochs after the warmup")
    losses = run.loss_db[first:]
    rest = (
        residuals(losses, min(WIDTH, max(2 * LEAST_WIDTH, round(period))))
        if run.loss_in_db
        else _within_epochs(losses, steps, period)
    )
    ordered = (steps[-1] - steps[0]) / period >= LEAST_EPOCHS_FOR_ORDER
    return (_order(rest, period) if ordered else None) or _ends(rest, steps, period)


def _within_epochs(losses: Sequence[float], steps: Sequence[int], period: float) -> list[float]:
    """Return each point less the line through the halves of its epoch.

    The loss of a memorised training set falls in stairs, one an epoch: their common shape is no order of the frames.
    """
    rest: list[float] = []
    for _, lines in groupby(zip(steps, losses, strict=True), key=lambda pair: math.floor((pair[0] - 1) / period)):
        epoch = [loss for _, loss in lines]
        rest += residuals(epoch, max(2, len(epoch) // 2))
    return rest


def _ends(rest: Sequence[float], steps: Sequence[int], period: float) -> Finding | None:
    """Return whether the last or the first steps of the epochs are unlike all others."""
    lengths = sorted({period, float(math.floor(period)), float(math.ceil(period))})
    limit = PERIOD_P / len(lengths)
    for length in lengths:
        for name, late in (("last", 0), ("first", 1)):
            ends = [math.floor((s - late) / length) > math.floor((s - late - 1) / length) for s in steps]
            these = [value for value, end in zip(rest, ends, strict=True) if end]
            those = [value for value, end in zip(rest, ends, strict=True) if not end]
            if len(these) < LEAST_EPOCHS or not those:
                continue
            size = median(these) - median(those)
            p = min(_p_greater(these, those), _p_greater([-v for v in these], [-v for v in those]))
            if abs(size) >= PERIOD_DB and p < limit:
                return warning(
                    f"the {name} step of an epoch ({length:g} steps) has a loss {abs(size):.1f} dB "
                    f"{'above' if size > 0 else 'below'} the others (p {max(p, 1e-16):.1g}, {len(these)} epochs)",
                    value=size, threshold=PERIOD_DB, p=p, n=len(these),
                    advice="check the last batch of an epoch: drop it if it is smaller, or divide its loss by its "
                    "true size; also check what is reset there (optimizer, recurrent state, scheduler)",
                )  # fmt: skip
    return None


def _p_greater(these: Sequence[float], those: Sequence[float]) -> float:
    """Return `p_greater` of a few among many: the normal approximation never finds three of them significant.

    The share of `those` above each of a few is uniform on 0 to 1 where all are alike, and the sum of n such shares has
    the distribution of Irwin and Hall.
    """
    n = len(these)
    if n > FEW_EPOCHS:
        return p_greater(these, those)
    ordered = sorted(those)
    above = (len(ordered) - bisect_left(ordered, value) + 1 for value in these)  # one more: never below the exact p
    total = min(float(n), sum(above) / (len(ordered) + 1))
    terms = ((-1.0) ** k * math.comb(n, k) * (total - k) ** float(n) for k in range(math.floor(total) + 1))
    p: float = sum(terms) / math.factorial(n)
    return min(1.0, max(0.0, p))


def _order(rest: Sequence[float], period: float) -> Finding | None:
    """Return whether the ups and downs of one epoch are those of the next."""
    near = (math.floor(period), math.ceil(period))
    seen, lag = max(zip(correlations(rest, *near), near, strict=True), key=lambda pair: pair[0])
    pairs, away = len(rest) - lag, max(2, lag // 3)
    others = mean(correlations(rest, lag - away, lag + away))
    if seen < REPEAT or seen - others < REPEAT_ABOVE or seen * math.sqrt(pairs) < REPEAT_Z:
        return None
    return warning(
        f"the loss of an epoch ({period:g} steps) repeats that of the previous epoch (correlation {seen:.2f}, "
        f"{others:.2f} at other lags)",
        value=seen, threshold=REPEAT, n=pairs, elsewhere=others, advice="reshuffle the frames in every epoch",
    )  # fmt: skip
