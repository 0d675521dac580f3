"""LR: the peak learning rate, by the family and the width of the network."""

from __future__ import annotations

import math
from typing import Annotated

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import NETWORKS, Steps, check, derive, info, used, warning
from dpdrun.rules.engine import Choice, Skipped, Verdict, evaluate_rules, find_rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import LRLaw, law_of, longer_than_swept, outside_sweep
from dpdrun.rules.regret import band_of, measured, regret_of
from dpdrun.rules.sources import NOTE_FURTHER, OPENDPD, SWEEPS, SWEPT_UNITS, SWEPT_WIDTHS
from dpdrun.rules.text import two_digits

# The note's bands: d_model below 512, below 1024, from 1024. The last is a range; its log-midpoint is one choice in it.
NOTE_SMALL_BELOW, NOTE_SMALL_LR = 512, 3e-4
NOTE_MEDIUM_BELOW, NOTE_MEDIUM_LR = 1024, 1e-4
NOTE_LARGE_LOW, NOTE_LARGE_HIGH = 5e-5, 1e-4

OPENDPD_LR = 5e-4
PUBLISHED_LONG_LR = 5e-3

LR = Annotated[float, Within(0)]


def log_midpoint(low: float, high: float) -> float:
    """Return the geometric mean to two digits: the middle of a range of learning rates, which act by ratios."""
    return two_digits(math.sqrt(low * high))


@derive(
    "LR001", sets="optim.lr", kinds=("transformer",), requires=("LR010",), source=NOTE_FURTHER, evidence="cited",
    fires=dict(kind="transformer", d_model=512), silent=dict(kind="gru", hidden=16),
)  # fmt: skip
def lr_by_width_band(d_model: Steps) -> Choice:
    """Learning rate of a Transformer by the three width bands of the founding Transformer note.

    ## Why
    Wider networks tolerate smaller steps: the change of an output grows with the number of weights that move together.
    d_model below 512: 3e-4. From 512 to 1023: 1e-4. From 1024: the range 5e-5 to 1e-4, of which the log-midpoint,
    7.1e-5, is used; the note does not say which point of the range it means, so the range is always shown.

    ## Known limits
    The bands are flat below 512 and jump by a factor of 3 at 512. The note also gives 1e-4 to 3e-4 for any Transformer
    (docs/note.md). In our own sweeps, of windowed attention from d_model 8 to 256, far higher rates were better by many
    dB (LR010, docs/results.md#regret), so `rules: measured` applies this rule only where nothing was measured.
    """
    if d_model < NOTE_SMALL_BELOW:
        return Choice(NOTE_SMALL_LR, f"the note: d_model {d_model} is below {NOTE_SMALL_BELOW}")
    if d_model < NOTE_MEDIUM_BELOW:
        why = f"the note: d_model {d_model} is between {NOTE_SMALL_BELOW} and {NOTE_MEDIUM_BELOW - 1}"
        return Choice(NOTE_MEDIUM_LR, why)
    return Choice(
        log_midpoint(NOTE_LARGE_LOW, NOTE_LARGE_HIGH),
        f"the note: d_model {d_model} is at least {NOTE_MEDIUM_BELOW}; log-midpoint of its range",
        {"low": NOTE_LARGE_LOW, "high": NOTE_LARGE_HIGH},
    )


@derive(
    "LR002", sets="optim.lr", kinds=("gru",), requires=("LR011", "LR013"), source=OPENDPD, evidence="cited",
    fires=dict(kind="gru", hidden=16), silent=dict(kind="transformer", d_model=32),
)  # fmt: skip
def lr_of_a_gru_by_opendpd(hidden: Steps) -> Choice:
    """Learning rate of a GRU, 5e-4, as in the code of the founding Transformer note.

    ## Why
    It is the default of OpenDPD, on which the note's GRU reached about -30 dB: with `rules: note` a GRU is trained as
    the note trained it. The note's bands by d_model are for Transformers and are never applied to a GRU. With
    `rules: measured` this answers only for sizes that were not measured (LR011).

    ## Known limits
    The best published networks of about 1,000 parameters use 5e-3 (OpenDPDv2), ten times more: LR013.
    """
    return Choice(OPENDPD_LR, f"OpenDPD's default, with which the note's GRU trained well; this one has {hidden} units")


