"""LR: the peak learning rate, by the family and the width of the network."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dpdrun.rules.catalogue import Finding, Verdict, rule
from dpdrun.rules.plan_facts import PlanFacts
from dpdrun.rules.sources import MEASURED_WIDTHS, NOTE_FURTHER, OPENDPD

INF = math.inf

# The note's bands: d_model below 512, below 1024, from 1024. The last is a range; its log-midpoint is one choice in it.
NOTE_SMALL_BELOW, NOTE_SMALL_LR = 512, 3e-4
NOTE_MEDIUM_BELOW, NOTE_MEDIUM_LR = 1024, 1e-4
NOTE_LARGE_LOW, NOTE_LARGE_HIGH = 5e-5, 1e-4

# docs/results.md#learning-rate, one seed. Rates whose validation NMSE lies this close to the best cannot be told from
# it (three seeds of the case study's recipe lie 0.46 dB apart); of them the lowest is taken, the safest in longer runs.
TIE_DB = 0.5
# Measured width: the lowest and the highest rate of the tie.
TRANSFORMER_RATES = {8: (3e-2, 6e-2), 16: (2e-2, 6e-2), 32: (1e-2, 6e-2), 64: (1e-2, 3e-2)}
GRU_RATES = {23: (6e-2, 6e-2)}
OPENDPD_LR = 5e-4


def log_midpoint(low: float, high: float) -> float:
    """Geometric mean to two digits: the middle of a range of learning rates, which act by ratios."""
    return float(f"{math.sqrt(low * high):.2g}")


def _of_the_sweep(rates: Mapping[int, tuple[float, float]], width: int, said: str) -> Finding:
    """The rate of the measured width that is nearest by ratio."""
    near = min(rates, key=lambda measured: abs(math.log(width / measured)))
    low, high = rates[near]
    why = f"lowest rate within {TIE_DB} dB of the best of our sweep at {said} {near}"
    return Finding(why, {"optim.lr": low}, evidence={"low": low, "high": high})


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
    (docs/note.md). From d_model 8 to 64 our own sweep, over 1000 steps, found learning rates 30 times higher and more
    to be better by more than 6 dB (LR010), which is why `rules: measured` asks that rule first and this one only where
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
    requires=("LR011", "LR012"),
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
    Goes to the nearest measured width (8, 16, 32 or 64). There it takes the lowest learning rate that the sweep cannot
    tell from its best, and shows the range of those that it cannot.

    ## Why
    PA models are hundreds of times smaller than the networks for which 3e-4 became the usual value. At d_model 16 and
    1000 steps the note's 3e-4 ended at -26.94 dB on validation data, the best rate at -39.05 dB.

    ## Known limits
    One amplifier, one seed, 1000 steps, batches of 8 frames (BT010). Rates were a factor of 1.5 to 3.3 apart; up to
    d_model 32 the highest, 6e-2, is part of the tie, so the range may go on above it. Longer runs were not swept; the
    shipped Transformers take 2500 steps and more. Holds for the pre-norm encoder with windowed attention, linear skip
    and zero-initialised residuals, and signals at unit rms. Between the measured widths it is a guess. Silent above 64.

    ## Example
    Fires for d_model 32. Silent for d_model 256, which was not measured.
    """
    return _of_the_sweep(TRANSFORMER_RATES, facts.d_model or 1, "d_model")


@rule(
    "LR011",
    "measured",
    sets="optim.lr",
    source="our sweep over the learning rate on APA_200MHz",
    evidence="measured",
    results="docs/results.md#learning-rate",
    box={"kind": ("gru",), "hidden": (23, 23)},
    fires=lambda: PlanFacts(kind="gru", hidden=23),
    silent=lambda: PlanFacts(kind="gru", hidden=16),
)
def lr_of_a_small_gru(facts: PlanFacts) -> Verdict:
    """Learning rate of a GRU of the size that was measured, from a sweep on a power amplifier.

    ## What it does
    As LR010: the lowest learning rate that the sweep cannot tell from its best, with the range of those that it cannot.

    ## Why
    A GRU of 23 units, 1000 steps, validation data: 3e-4 ended at -20.08 dB, 1e-2 at -32.36 dB, 3e-2 at -32.51 dB, and
    6e-2, the highest that was tried, at -37.75 dB.

    ## Known limits
    One amplifier, one seed, 1000 steps, batches of 32 frames. The best rate is the last of the sweep, so the optimum
    may lie above it, and how much of the last step is luck only more seeds can tell. Over 90,000 steps OpenDPDv2
    publishes 5e-3. Other sizes are LR012's.

    ## Example
    Fires for 23 units. Silent for 16 units.
    """
    return _of_the_sweep(GRU_RATES, facts.hidden or 1, "hidden")


@rule(
    "LR012",
    "measured",
    sets="optim.lr",
    source="our sweep over the learning rate at 23 units, carried over",
    evidence="assumed",
    box={"kind": ("gru",), "hidden": MEASURED_WIDTHS},
    requires=("LR011",),
    fires=lambda: PlanFacts(kind="gru", hidden=16),
    silent=lambda: PlanFacts(kind="gru", hidden=512),
)
def lr_of_a_gru_near_the_measured_size(facts: PlanFacts) -> Verdict:
    """Learning rate of a GRU of another size, carried over from the one that was measured.

    ## What it does
    Sets what LR011 sets at 23 units, from 8 to 64 units.

    ## Why
    The rate of our Transformers moved by a factor of 3 over these widths, far less than lies between it and 5e-4.

    ## Known limits
    Not measured. Silent outside 8 to 64 units.

    ## Example
    Fires for 16 units. Silent for 512 units.
    """
    return _of_the_sweep(GRU_RATES, facts.hidden or 1, "hidden")
