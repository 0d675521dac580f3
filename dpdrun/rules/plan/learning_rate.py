"""LR: the peak learning rate, by the family and the width of the network."""

from __future__ import annotations

import math

from dpdrun.rules.engine import Finding, Skipped, Verdict, evaluate, find_rule, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.lr_law import LRLaw, law_of, outside_sweep, two_digits
from dpdrun.rules.regret import band_of, measured, regret_of
from dpdrun.rules.sources import MEASURED_UNITS, MEASURED_WIDTHS, NOTE_FURTHER, OPENDPD, SWEEPS

INF = math.inf

# The note's bands: d_model below 512, below 1024, from 1024. The last is a range; its log-midpoint is one choice in it.
NOTE_SMALL_BELOW, NOTE_SMALL_LR = 512, 3e-4
NOTE_MEDIUM_BELOW, NOTE_MEDIUM_LR = 1024, 1e-4
NOTE_LARGE_LOW, NOTE_LARGE_HIGH = 5e-5, 1e-4

OPENDPD_LR = 5e-4


def log_midpoint(low: float, high: float) -> float:
    """Geometric mean to two digits: the middle of a range of learning rates, which act by ratios."""
    return two_digits(math.sqrt(low * high))


@rule(
    "LR001",
    sets="optim.lr",
    source=NOTE_FURTHER,
    evidence="cited",
    box={"kind": ("transformer",), "d_model": (1, INF)},
    requires=("LR010",),
    fires=lambda: PlanFacts(kind="transformer", d_model=512),
    silent=lambda: PlanFacts(kind="gru", hidden=16),
)
def lr_by_width_band(facts: PlanFacts) -> Verdict:
    """Learning rate of a Transformer by the note's three width bands.

    ## What it does
    d_model below 512: 3e-4. From 512 to 1023: 1e-4. From 1024: the range 5e-5 to 1e-4, of which the log-midpoint
    7.1e-5 is taken; the note does not say which point of its range is meant, so the range is always shown.

    ## Why
    Wider networks tolerate smaller steps: the change of an output grows with the number of weights that move together.

    ## Known limits
    The bands are flat below 512 and jump by a factor of 3 at 512. The note also gives 1e-4 to 3e-4 for any Transformer
    (docs/note.md). Our own sweeps, of windowed attention from d_model 8 to 256, found far higher rates to be better by
    many dB (LR010, docs/results.md#regret), which is why `rules: measured` asks that rule first and this one only where
    nothing was measured.

    ## Example
    Fires for a Transformer with d_model 512 (1e-4). Silent for a GRU.
    """
    width = facts.d_model or 0
    if width < NOTE_SMALL_BELOW:
        return Finding(f"the note: d_model {width} is below {NOTE_SMALL_BELOW}", {"optim.lr": NOTE_SMALL_LR})
    if width < NOTE_MEDIUM_BELOW:
        why = f"the note: d_model {width} is between {NOTE_SMALL_BELOW} and {NOTE_MEDIUM_BELOW - 1}"
        return Finding(why, {"optim.lr": NOTE_MEDIUM_LR})
    return Finding(
        f"the note: d_model {width} is at least {NOTE_MEDIUM_BELOW}; log-midpoint of its range",
        {"optim.lr": log_midpoint(NOTE_LARGE_LOW, NOTE_LARGE_HIGH)},
        evidence={"low": NOTE_LARGE_LOW, "high": NOTE_LARGE_HIGH},
    )


@rule(
    "LR002",
    sets="optim.lr",
    source=OPENDPD,
    evidence="cited",
    box={"kind": ("gru",), "hidden": (1, INF)},
    requires=("LR011",),
    fires=lambda: PlanFacts(kind="gru", hidden=16),
    silent=lambda: PlanFacts(kind="transformer", d_model=32),
)
def lr_of_a_gru_by_opendpd(facts: PlanFacts) -> Verdict:
    """Learning rate of a GRU as the note's own code has it: 5e-4.

    ## What it does
    Sets 5e-4, the default of OpenDPD, on which the note's GRU reached about -30 dB. The note's bands by d_model are
    for Transformers and are never applied to a GRU.

    ## Why
    With `rules: note` a GRU is trained as the note trained it. With `rules: measured` this answers only for sizes
    that were not measured (LR011).

    ## Known limits
    The best published networks of about 1,000 parameters use 5e-3 (OpenDPDv2), ten times more.

    ## Example
    Fires for a GRU of 16 units. Silent for a Transformer.
    """
    why = f"OpenDPD's default, with which the note's GRU trained well; this one has {facts.hidden} units"
    return Finding(why, {"optim.lr": OPENDPD_LR})


