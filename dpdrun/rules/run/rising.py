"""LS: a loss that rises and stays up, in the unit in which it was logged, from the loss alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

from dpdrun.rules.declare import Family, diagnose, error, finding, known, used, warning
from dpdrun.rules.engine import Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.guessing import guess_at
from dpdrun.rules.run.constant_answer import same_number
from dpdrun.rules.series import MEDIAN_OVER_MEAN, blocks, cusum_start, jitter, noise
from dpdrun.rules.text import two_digits

MOST_BLOCKS = 20
LEAST_BLOCK = 3  # lines
LEAST_LINES = 8
ENOUGH_BLOCKS = 6
ENOUGH = MOST_BLOCKS + 4  # lines from which blocks are compared, else lines
EARLY = 0.8  # the lowest block lies before this share of the lines
SURE, SURE_OF_FEW = 4.0, 6.0  # standard errors of the logarithm; at most 0.8 in 80 healthy public logs
RISES, RISES_OF_FEW = 1.2, 1.3  # times the lowest level
ABOVE_START = 1.05  # times the start: the whole progress is lost
POWER_DB = 5.0
POWER_ERROR_DB = 10.0
FELL = 10.0  # times: such a loss is a power, whatever its name
FEW_LAST = 0.2  # of few lines, at least two
ENOUGH_FOR_LS202 = 60  # steps after the warmup
RESTARTED = 1.25  # a minimum at a rate that is so much lower than the present one is no measure for it
CUSUM_SLACK, CUSUM_LIMIT = 0.5, 8.0
LEAST_FOR_CLIMB, CLIMBS, TIMES_LOWEST = 6, 3, 3.0  # lines; the last ones, in order; times the lowest line

LEAST_FOR_START, LEAST_APART = 2, 4
TIMES_START = 1.5
FEW_LINES = 24  # the noise of fewer is not known: they are compared one by one
FEW_TIMES, AT_ONCE_TIMES = 1.15, 1.3  # the former at most 1.01 in 928 healthy public logs
LOWER = 3.0
LOWER_FAR = 10.0
FAR = 3.0  # times the start
RETURNS = (
    0.2  # of the lines at the end: a loss that comes back to its start there, as a sum over an epoch does, is not lost
)
TINY = 1e-30
NOT_BELOW = 1.0  # of the first training loss: a training that does not fall either

finite = Family(where={**known("loss", "step"), **used("lr", "peak_lr")}, requires=("LS201", "LS202", "LR202", "LS209"))


@dataclass(frozen=True)
class Rise:
    """A loss that is above its lowest level and stays there: both levels, standard errors between them, positions."""

    start: float
    lowest: float
    end: float
    z: float
    at: int
    began: int
    n: int

    @property
    def lost(self) -> float:
        """Share of the progress that was lost."""
        return (self.end - self.lowest) / max(self.start - self.lowest, 1e-30)

    @property
    def times(self) -> float:
        """How many times the lowest level the last one is."""
        return self.end / max(self.lowest, 1e-30)


def lower_rate(run: RunFacts, factor: float) -> tuple[dict[str, float], str]:
    """Return patch and advice for a learning rate that is lower by a factor; no number if no rate is known."""
    lr = run.top_lr
    if not 0.0 < lr < math.inf:
        return {}, "lower the learning rate"
    lower = two_digits(lr / factor)
    return {"optim.lr": lower}, f"lower the learning rate from {lr:g} to {lower:g}"


def rise_of(run: RunFacts) -> Rise | None:
    """Return the rise of a loss above its lowest level, None where there is none; compared as decibels.

    The noise of a loss is a share of its level: on a linear scale a curve that falls shows that of its start, and one
    that rises that of its end.
    """
    many = len(run.loss) >= ENOUGH
    width = max(LEAST_BLOCK, len(run.loss) // MOST_BLOCKS) if many else 1
    found = blocks(run.loss_db, width, start=len(run.loss) % width)  # up to the last line
    last = max(2, round(FEW_LAST * len(found))) if not many else 2
    levels = [block.level for block in found]
    alike = [i for i in range(len(found) - last) if not _lower_rate_then(run, found[i].positions[0])]
    if not alike:
        return None
    low = min(alike, key=levels.__getitem__)
    end = min(levels[-last:])
    if low >= EARLY * len(found) or not levels[low] < end:
        return None
    single = max(noise(run.loss_db), 1e-9)
    error_of_one = single * MEDIAN_OVER_MEAN / math.sqrt(width)
    sides = [side for side in (levels[: low + 1], levels[low:]) if len(side) >= ENOUGH_BLOCKS]
    if sides:  # noise that lasts for several lines shows in the blocks; so does a rise, on one side
        error_of_one = max(error_of_one, min(map(jitter, sides)))
    after = range(found[low].positions.stop, len(run.loss))
    since = cusum_start(
        [run.loss_db[i] for i in after], level=levels[low], spread=single, slack=CUSUM_SLACK, limit=CUSUM_LIMIT
    )
    start = max(10 ** (levels[0] / 10), fmean(run.loss[:2]))
    z = (end - levels[low]) / (error_of_one * math.sqrt(2.0))
    at, began = found[low].positions[0], after[since or 0]
    return Rise(start, 10 ** (levels[low] / 10), 10 ** (end / 10), z, at, began, len(found))


def _lower_rate_then(run: RunFacts, at: int) -> bool:
    return bool(run.lr) and run.lr[at] < max(run.lr[-1], run.lr[-len(run.lr) // 10 or -1]) / RESTARTED


@dataclass(frozen=True)
class Course:
    """A loss that shows whether training made the network worse: of training or, failing that, of validation."""

    what: str
    steps: Sequence[int]
    losses: Sequence[float]


def _courses(run: RunFacts) -> list[Course]:
    """Return the training loss and, if it does not fall, each validation loss."""
    courses = [Course("the loss", run.step, run.loss)] if run.loss else []
    if run.loss and median(run.loss[-3:]) < NOT_BELOW * run.loss[0]:
        return courses  # overfitting, which EV205 judges
    for name, (steps, values) in run.scorings.items():
        if values and all(0.0 < value < math.inf for value in values):
            courses.append(Course(f"the validation loss{f' of {name}' if name else ''}", steps, values))
    return courses


@diagnose(
    "LS206", fix="unsafe", evidence="assumed", requires=("SC201", "LS201", "LS202", "LR202", "LS209"),
    where=used("loss", "step", "eval_losses", "lr", "peak_lr"),
    source="an untrained network has the loss of a guess; a loss far above it means confidently wrong answers",
    fires=dict(loss=lambda t: 1.6 if t < 0.01 else 10.4, spread=0.02, loss_unit="nats"), silent={},
)  # fmt: skip
def loss_worse_than_at_the_start(run: RunFacts) -> Verdict:
    """The final loss is far above the first: training made the network worse than it was.

    ## Why
    Steps that are too large destroy what a network has learned, or its initialisation. Reported if the median of the
    last tenth of the lines (at least three) is more than 1.5 times the first line, and above it by six standard
    deviations of a line or more. With fewer than 24 lines (at least four), reported if every line of the last third is
    above every line of the first quarter by 15 % (a factor of three for a power, or with fewer than eight lines; 5 % if
    each line is an epoch), or if all later lines are 30 % above the first, and further from it than from each other;
    also if the last line is the highest, and three times the first.
    Logarithms are compared, because noise scales with the level. A validation loss is judged in the same way if the log
    has no training loss, or one that does not fall. If the final level is ln K for K classes or tokens, the message
    says so: it is the loss of a network that guesses.

    ## Known limits
    A loss whose weights are increased on purpose looks the same (KL annealing). Not reported if the loss returns to its
    initial level within the last fifth of the lines, as a running sum that restarts with each epoch does. LR202 reports
    this in logs in which the loss is a power and the learning rate is known.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    courses = _courses(run)
    if not courses:
        return Skipped("needs loss")
    enough = [each for each in courses if len(each.losses) >= LEAST_FOR_START]
    if not enough:
        return Skipped(f"needs {LEAST_FOR_START} lines with a loss, there are {max(len(c.losses) for c in courses)}")
    for each in enough:
        few = len(each.losses) < LEAST_LINES
        start, end = each.losses[0], median(each.losses[-(1 if few else max(3, len(each.losses) // 10)) :])
        if (limit := _worse(run, each.losses, start, end)) is None:
            continue
        patch, lower = lower_rate(run, LOWER_FAR if end > FAR * start else LOWER)
        return error(
            f"{each.what} rose from {start:.4g} to {end:.4g}{_guess(run, end)}",
            value=end / max(start, TINY), threshold=limit, n=len(each.losses), step=each.steps[1], patch=patch,
            advice=f"{lower}, and lengthen the warmup",
        )  # fmt: skip
    most = max(len(each.losses) for each in enough)
    return None if most >= LEAST_LINES else Skipped(f"needs {LEAST_LINES} lines with a loss to see no rise")


def _worse(run: RunFacts, losses: Sequence[float], start: float, end: float) -> float | None:
    """Return the limit [times the start] that a loss which ends far above its start has passed; None if it has none."""
    if len(losses) >= FEW_LINES:
        returns = min(losses[-max(3, round(RETURNS * len(losses))) :]) <= start
        rises = end > TIMES_START * start and not returns
        return TIMES_START if rises and math.log(end / max(start, TINY)) > SURE_OF_FEW * noise(_logs(losses)) else None
    if losses[-1] == max(losses) and losses[-1] >= FAR * start:
        return FAR
    limit = FAR if run.loss_in_db or len(losses) < LEAST_LINES else FEW_TIMES
    limit = ABOVE_START if run.steps_per_epoch == 1.0 else limit  # the mean of an epoch has little noise
    if len(losses) < LEAST_APART:
        return None
    if min(losses[-max(2, len(losses) // 3) :]) >= limit * max(*losses[: max(1, len(losses) // 4)], TINY):
        return limit
    low, high = min(losses[1:]), max(losses[1:])
    at_once = not run.loss_in_db and low >= AT_ONCE_TIMES * start and low * low >= start * high
    return AT_ONCE_TIMES if at_once else None


def _logs(losses: Sequence[float]) -> list[float]:
    return [math.log(max(loss, TINY)) for loss in losses]


def _guess(run: RunFacts, level: float) -> str:
    guess = guess_at(level, 0.0, run.loss_unit)
    return f" ({guess})" if guess else ""


@finite.diagnose(
    "LS205", fix="unsafe", evidence="assumed", requires=("LS206",),
    source="Page 1954 (CUSUM) for the onset; lasting loss spikes: Chowdhery et al. 2022 (PaLM), section 5.1",
    fires=dict(loss=lambda t: 2.4 if t < 0.6 else 7.0, spread=0.03, loss_unit="nats"),
    silent=dict(loss=lambda t: 2.4 if t < 0.6 else 2.45, spread=0.03, loss_unit="nats"),
)  # fmt: skip
def loss_rises_and_stays(run: RunFacts) -> Verdict:
    """The loss rose far above its lowest level and stays there.

    ## Why
    A cross-entropy that goes from 2.4 to 7 and stays there has lost everything, and that is only 4.6 dB; one that goes
    from 5.2 to 6.4 has lost what it learned in days. The medians of up to 20 blocks of lines are compared on a log
    scale, because noise scales with the level: both of the last two are 20 % above the lowest, by four standard errors.
    For a power, or a loss that fell to a tenth, the limit is 5 dB. With fewer than 24 lines, the last fifth of the
    lines has to be 30 % above the best line, by six standard errors; or the last three (of six to 23 lines) rise, and
    all of them are three times the lowest line or higher. An error if all progress is lost (for a power, from 10 dB
    on).

    ## Known limits
    Harder data, longer sequences or loss weights that are increased on purpose look the same. If the log has the
    learning rate, blocks at less than 80 % of the current rate are not compared. LS202 takes precedence if the loss is
    a power and the rate is known.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    if run.loss_in_db and run.lr and run.settled_steps >= ENOUGH_FOR_LS202:
        return Skipped("LS202 judges a power with its rate")
    if same_number(run.loss) and run.loss[-1] < TIMES_START * run.loss[0]:
        return Skipped("LS204 judges a loss that is one number")
    if climbs := _climbs(run):
        return climbs
    if len(run.loss) < LEAST_LINES:
        return Skipped(f"needs {LEAST_LINES} lines with a loss to see no rise, there are {len(run.loss)}")
    rise = rise_of(run)
    if rise is None or rise.lowest < 0.0:
        return None
    severe = _is_far(run, rise)
    if severe is None:
        return None
    patch, lower = lower_rate(run, 2.0)
    lost = f", {rise.lost:.0%} of its progress lost" if rise.lost <= 1.0 else f", above its start of {rise.start:.4g}"
    lost = lost if rise.start > rise.lowest else ""
    return finding(
        "error" if severe else "warning",
        f"the loss rose from {rise.lowest:.4g} near step {run.step[rise.at]} to {rise.end:.4g}"
        f"{_guess(run, rise.end)} and stays there{lost}; the rise began near step {run.step[rise.began]}",
        value=rise.end - rise.lowest, z=rise.z, lost=rise.lost, n=rise.n, step=run.step[rise.began], patch=patch,
        advice=f"go back to a checkpoint before step {run.step[rise.began]} and {lower}; if it rose in a single step, "
        "inspect that batch",
    )  # fmt: skip


def _climbs(run: RunFacts) -> Verdict:
    """Return a finding if the last lines rise, each of them far above the lowest; of many lines, noise may do so."""
    low = min(range(len(run.loss)), key=run.loss.__getitem__)
    last = run.loss[-CLIMBS:]
    some = LEAST_FOR_CLIMB <= len(run.loss) < ENOUGH and 0 < low < len(run.loss) - CLIMBS
    if not some or not 0.0 < run.loss[low] <= min(last) / TIMES_LOWEST or last != sorted(last) or last[-1] == last[0]:
        return None
    patch, lower = lower_rate(run, 2.0)
    return warning(
        f"the loss rises in the last {CLIMBS} lines, from {last[0]:.4g} to {last[-1]:.4g}, and was {run.loss[low]:.4g} "
        f"at step {run.step[low]}",
        value=min(last) / run.loss[low], threshold=TIMES_LOWEST, n=len(run.loss), step=run.step[low], patch=patch,
        advice=f"go back to a checkpoint before step {run.step[-CLIMBS]} and {lower}",
    )  # fmt: skip


def _is_far(run: RunFacts, rise: Rise) -> bool | None:
    """Return whether a rise is an error (True), a warning (False) or too small (None)."""
    few = len(run.loss) < ENOUGH
    if rise.z < (SURE_OF_FEW if few else SURE):
        return None
    is_power = run.loss_in_db or (run.loss_unit is None and rise.start >= FELL * max(rise.lowest, TINY))
    if is_power:
        db = 10.0 * math.log10(rise.times)
        return None if db < POWER_DB else db >= POWER_ERROR_DB
    return None if rise.times < (RISES_OF_FEW if few else RISES) else rise.end >= ABOVE_START * rise.start