@derive(
    "LR010", sets="optim.lr", profile="measured", kinds=("transformer",),
    where={**SWEPT_WIDTHS, **used("total_steps", "batch", "layers")}, premise=outside_sweep,
    source=SWEEPS, evidence="measured", results="docs/results.md#regret",
    fires=dict(kind="transformer", d_model=32, window=32), silent=dict(kind="transformer", d_model=512, window=32),
)  # fmt: skip
def lr_by_measured_width(facts: PlanFacts) -> Choice:
    """Learning rate of a Transformer with windowed attention, by bands of d_model, fitted to our sweeps.

    ## Why
    PA models are hundreds of times smaller than the networks for which 3e-4 became the usual value. They also start as
    a linear model, because their residual branches are initialised to zero, and therefore tolerate a high rate from the
    first steps. On jobs that it was not fitted to, this rule lost less than every other advisor we tried. There is one
    band per swept width, and the nearest by ratio applies; wider networks get lower rates. Run length, batch size and
    number of layers affect the rate less than the width does. The range extends down to where half of the jobs of about
    this length lose 0.3 dB more, and up to where one in twenty does: above the best rate, training soon fails.
    docs/results.md#regret has the law and its rates.

    ## Known limits
    Fitted to the amplifiers of two captures and a synthetic one, and to the run lengths, batch sizes and depths of the
    study; jobs outside these ranges get the rate of the nearest end, and the reason says so. On a data set that was
    excluded from the fit it loses more (docs/results.md#regret). Valid for `beta2: 0.95`, a warmup of 5 % and a cosine
    schedule (OP010, WU010, SC010), the linear skip, zero-initialised residuals, and signals at unit rms. Not for full
    attention.
    """
    return _by_law(law_of("transformer"), facts)


@derive(
    "LR011", sets="optim.lr", profile="measured", kinds=("gru",), where={**SWEPT_UNITS, **used("total_steps", "batch")},
    premise=longer_than_swept,
    source=SWEEPS, evidence="measured", results="docs/results.md#regret",
    fires=dict(kind="gru", hidden=16), silent=dict(kind="gru", hidden=512),
)  # fmt: skip
def lr_of_a_small_gru(facts: PlanFacts) -> Choice:
    """Learning rate of a GRU, by bands of hidden units, fitted to our sweeps.

    ## Why
    Our GRUs tolerate rates a hundred times higher than OpenDPD's 5e-4, and need them: at low rates they do not converge
    in runs of this length. Below the best rate the loss is flat over a few octaves for 8 and 16 units, but not for 64,
    where two to four times the best rate makes a run diverge.

    ## Known limits
    Those of LR010, and a single run length of 400 steps. Up to four times that the rate is an extrapolation, which the
    reason and the evidence say; for longer runs LR013 applies.
    """
    return _by_law(law_of("gru"), facts)


@derive(
    "LR013", sets="optim.lr", profile="measured", kinds=("gru",), where=SWEPT_UNITS, requires=("LR011",),
    source="OpenDPDv2 (arXiv 2507.06849), OpenDPDv2.sh: lr 5e-3, 240 epochs, batch 64", evidence="cited",
    fires=dict(kind="gru", hidden=16, max_steps=90_000), silent=dict(kind="gru", hidden=512, max_steps=90_000),
)  # fmt: skip
def lr_of_a_long_gru(facts: PlanFacts) -> Choice | Skipped:
    """Learning rate of a GRU whose run is much longer than our sweeps: 5e-3, as published.

    ## Why
    Our GRU sweeps have 400 steps, in which only a high rate makes progress. Whether such a rate is safe in runs that
    are a hundred or a thousand times as long is not known. OpenDPDv2 publishes 5e-3, lowered on plateaus, for recurrent
    networks of about 1,000 parameters and 90,000 steps. Applies to runs of more than four times the swept length.

    ## Known limits
    Not measured here. Sizes outside 8 to 64 units get OpenDPD's default (LR002). `dpdrun probe` finds the highest rate
    at which such a network trains at all.
    """
    total = facts.total_steps
    if total is None or longer_than_swept(facts) is None:
        return Skipped("LR011 covers this length")
    return Choice(
        PUBLISHED_LONG_LR,
        f"published for runs of 90,000 steps (OpenDPDv2); not measured here: our sweeps of GRUs have {_swept_steps()}, "
        f"this run {total:,} steps",
    )  # fmt: skip


def _swept_steps() -> str:
    least, most = law_of("gru").swept["steps"]
    return f"{least:,.0f}" if least == most else f"{least:,.0f} to {most:,.0f}"


def _by_law(law: LRLaw, facts: PlanFacts) -> Choice:
    lr, band = law.lr(facts), band_of(law.kind, facts.total_steps)
    low, high = (two_digits(lr * 2**octaves) for octaves in (band.tie if band else (0.0, 0.0)))
    steps, batch = (law.held(name, facts) for name in ("steps", "batch"))
    why = f"our sweeps: width {law.band(facts.width or 1)}, {steps:,.0f} steps, batch {batch:g}"
    if law.kind == "transformer":
        why += f", layers {law.held('layers', facts):g}"
    beyond = law.beyond(facts)
    if beyond:
        why += f" (the nearest to {', '.join(beyond)}, which was not swept)"
    if band is None and facts.total_steps:
        why += "; runs of this length were not swept"
    return Choice(
        two_digits(lr), why, {"low": low, "high": high} if low < high else {}, "assumed" if beyond else None
    )  # fmt: skip