@rule(
    "LR010",
    "measured",
    sets="optim.lr",
    source=SWEEPS,
    evidence="measured",
    results="docs/results.md#regret",
    box={"kind": ("transformer",), "d_model": MEASURED_WIDTHS},
    uses=("total_steps", "batch", "layers"),
    fires=lambda: PlanFacts(kind="transformer", d_model=32, window=32),
    silent=lambda: PlanFacts(kind="transformer", d_model=512, window=32),
)
def lr_by_measured_width(facts: PlanFacts) -> Verdict:
    """Learning rate of a Transformer with windowed attention, by bands of d_model, fitted to our sweeps.

    ## What it does
    Bands at the widths that were swept, the nearest by ratio; the wider, the lower. Run length, batch and layers move
    the rate by less than the width does. It shows the range, in jobs of about this length, down to where half of them
    lose 0.3 dB more, and up to where one in twenty does: above the best training ends in a cliff.
    docs/results.md#regret has the law and the rates that follow from it.

    ## Why
    PA models are hundreds of times smaller than the networks for which 3e-4 became the usual value, and they begin as
    their linear skip, with silent residual branches, which bears a high rate from the first steps. Judged on jobs that
    it was not fitted to, the rule lost less than every other advisor that we tried.

    ## Known limits
    Amplifiers of two captures and a synthetic one, run lengths, batches and depths as the study has them; a job beyond
    is taken at the nearest end, and the line says so. Judged on a data set that it knew nothing of it loses more
    (docs/results.md#regret). Holds for `beta2: 0.95`, a warmup of 5 % and a cosine (OP010,
    WU010, SC010), the linear skip, zero-initialised residuals, and signals at unit rms. Above the range the loss is a
    cliff, below it a slope. Not for full attention.

    ## Example
    Fires for d_model 32. Silent for d_model 512, which was not measured.
    """
    if reason := outside_sweep(facts):
        return Skipped(reason)
    return _by_law(law_of("transformer"), facts)


@rule(
    "LR011",
    "measured",
    sets="optim.lr",
    source=SWEEPS,
    evidence="measured",
    results="docs/results.md#regret",
    box={"kind": ("gru",), "hidden": MEASURED_UNITS},
    uses=("total_steps", "batch"),
    fires=lambda: PlanFacts(kind="gru", hidden=16),
    silent=lambda: PlanFacts(kind="gru", hidden=512),
)
def lr_of_a_small_gru(facts: PlanFacts) -> Verdict:
    """Learning rate of a GRU, fitted to our sweeps.

    ## What it does
    As LR010, by bands of hidden units.

    ## Why
    Our GRUs bear rates a hundred times higher than OpenDPD's 5e-4 and need them: at low rates they do not arrive in
    runs of this length. Below the best the loss is flat over some octaves for 8 and 16 units; at 64 it is not, and
    twice to four times the best rate ends a run.

    ## Known limits
    Those of LR010, and fewer lengths; the line says when runs of a length were not swept. Over 90,000 steps OpenDPDv2
    publishes 5e-3.

    ## Example
    Fires for 16 units. Silent for 512 units.
    """
    return _by_law(law_of("gru"), facts)


def _by_law(law: LRLaw, facts: PlanFacts) -> Finding:
    lr, band = law.lr(facts), band_of(law.kind, facts.total_steps)
    low, high = (two_digits(lr * 2**octaves) for octaves in (band.tie if band else (0.0, 0.0)))
    steps, batch = (law.held(name, facts) for name in ("steps", "batch"))
    why = f"our sweeps: width {law.band(facts.width or 1)}, {steps:,.0f} steps, batch {batch:g}"
    if law.kind == "transformer":
        why += f", layers {law.held('layers', facts):g}"
    if beyond := law.beyond(facts):
        why += f" (the nearest to {', '.join(beyond)})"
    if band is None and facts.total_steps:
        why += "; runs of this length were not swept"
    return Finding(why, {"optim.lr": two_digits(lr)}, evidence={"low": low, "high": high} if low < high else {})


@rule(
    "LR101",
    "note",
    purpose="check",
    source=NOTE_FURTHER,
    evidence="cited",
    fix="unsafe",
    about=("optim.lr",),
    box={"kind": ("transformer",), "d_model": (1, INF), "lr": (0, INF)},
    fires=lambda: PlanFacts(kind="transformer", d_model=256, lr=1e-2),
    silent=lambda: PlanFacts(kind="transformer", d_model=256, lr=3e-4),
)
def lr_outside_the_notes_band(facts: PlanFacts) -> Verdict:
    """The learning rate is not the one that the note gives for this d_model.

    ## What it does
    Compares with the band of LR001; from d_model 1024 any rate in the note's range will do.

    ## Why
    The note names a learning rate that is too high among the causes of its failure.

    ## Known limits
    Only with `rules: note`. Our own sweeps found rates far above its bands to be better (LR010, LR102).

    ## Example
    Fires for 1e-2 at d_model 256. Silent for 3e-4.
    """
    said, lr = lr_by_width_band(facts), facts.lr or 0.0
    assert isinstance(said, Finding)
    band: float = said.patch["optim.lr"]
    low, high = float(said.evidence.get("low", band)), float(said.evidence.get("high", band))
    if low <= two_digits(lr) <= high:
        return None
    wanted = f"{band:g}" if low == high else f"{low:g} to {high:g}"
    return Finding(
        f"optim.lr is {lr:g}; the note gives {wanted} for d_model {facts.d_model}",
        {"optim.lr": band},
        "warning",
        evidence={"value": lr, "low": low, "high": high},
        advice=f"set optim.lr to {band:g}, or ask `rules: measured`",
    )


