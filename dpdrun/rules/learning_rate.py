"""LR: the peak learning rate, by the family and the width of the network."""

from __future__ import annotations

import math

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.facts import PlanFacts
from dpdrun.rules.sources import MEASURED_WIDTHS, NOTE_FURTHER, OPENDPD

INF = math.inf

# The note's bands: d_model below 512, below 1024, from 1024. The last is a range; its log-midpoint is one choice in it.
NOTE_SMALL_BELOW, NOTE_SMALL_LR = 512, 3e-4
NOTE_MEDIUM_BELOW, NOTE_MEDIUM_LR = 1024, 1e-4
NOTE_LARGE_LOW, NOTE_LARGE_HIGH = 5e-5, 1e-4

# docs/results.md#learning-rate: largest d_model of the band, best lr measured there, and the range within 0.3 dB of it.
MEASURED_BANDS = (
    (24, 2e-2, 1e-2, 3e-2),
    (48, 1e-2, 5e-3, 2e-2),
    (128, 5e-3, 3e-3, 1e-2),
)
GRU_LR, GRU_LOW, GRU_HIGH = 1e-2, 3e-3, 2e-2
GRU_MEASURED_HIDDEN = (8, 32)
OPENDPD_LR = 5e-4


def log_midpoint(low: float, high: float) -> float:
    """Geometric mean to two digits: the middle of a range of learning rates, which act by ratios."""
    return float(f"{math.sqrt(low * high):.2g}")


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
    The bands are flat below 512 and jump by a factor of 3 at 512. Below 129 our own sweeps found learning rates 10 to
    100 times higher to be better by several dB (LR010), which is why `rules: measured` asks that rule first and this
    one only where nothing was measured.

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
    return Finding(
        f"OpenDPD's default, with which the note's GRU trained well ({facts.hidden} units)", {"optim.lr": OPENDPD_LR}
    )


@rule(
    "LR010",
    "measured",
    sets="optim.lr",
    source="our sweep over the learning rate on APA_200MHz",
    evidence="measured",
    results="docs/results.md#learning-rate",
    box={"kind": ("transformer",), "d_model": MEASURED_WIDTHS},
    fires=lambda: PlanFacts(kind="transformer", d_model=32),
    silent=lambda: PlanFacts(kind="transformer", d_model=256),
)
def lr_by_measured_width(facts: PlanFacts) -> Verdict:
    """Learning rate of a small Transformer, from sweeps on a measured power amplifier.

    ## What it does
    Takes the best learning rate of the nearest measured width (bands in `dpdrun/rules/learning_rate.py`), with the
    range that lost little around it.

    ## Why
    PA models are hundreds of times smaller than the networks for which 3e-4 became the usual value. At d_model 32 the
    note's 3e-4 ended 8 dB above 1e-2 at the same number of steps.

    ## Known limits
    Measured for the pre-norm encoder with windowed attention, linear skip and zero-initialised residuals, signals at
    unit rms, runs of 600 to 12,000 steps. The rates are for batches of 8 frames (BT010); batches of 32 took 1.5 to 2
    times higher ones. Widths: 8, 16, 32 and 128; between them a band is a guess. Silent above 128.

    ## Example
    Fires for d_model 32. Silent for d_model 256, which was not measured.
    """
    width = facts.d_model or 0
    top, lr, low, high = next(band for band in MEASURED_BANDS if width <= band[0])
    return Finding(f"best of our sweep for d_model up to {top}", {"optim.lr": lr}, evidence={"low": low, "high": high})


@rule(
    "LR011",
    "measured",
    sets="optim.lr",
    source="our sweep over the learning rate on APA_200MHz",
    evidence="measured",
    results="docs/results.md#learning-rate",
    box={"kind": ("gru",), "hidden": GRU_MEASURED_HIDDEN},
    fires=lambda: PlanFacts(kind="gru", hidden=23),
    silent=lambda: PlanFacts(kind="gru", hidden=512),
)
def lr_of_a_small_gru(facts: PlanFacts) -> Verdict:
    """Learning rate of a small GRU, from a sweep on a measured power amplifier.

    ## What it does
    Sets 1e-2 for up to 32 units.

    ## Why
    A GRU of 23 units, 1200 steps: 3e-4 gave -17.7 dB, 1e-3 -27.3, 3e-3 -30.3, 1e-2 -31.2.

    ## Known limits
    One size, short runs; over 90,000 steps OpenDPDv2 publishes 5e-3. Silent outside 8 to 32 units.

    ## Example
    Fires for 23 units. Silent for 512 units.
    """
    return Finding(
        f"best of our sweep for a GRU of up to {GRU_MEASURED_HIDDEN[1]} units ({facts.hidden} here)",
        {"optim.lr": GRU_LR},
        evidence={"low": GRU_LOW, "high": GRU_HIGH},
    )