@check(
    "LR101", about=("optim.lr",), profile="note", kinds=("transformer",), fix="unsafe", source=NOTE_FURTHER,
    evidence="cited",
    fires=dict(kind="transformer", d_model=256, lr=1e-2), silent=dict(kind="transformer", d_model=256, lr=3e-4),
)  # fmt: skip
def lr_outside_the_notes_band(d_model: Steps, lr: LR) -> Verdict:
    """The learning rate is not the one that the founding Transformer note gives for this d_model.

    ## Why
    The note lists a learning rate that is too high among the causes of its failed training. From d_model 1024 on, any
    rate in its range passes (LR001).

    ## Known limits
    Only with `rules: note`. In our own sweeps rates far above the note's bands were better (LR010, LR102).
    """
    band: float
    band, _, limits, _ = lr_by_width_band(d_model)
    low, high = float(limits.get("low", band)), float(limits.get("high", band))
    if low <= two_digits(lr) <= high:
        return None
    given = f"{band:g}" if low == high else f"{low:g} to {high:g}"
    return warning(
        f"optim.lr is {lr:g}; the note gives {given} for d_model {d_model}",
        value=lr, low=low, high=high, patch={"optim.lr": band}, also=", or use `rules: measured`",
    )  # fmt: skip


@check(
    "LR102", about=("optim.lr",), profile="measured", kinds=NETWORKS, fix="unsafe",
    where={"lr": Within(0), "width": Within(1), **used("total_steps", "batch", "layers")},
    source=SWEEPS, evidence="measured", results="docs/results.md#regret",
    fires=dict(kind="transformer", d_model=32, window=32, lr=3e-4),
    silent=dict(kind="transformer", d_model=32, window=32, lr=2e-2),
)  # fmt: skip
def lr_outside_its_band(facts: PlanFacts, kind: str, lr: float) -> Verdict:
    """The learning rate is so far from the best of our sweeps that half of the swept jobs lost more than 2 dB.

    ## Why
    No other training setting affects the NMSE as much as the learning rate. Below the band the loss in dB grows slowly
    with the distance; above it training soon fails. The rate is compared with that of LR010 or LR011 for the same job,
    and with the swept jobs of the nearest length.

    ## Known limits
    Those of LR010 and LR011. Does not apply where they do not, or to runs more than 4 times shorter or longer than the
    swept ones.
    """
    outcome, _ = evaluate_rules([find_rule("LR010" if kind == "transformer" else "LR011")], facts)
    if outcome.skipped:
        return outcome.skipped[0]
    ours, band = outcome.findings[0].patch["optim.lr"], band_of(kind, facts.total_steps)
    if band is None:
        return Skipped("runs of this length were not swept")
    low, high = (two_digits(ours * 2**octaves) for octaves in band.lost)
    if low <= lr <= high:
        return None
    there = regret_of(kind, lr, ours, facts.total_steps)
    jobs = f"of {there.workloads} swept jobs half" if there and there.workloads > 1 else "a swept job"
    loss = f"{jobs} lost {there.median_db:.1f} dB there" if there else "outside the rates that were swept"
    return warning(
        f"optim.lr {lr:g} is {'below' if lr < low else 'above'} its band of {low:g} to {high:g}: {loss}",
        value=lr, low=low, high=high, patch={"optim.lr": ours},
    )  # fmt: skip


@check(
    "LR103", about=("optim.lr",), profile="measured", kinds=NETWORKS, where=used("total_steps", "batch", "layers"),
    source=SWEEPS, evidence="assumed",
    fires=dict(kind="transformer", d_model=300, lr=3e-4, max_steps=400),
    silent=dict(kind="transformer", d_model=32, lr=3e-4, max_steps=400),
)  # fmt: skip
def low_rate_outside_the_sweeps(facts: PlanFacts, kind: str, lr: LR, width: Steps) -> Verdict:
    """The network is just outside the swept widths, and the learning rate did badly at the nearest of them.

    ## Why
    Outside of the sweeps the rate of the founding Transformer note (docs/note.md) applies (LR001), which is far below
    the best rates at the nearest swept widths. Setting another rate would be a guess, so this finding only points it
    out. It is reported up to twice the widest and down to half the narrowest swept width, if half of the swept jobs
    lost more than 2 dB with such a rate.

    ## Known limits
    Info only, without a fix: it was not measured whether the loss at the nearest width carries over. Not for full
    attention.
    """
    if facts.window == math.inf or outside_sweep(facts) is None:
        return None
    law = law_of(kind)
    near, ours, band = law.band(width), law.lr(facts), band_of(kind, facts.total_steps)
    if band is None:
        return None
    lowest = ours * 2.0 ** band.tried[0]  # what was lost there is the least that is lost below it
    there = regret_of(kind, max(lr, lowest), ours, facts.total_steps)
    if not near / 2 <= width <= near * 2 or there is None or there.median_db <= measured()["expected"]["lost_db"]:
        return None
    return info(
        f"width {width} was not swept; at {near}, the nearest, half of the swept jobs lost {there.median_db:.1f} dB "
        f"{'and more ' * (lr < lowest)}with an lr of {lr:g}",
        value=lr, advice="measure the best rate with `dpdrun probe RECIPE`",
    )  # fmt: skip
