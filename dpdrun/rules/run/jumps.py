"""LS: abrupt changes of the level of the loss; SK: spikes, in logs with no more than the loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, median

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import Family, finding, info, known, used, warning
from dpdrun.rules.engine import Finding, Skipped, Verdict
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run.rising import lower_rate
from dpdrun.rules.series import noise, outliers
from dpdrun.rules.statistics import decimate
from dpdrun.rules.text import pluralize

LEAST_LINES = 40
MOST_LINES = 4000
BEFORE, AFTER = 10, 5
FIRST = 0.1  # of the lines; the first tenth is not judged
JUMP_Z = 6.0
JUMP_SHARE = 0.15  # of the progress
JUMP_TIMES, JUMP_TIMES_POWER = 1.25, 5.0
ALL_LOST, ALL_LOST_TIMES = 0.8, 1.05  # of the progress: then a lower level is enough
NEAR = 2  # lines between a jump and what coincides with it
STAYS, EIGHTH = 20, 8  # or an eighth of a shorter log: lines later a third of the jump is still there
NORM_TIMES = 3.0
RATE_TIMES = 1.1
GAP_TIMES = 3.0

SPIKE_WIDTH = 50
SPIKE_Z = 8.0
SPIKE_DB = 3.0  # twice the loss
SPIKE_FLOOR_DB = 0.1
SPIKE_SHARE = 0.3  # of the progress
SPIKE_GAP = 10
FREQUENT_COUNT = 3
FREQUENT_SHARE = 0.005
LEAST_FOR_SPIKES = 2 * SPIKE_WIDTH
NAMED = 5

LEAST_OF_SHORT = 5
FAR_TIMES, FAR_Z = 10.0, 6.0
MAD_OF_UNIT_NORMAL = NormalDist().inv_cdf(0.75)
FEW_SPIKES = 2
BLOWN_UP = 1000.0  # times the level around: one such line is enough
TINY = 1e-30
INSPECT = "inspect the samples of these steps (outliers, empty sequences, divisions by zero), and clip the gradient"

sound = Family(where=used("lr", "grad_norm", "line_steps"), requires=("LS201", "LS209"))


def _has_all(run: RunFacts) -> bool:
    return run.loss_in_db and bool(run.grad_norm) and bool(run.lr)


@sound.diagnose(
    "LS207", fix="none", evidence="assumed", requires=("LS202", "LS205", "LS206", "LR202"),
    source="a step change found by medians of ten lines before and five after; limits from public logs",
    where={"logged_steps": Within(LEAST_LINES), **known("loss", "step")},
    fires=dict(loss=lambda t: 3.0 * (0.3 if t < 0.5 else 0.8) * 10 ** (-0.4 * (t % 0.5)), loss_unit="nats"),
    silent=dict(loss=lambda t: 3.0 * 10 ** (-0.5 * t), loss_unit="nats"),
)  # fmt: skip
def loss_jumps(run: RunFacts) -> Verdict:
    """The loss jumps to a higher level from one line to the next, as after a resume that lost its state.

    ## Why
    Within a run, consecutive losses differ only by the noise of a batch. A jump to more than 1.25 times the previous
    level (five times for a power), by six standard deviations and 15 % of the progress so far, means that something
    changed; so does one of 5 % if it undoes 80 % of the progress: the run was resumed without its optimizer or schedule
    state, or the data changed. The message lists what coincides with the jump: a learning rate that rises, steps that
    go back, a gap in the steps, a norm that jumps too.

    ## Known limits
    A deliberate change of the data (a curriculum, a second stage) looks the same. If nothing coincides with the jump
    and the loss is back within 20 lines, it is a spike (SK201, SK204). The first tenth of the lines is not judged.
    Needs 40 lines.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    if _has_all(run):
        return Skipped("SK201 judges a power with its norm and rate")
    stretch = -(-len(run.loss) // MOST_LINES)
    losses = decimate(run.loss, len(run.loss) // stretch) if stretch > 1 else list(run.loss)
    times = JUMP_TIMES_POWER if run.loss_in_db else JUMP_TIMES
    found = _largest_jump(losses, times)
    if found is None:
        return None
    at, before, after = found
    line = min(at * stretch, len(run.step) - 1)
    stay = min(STAYS, max(AFTER, len(losses) // EIGHTH))
    later = losses[at + stay : at + stay + AFTER]
    stays = bool(later) and median(later) > before + (after - before) / 3.0
    signs = _signs(run, line, stretch)
    if not (signs or stays):
        return None  # a spike
    named = "".join(f"; {sign}" for sign in signs)
    return warning(
        f"the loss jumps from {before:.4g} to {after:.4g} at step {run.step[line]}{named}",
        value=after / before, threshold=times, n=len(losses), step=run.step[line],
        advice="if the run was resumed there, restore the optimizer, the schedule and the data order as well; "
        f"otherwise compare the data before and after step {run.step[line]}",
    )  # fmt: skip


def _largest_jump(losses: Sequence[float], times: float) -> tuple[int, float, float] | None:
    """Return position and levels of the largest jump, None if there is none."""
    spread = max(noise(losses), 1e-12)
    first = max(BEFORE, round(FIRST * len(losses)))
    start, best = median(losses[:AFTER]), None
    lowest = min(median(losses[i : i + AFTER]) for i in range(0, first, AFTER))
    for at in range(first, len(losses) - AFTER + 1):
        before = median(losses[at - BEFORE : at])
        lowest = min(lowest, before)
        if max(losses[at : at + AFTER]) <= ALL_LOST_TIMES * before:
            continue
        after = median(losses[at : at + AFTER])
        size = after - before
        if before <= 0.0 or size <= JUMP_Z * spread:
            continue
        if after <= times * before and not (size > ALL_LOST * (start - lowest) and after > ALL_LOST_TIMES * before):
            continue
        if size > JUMP_SHARE * (start - lowest) and (best is None or size > best[2] - best[1]):
            best = (at, before, after)
    return best


def _signs(run: RunFacts, line: int, stretch: int) -> list[str]:
    """Return what happens in the log where the loss jumps."""
    near = range(max(1, line - NEAR * stretch), min(len(run.step), line + NEAR * stretch + 1))
    signs = []
    if run.lr and any(run.lr[i] > RATE_TIMES * run.lr[i - 1] > 0.0 for i in near):
        signs.append("the learning rate rises there")
    gaps = [b - a for a, b in zip(run.step, run.step[1:], strict=False)]
    if gaps and any(gaps[i - 1] > GAP_TIMES * median(gaps) for i in near):
        signs.append("steps are missing there")
    back = {b for a, b in zip(run.line_steps, run.line_steps[1:], strict=False) if b < a}
    if any(run.step[i] in back for i in near):
        signs.append("the steps go back there: the run was resumed")
    norms = [value for value in run.grad_norm[max(0, line - 5 * BEFORE) : line] if math.isfinite(value)]
    if norms and any(run.grad_norm[i] > NORM_TIMES * max(median(norms), 1e-30) for i in near if i >= line):
        signs.append("the gradient norm jumps too")
    return signs


@sound.diagnose(
    "SK204", fix="unsafe", evidence="assumed", requires=("SK201", "SK202", "LS202", "LS205", "LS206", "LS207"),
    source="Iglewicz & Hoaglin 1993: distance from the median in robust spreads; limits from public logs",
    where={"logged_steps": Within(LEAST_FOR_SPIKES), **known("loss", "step")},
    fires=dict(loss=lambda t: 5.0 if round(400 * t) % 60 == 30 else 1.5, spread=0.05, loss_unit="nats"),
    silent=dict(loss=lambda t: 1.9 if round(400 * t) % 60 == 30 else 1.5, spread=0.05, loss_unit="nats"),
)  # fmt: skip
def loss_spikes(run: RunFacts) -> Verdict:
    """The loss repeatedly spikes to at least twice its recent level; measured in the unit of the loss.

    ## Why
    SK202 requires ten times the level of a power, which is more than a cross-entropy can rise in most runs. Here a
    spike is at least twice the median of the 50 lines before it, eight robust standard deviations above it, and higher
    by 30 % of the progress of the run. Three spikes that make up at least one in 200 lines are a warning: the steps are
    too large, or some batches are faulty. Fewer are info.

    ## Known limits
    If a line is the mean over many steps, single spikes do not show, and exports that subsample the log miss them.
    Losses of single examples are noisy by nature; the eight standard deviations are those of their own noise. Needs 100
    lines.
    """
    if run.loss_in_db or run.loss_unit == "objective":
        return Skipped("SK201 and SK202 judge such a loss")
    events = outliers(run.loss_db, width=SPIKE_WIDTH, z=SPIKE_Z, least=SPIKE_DB, floor=SPIKE_FLOOR_DB, gap=SPIKE_GAP)
    progress = median(run.loss[:SPIKE_GAP]) - median(run.loss[-SPIKE_GAP:])
    high = [each for each in events if run.loss[each.top] * (1 - 10 ** (-each.size / 10)) >= SPIKE_SHARE * progress]
    if not high:
        return None
    share = len(high) / len(run.loss)
    named = ", ".join(f"step {run.step[each.top]} ({run.loss[each.top]:.4g})" for each in high[:NAMED])
    more = f" and {len(high) - NAMED} more" if len(high) > NAMED else ""
    message = f"{pluralize(len(high), 'spike')} of the loss in {len(run.loss)} lines: {named}{more}"
    if len(high) < FREQUENT_COUNT or share < FREQUENT_SHARE:
        return info(
            message, value=share, threshold=FREQUENT_SHARE, n=len(high), step=run.step[high[0].top],
            advice="a single spike is no reason to change the learning rate; inspect the batch of that step",
        )  # fmt: skip
    patch, lower = lower_rate(run, 2.0)
    return warning(
        message, value=share, threshold=FREQUENT_SHARE, n=len(high), step=run.step[high[0].top], patch=patch,
        advice=f"inspect the batches of these steps; if they are sound, {lower} and clip the gradient near its usual "
        "norm",
    )  # fmt: skip


@sound.diagnose(
    "SK205", evidence="assumed", requires=("SK201", "SK202", "SK204", "LS202", "LS205", "LS206"),
    source="a line ten times the lines on both sides belongs to neither; limits from public logs",
    where=used("loss", "step", "signed_loss", "signed_step", "eval_losses"),
    fires=dict(steps=40, warmup=1, loss=lambda t: 900.0 if round(40 * t) % 10 == 5 else 1.5, loss_unit="nats"),
    silent=dict(steps=40, warmup=1, loss_unit="nats"),
)  # fmt: skip
def loss_spikes_in_few_lines(run: RunFacts) -> Verdict:
    """In a short log, isolated lines of the loss are ten times the lines before and after them.

    ## Why
    A log of a few dozen lines shows little of its noise, so a spike has to be ten times the median of the five lines on
    either side (excluding other spikes), and six standard deviations of a line above it on a log scale: a loss near 0
    can vary tenfold by chance. A loss that may be negative is measured from its lowest line. Two spikes are a warning,
    and so is one of a thousand times the usual level, of a validation loss too: some samples or batches blow up the
    loss and every mean that includes them. Any other single spike is info.

    ## Known limits
    Logs of fewer than five lines, and spikes at either end, are not judged. SK204 applies from 100 lines on.
    """
    if run.loss_unit == "objective":
        return Skipped("the level of this loss says nothing about progress")
    if _has_all(run):
        return Skipped("SK201 and SK202 judge a power with its norm and rate")
    steps, losses = (run.step, run.loss) if run.loss else (run.signed_step, run.signed_loss)
    if blown := next(filter(None, (_blown_up(*each) for each in run.scorings.values())), None):
        return blown
    if not LEAST_OF_SHORT <= len(losses) < LEAST_FOR_SPIKES:
        return Skipped(f"for {LEAST_OF_SHORT} to {LEAST_FOR_SPIKES - 1} lines with a loss, there are {len(losses)}")
    high = _far_from_both_sides(losses)
    if not high:
        return None
    named = ", ".join(f"step {steps[at]} ({losses[at]:.3g})" for at in high[:NAMED])
    often = len(high) >= FEW_SPIKES or _times_the_usual(losses) >= BLOWN_UP
    return finding(
        "warning" if often else "info",
        f"the loss is ten times that of the neighbouring lines in {len(high)} of {len(losses)} lines: {named}; its "
        f"median is {median(losses):.4g}",
        value=len(high), threshold=FEW_SPIKES, n=len(losses), step=steps[high[0]], advice=INSPECT,
    )  # fmt: skip


def _times_the_usual(losses: Sequence[float]) -> float:
    """Return the highest line over the median, both from the lowest one where that is negative."""
    low = min(0.0, *losses)
    return (max(losses) - low) / max(median(losses) - low, TINY)


def _blown_up(steps: Sequence[int], scores: Sequence[float]) -> Finding | None:
    """Return the finding of a single validation loss that is a thousand times the usual one."""
    high = _far_from_both_sides(scores) if len(scores) >= LEAST_OF_SHORT and min(scores) >= 0.0 else []
    if not high or _times_the_usual(scores) < BLOWN_UP:
        return None
    return warning(
        f"the validation loss is {max(scores):.3g} at step {steps[scores.index(max(scores))]}; its median is "
        f"{median(scores):.4g}", value=_times_the_usual(scores), threshold=BLOWN_UP, n=len(scores), step=steps[high[0]],
        advice=INSPECT,
    )  # fmt: skip


def _far_from_both_sides(losses: Sequence[float]) -> list[int]:
    """Return the positions of lines that are far above the lines before and those after."""
    low = min(0.0, *losses)  # a loss that may be negative is measured from its lowest line
    above = [each - low for each in losses]
    limit = FAR_TIMES * median(above)
    logs = [math.log(each) for each in above if 0.0 < each <= limit]
    spread = median(abs(each - median(logs)) for each in logs) / MAD_OF_UNIT_NORMAL if low == 0.0 and logs else 0.0
    times = max(FAR_TIMES, math.exp(FAR_Z * spread))
    found = []
    for at, value in enumerate(above):
        sides = [above[max(0, at - AFTER) : at], above[at + 1 : at + 1 + AFTER]]
        usual = [[each for each in side if each <= limit] or side for side in sides]
        if value > limit and all(sides) and all(value > times * median(side) for side in usual):
            found.append(at)
    return found