@rule(
    "LR102",
    "measured",
    purpose="check",
    source=SWEEPS,
    evidence="measured",
    results="docs/results.md#regret",
    fix="unsafe",
    about=("optim.lr",),
    box={"kind": ("transformer", "gru"), "lr": (0, INF), "width": (1, INF)},
    uses=("total_steps", "batch", "layers"),
    fires=lambda: PlanFacts(kind="transformer", d_model=32, window=32, lr=3e-4),
    silent=lambda: PlanFacts(kind="transformer", d_model=32, window=32, lr=2e-2),
)
def lr_outside_its_band(facts: PlanFacts) -> Verdict:
    """The learning rate is so far from that of our sweeps that half of the swept jobs lost more than 2 dB there.

    ## What it does
    Compares with LR010 or LR011 for the same job, and with the swept jobs whose length is nearest. Says what half of
    them lost at that distance, or that none of them was tried with such a rate.

    ## Why
    No other setting of training is worth as much as the learning rate. Below the band the loss grows slowly with the
    distance; above it training ends in a cliff.

    ## Known limits
    Those of LR010 and LR011; silent where they are, and in runs more than 4 times shorter or longer than the swept
    ones.

    ## Example
    Fires for 3e-4 at d_model 32. Silent for 2e-2.
    """
    outcome, _ = evaluate([find_rule("LR010" if facts.kind == "transformer" else "LR011")], facts)
    if outcome.skipped:
        return outcome.skipped[0]
    ours, lr = outcome.findings[0].patch["optim.lr"], facts.lr or 0.0
    band = band_of(facts.kind, facts.total_steps)
    if band is None:
        return Skipped("runs of this length were not swept")
    low, high = (two_digits(ours * 2**octaves) for octaves in band.lost)
    if low <= lr <= high:
        return None
    found = regret_of(facts.kind, lr, ours, facts.total_steps)
    jobs = f"of {found.workloads} swept jobs half" if found and found.workloads > 1 else "a swept job"
    loss = f"{jobs} lost {found.median_db:.1f} dB there" if found else "no sweep tried it, none got so far"
    return Finding(
        f"optim.lr {lr:g} is {'below' if lr < low else 'above'} its band of {low:g} to {high:g}: {loss}",
        {"optim.lr": ours},
        "warning",
        evidence={"value": lr, "low": low, "high": high},
        advice=f"set optim.lr to {ours:g}",
    )


@rule(
    "LR103",
    "measured",
    purpose="check",
    source=SWEEPS,
    evidence="assumed",
    about=("optim.lr",),
    box={"kind": ("transformer", "gru"), "lr": (0, INF), "width": (1, INF)},
    uses=("total_steps", "batch", "layers"),
    fires=lambda: PlanFacts(kind="transformer", d_model=300, lr=3e-4, max_steps=400),
    silent=lambda: PlanFacts(kind="transformer", d_model=32, lr=3e-4, max_steps=400),
)
def low_rate_beside_the_sweeps(facts: PlanFacts) -> Verdict:
    """The network is a little wider or narrower than the swept ones, and the rate lost much at the nearest of them.

    ## What it does
    Up to twice the widest and half the narrowest width that was swept, says what half of the swept jobs lost with such
    a rate at the nearest width, where that is more than 2 dB.

    ## Why
    Outside of the sweeps the note's rate stands (LR001), which is far below what its neighbours need. To say nothing
    would hide it; to set another would be a guess.

    ## Known limits
    Info only, without a fix: that the neighbours' loss carries over was not measured. Not for full attention.

    ## Example
    Fires for 3e-4 at d_model 300. Silent at 32, where LR102 speaks.
    """
    if facts.window == INF or outside_sweep(facts) is None:
        return None
    law, width, lr = law_of(facts.kind or ""), facts.width or 1, facts.lr or 0.0
    near, ours, band = law.band(width), law.lr(facts), band_of(facts.kind, facts.total_steps)
    if band is None:
        return None
    lowest = ours * 2.0 ** band.tried[0]  # what was lost there is the least that is lost below it
    found = regret_of(facts.kind, max(lr, lowest), ours, facts.total_steps)
    if not near / 2 <= width <= near * 2 or found is None or found.median_db <= measured()["expected"]["lost_db"]:
        return None
    return Finding(
        f"no width of {width} was swept; at {near}, the nearest, half of the swept jobs lost {found.median_db:.1f} dB "
        f"{'and more ' * (lr < lowest)}with an lr of {lr:g}",
        evidence={"value": lr},
        advice="measure your own with `dpdrun probe RECIPE`",
    )
