"""SK: single steps whose loss or gradient norm stands out, and what repeats from epoch to epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean, median

from dpdrun.rules.catalogue import Finding, Skipped, Verdict, rule
from dpdrun.rules.examples import example_run
from dpdrun.rules.run_facts import RunFacts
from dpdrun.rules.series import Event, correlations, outliers, p_greater, residuals
from dpdrun.rules.words import counted

INF = math.inf

WIDTH = 50  # steps of the stretch that a step is compared with
SPIKE_Z = 3.5  # spreads; gradients and losses of small batches have heavy tails, so size counts as well
SPIKE_LOSS_DB = 10.0
SPIKE_NORM_DECADES = 1.3  # 20 times
FLOOR_LOSS_DB = 0.3  # smallest spread that is believed
FLOOR_NORM_DECADES = 0.05
REFRACTORY = 10  # steps: what follows a spike is its echo
FREQUENT_COUNT = 3
FREQUENT_SHARE = 0.005
NAMED = 5  # steps in a message

MOST_STEPS = 20_000  # at the end of a log; more do not make a period clearer
LEAST_WIDTH = 5
LEAST_PERIOD = 4.0  # steps in an epoch
LEAST_EPOCHS = 5
PERIOD_P = 2.5e-4  # 0.001 over last and first step of an epoch, up and down (Bonferroni)
PERIOD_DB = 1.0
REPEAT = 0.25  # autocorrelation of signs at a lag of one epoch
REPEAT_ABOVE = 0.2  # more than at other lags
REPEAT_Z = 4.5


def spikes_of(run: RunFacts) -> list[tuple[int, str, float]]:
    """(position, `loss` or `norm`, how many times its level) of each spike, in order."""
    return run.once("spikes", lambda: _spikes_of(run))


def _spikes_of(run: RunFacts) -> list[tuple[int, str, float]]:
    first = run.settled.start
    seen: list[tuple[int, str, float]] = []
    for name, values, least, floor, decades in (
        ("loss", run.loss_db, SPIKE_LOSS_DB, FLOOR_LOSS_DB, 10.0),
        ("norm", run.log_norm, SPIKE_NORM_DECADES, FLOOR_NORM_DECADES, 1.0),
    ):
        found = outliers(values[first:], width=WIDTH, z=SPIKE_Z, least=least, floor=floor, gap=REFRACTORY)
        seen += [(first + event.top, name, _times(event, decades)) for event in found]
    apart: list[tuple[int, str, float]] = []
    for spike in sorted(seen):
        if not apart or spike[0] - apart[-1][0] > REFRACTORY:
            apart.append(spike)
    return apart


def _times(event: Event, decade: float) -> float:
    return float(10.0 ** (event.size / decade))


def _said(run: RunFacts, spikes: Sequence[tuple[int, str, float]]) -> str:
    named = ", ".join(f"step {run.step[at]} ({name} x{times:.0f})" for at, name, times in spikes[:NAMED])
    return named + (f" and {len(spikes) - NAMED} more" if len(spikes) > NAMED else "")


def _clip(run: RunFacts, spikes: Sequence[tuple[int, str, float]]) -> float | None:
    """The 90th percentile of the norms, where clipping there would have damped the spikes more than now."""
    norms = sorted(run.after_warmup(run.grad_norm))
    p90 = float(f"{norms[int(0.9 * len(norms))]:.2g}")
    now = run.clip_norm[-1] if run.clip_norm else INF
    return p90 if now > 2.0 * p90 and any(run.grad_norm[at] > 2.0 * p90 for at, _, _ in spikes) else None


@rule(
    "SK202",
    purpose="diagnose",
    source="Godbole et al., Tuning Playbook, on instability; spike score: Marin / OLMo 2 (arXiv 2501.00656)",
    evidence="assumed",
    fix="unsafe",
    box={"settled_steps": (2 * WIDTH, INF)},
    needs=("loss", "grad_norm", "lr"),
    requires=("LS201",),
    fires=lambda: example_run(norm=lambda t: 12.0 if round(400 * t) % 60 == 30 else 0.3),
    silent=lambda: example_run(norm=lambda t: 12.0 if round(400 * t) == 200 else 0.3),
)
def spikes_are_frequent(run: RunFacts) -> Verdict:
    """Loss or gradient norm spikes again and again: three or more times, and in one step of 200 or more.

    ## What it does
    Compares each step after the warmup with the 50 around it: a spike is 10 dB of loss or 20 times the norm above their
    median, and 3.5 spreads. Spikes within 10 steps count once.

    ## Why
    AdamW divides by the size of past gradients, so one huge gradient makes a long step, and a steep place that is met
    again and again says that the steps are too long for it. Batches with faulty samples look the same.

    ## Known limits
    Which of the two it is the steps tell: faulty samples come back once an epoch, at the same frames. Small batches
    have heavy tails: 10 dB of loss is rare but not unheard of with 4 frames a batch.

    ## Example
    Fires for six norms of 12 at a level of 0.3. Silent for one.
    """
    spikes = spikes_of(run)
    share = len(spikes) / max(1, run.settled_steps)
    if len(spikes) < FREQUENT_COUNT or share < FREQUENT_SHARE:
        return None
    lr, clip = run.top_lr, _clip(run, spikes)
    lower = float(f"{lr / 2:.2g}")
    advice = f"lower optim.lr from {lr:g} to {lower:g}"
    patch: dict[str, float] = {"optim.lr": lower}
    if clip is not None:
        patch["optim.clip_norm"] = clip
        advice += f" and set optim.clip_norm to {clip:g}, the 90th percentile of the norms"
    return Finding(
        f"{counted(len(spikes), 'spike')} in {run.settled_steps} steps ({share:.1%}): {_said(run, spikes)}",
        patch,
        "warning",
        step=run.step[spikes[0][0]],
        evidence={"value": share, "threshold": FREQUENT_SHARE, "n": len(spikes)},
        advice=advice + "; if they come back once an epoch, look at the samples (`dpdrun data inspect`)",
    )


@rule(
    "SK201",
    purpose="diagnose",
    source="Iglewicz & Hoaglin 1993, 'How to detect and handle outliers': distance from the median in robust spreads",
    evidence="cited",
    fix="unsafe",
    box={"settled_steps": (2 * WIDTH, INF)},
    needs=("loss", "grad_norm"),
    requires=("LS201", "SK202"),
    fires=lambda: example_run(norm=lambda t: 12.0 if round(400 * t) == 200 else 0.3, clip_norm=100.0),
    silent=lambda: example_run(norm=0.3),
)
def a_step_stands_out(run: RunFacts) -> Verdict:
    """A single step has a loss or a gradient norm far above those around it.

    ## What it does
    As SK202, for one or two spikes. Names the steps.

    ## Why
    Once is no reason to lower the learning rate: a clip near the usual norms bounds what such a batch can do. The
    frames of a step follow from seed and step, so the batch can be looked at.

    ## Known limits
    Info only. Spikes within the warmup are not looked at.

    ## Example
    Fires for one norm of 12 at a level of 0.3. Silent without it.
    """
    spikes = spikes_of(run)
    if not spikes:
        return None
    clip = _clip(run, spikes)
    bound = f"set optim.clip_norm to {clip:g}, the 90th percentile of the norms" if clip is not None else "leave it"
    return Finding(
        f"{counted(len(spikes), 'spike')} in {run.settled_steps} steps: {_said(run, spikes)}",
        {} if clip is None else {"optim.clip_norm": clip},
        step=run.step[spikes[0][0]],
        evidence={"value": spikes[0][2], "threshold": SPIKE_Z, "n": len(spikes)},
        advice=f"{bound}; keep the learning rate: it was a single batch",
    )


@rule(
    "SK203",
    purpose="diagnose",
    source="the epochs of a run are equal in distribution when frames are shuffled anew; Mann & Whitney 1947",
    evidence="assumed",
    box={"steps_per_epoch": (LEAST_PERIOD, INF), "settled_steps": (2 * WIDTH, INF)},
    needs=("loss", "step"),
    requires=("LS201",),
    fires=lambda: example_run(loss=lambda t: 0.01 if round(400 * t) % 20 else 0.04, steps_per_epoch=20.0),
    silent=lambda: example_run(loss=0.01, steps_per_epoch=20.0),
)
def loss_repeats_with_the_epoch(run: RunFacts) -> Verdict:
    """The loss dips or spikes at the ends of epochs, or its ups and downs repeat from epoch to epoch.

    ## What it does
    Takes out the drift of the loss (in dB) and compares the last and the first steps of the epochs with all others: 1
    dB or more, and Mann-Whitney with p below 0.00025. Then asks whether the rest of one epoch predicts the next: an
    autocorrelation of signs of 0.25 or more at a lag of one epoch, and well above that at other lags. Needs five
    epochs of four steps or more.

    ## Why
    A dip or spike at the end is a last batch that is smaller and weighted wrongly, or an optimizer or a state that is
    reset. A pattern that repeats is an order that is never shuffled: the network then sees the same batches in the
    same order, and its last steps always favour the same part of the record.

    ## Known limits
    `dpdrun train` has neither partial batches nor a fixed order; this is for other trainers. Steps that were not logged
    cannot be judged. Silent where an epoch is a fraction of a step longer than a whole number of steps and the pattern
    drifts.

    ## Example
    Fires when every 20th loss is four times the others, at 20 steps an epoch. Silent for noise.
    """
    period, first = run.steps_per_epoch or 0.0, max(run.settled.start, len(run.step) - MOST_STEPS)
    steps = run.step[first:]
    if (steps[-1] - steps[0]) / period < LEAST_EPOCHS:
        return Skipped(f"fewer than {LEAST_EPOCHS} epochs after the warmup")
    rest = residuals(run.loss_db[first:], min(WIDTH, max(2 * LEAST_WIDTH, round(period))))
    repeated = _order(rest, period)
    if repeated is not None:
        return repeated
    for name, late in (("last", 0), ("first", 1)):
        ends = [math.floor((s - late) / period) > math.floor((s - late - 1) / period) for s in steps]
        these = [value for value, end in zip(rest, ends, strict=True) if end]
        those = [value for value, end in zip(rest, ends, strict=True) if not end]
        if len(these) < LEAST_EPOCHS or not those:
            continue
        size = median(these) - median(those)
        p = min(p_greater(these, those), p_greater(those, these))
        if abs(size) >= PERIOD_DB and p < PERIOD_P:
            return Finding(
                f"the {name} step of an epoch ({period:g} steps) has a loss {abs(size):.1f} dB "
                f"{'above' if size > 0 else 'below'} the others (p {max(p, 1e-16):.1g}, {len(these)} epochs)",
                severity="warning",
                evidence={"value": size, "threshold": PERIOD_DB, "p": p, "n": len(these)},
                advice="look at the last batch of an epoch: drop it when it is smaller or divide its loss by its true "
                "size; and at what is reset there (optimizer, state of a recurrent network, scheduler)",
            )
    return None


def _order(rest: Sequence[float], period: float) -> Verdict:
    """Whether the ups and downs of one epoch are those of the next."""
    near = (math.floor(period), math.ceil(period))
    seen, lag = max(zip(correlations(rest, *near), near, strict=True), key=lambda pair: pair[0])
    pairs, away = len(rest) - lag, max(2, lag // 3)
    others = mean(correlations(rest, lag - away, lag + away))
    if seen < REPEAT or seen - others < REPEAT_ABOVE or seen * math.sqrt(pairs) < REPEAT_Z:
        return None
    return Finding(
        f"the loss of an epoch ({period:g} steps) repeats that of the epoch before (correlation {seen:.2f}, "
        f"{others:.2f} at other lags)",
        severity="warning",
        evidence={"value": seen, "threshold": REPEAT, "n": pairs, "elsewhere": others},
        advice="shuffle the frames anew in every epoch",
    )
