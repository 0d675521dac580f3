"""RG: weight decay and dropout."""

from __future__ import annotations

import math
from dataclasses import replace

from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.sources import NOTE
from dpdrun.rules.text import pluralize

WEIGHT_DECAY = 0.01

NETWORKS = ("transformer", "gru")
INF = math.inf

# What a whole run decays weights by, as the integral of lr x weight decay: they shrink by the factor exp(-integral).
INERT = 0.01  # a hundredth of what RG102's fix sets, a fifth of what our case study saw no effect of
USUAL = 5.0  # the time constant is a fifth of the run
TOO_STRONG = 30.0  # far beyond it
TARGET_DB = -30.0  # of an amplifier model; noise above that is above the error


@rule(
    "RG001",
    sets="optim.weight_decay",
    source=NOTE,
    evidence="cited",
    box={"kind": NETWORKS},
    uses=("lr",),
    requires=("RG010",),
    fires=lambda: PlanFacts(kind="transformer"),
    silent=lambda: PlanFacts(kind="gmp"),
)
def weight_decay_of_the_note(facts: PlanFacts) -> Verdict:
    """Weight decay 0.01, for every network and every optimizer.

    ## What it does
    Sets 0.01, decoupled (AdamW), on weight matrices only: never on norms, biases and positions.

    ## Why
    The note: less overfitting. Where the learning rate is known, the line says over how many steps a weight would
    decay to 1/e, which is 1/(lr x weight decay).

    ## Known limits
    At the learning rates and run lengths of the note it does nothing: 1/(3e-4 x 0.01) is 333,000 steps, 167 times its
    2000-step example. In our case study, 500 steps at lr 2e-2, no weight decay at all made -0.01 dB in the mean of
    three seeds, which differ by 0.49 dB among themselves.

    ## Example
    Fires for a Transformer or GRU. Silent for a GMP, whose ridge is chosen on validation data.
    """
    why = "the note: 0.01 for every optimizer"
    if facts.lr is not None:
        why += f"; a weight decays to 1/e over {1 / (facts.lr * WEIGHT_DECAY):,.0f} steps at the peak lr"
    return Finding(why, {"optim.weight_decay": WEIGHT_DECAY})


@rule(
    "RG010",
    "measured",
    sets="optim.weight_decay",
    source="Wang & Aitchison 2024 (arXiv 2405.13698): under AdamW a weight averages its last 1/(lr x decay) updates",
    evidence="cited",
    box={"kind": NETWORKS},
    needs=("lr", "schedule", "warmup_steps", "total_steps"),
    fires=lambda: PlanFacts(kind="transformer", d_model=16, lr=2e-2, schedule="cosine", warmup=100, max_steps=2000),
    silent=lambda: PlanFacts(kind="transformer", d_model=16),
)
def weight_decay_by_what_it_does(facts: PlanFacts) -> Verdict:
    """Weight decay by what lr x steps make of it: the note's 0.01 where it acts, off where it cannot.

    ## What it does
    Adds up lr x 0.01 over the run. Below 1 %, by which every weight would shrink in the whole run, it writes `off`;
    above 30, where only the last thirtieth of the run would be remembered, the decay that remembers a fifth; between
    them the note's 0.01. So it settles what RG101 and RG102 would otherwise say of it.

    ## Why
    0.01 is a decay of nothing in particular: what acts is its product with learning rate and steps. Left out of runs
    that shrink weights by up to 26 % it was worth less than seeds differ by, so there is no reason to move it further.

    ## Known limits
    Left out in Transformers of width 16 and 64 and GRUs of 16 units, 400 and 1600 steps, on captures of 58,000 samples
    and more; beyond, it is arithmetic. A short record that is learnt by heart may want more.

    ## Example
    Fires for lr 2e-2 and 2000 steps. Silent while the length of the run is not known: the note's rule answers.
    """
    decay = decay_of_run(replace(facts, weight_decay=WEIGHT_DECAY))
    run = f"over lr {facts.lr:g} x {pluralize(facts.total_steps or 0, 'step')} the note's 0.01"
    if decay < INERT:
        return Finding(f"{run} shrinks weights by {decay:.1g}: it does nothing", {"optim.weight_decay": "off"})
    if decay > TOO_STRONG:
        weaker = float(f"{WEIGHT_DECAY * USUAL / decay:.1e}")
        return Finding(f"{run} forgets all but the last {1 / decay:.0%} of the run", {"optim.weight_decay": weaker})
    said = f"shrinks idle weights by {-math.expm1(-decay):.0%}"
    return Finding(f"{run} {said}", {"optim.weight_decay": WEIGHT_DECAY})


def decay_of_run(facts: PlanFacts) -> float:
    """The integral of lr x weight decay over the steps; a plateau schedule is taken as constant."""
    lr, decay, total = facts.lr or 0.0, facts.weight_decay or 0.0, facts.total_steps or 0
    return lr * decay * total * _mean_lr_share(facts.schedule, facts.warmup_steps or 0, total)


def _mean_lr_share(schedule: str | None, warmup: int, total: int) -> float:
    """Mean of the learning rate over a run as a share of its peak: the areas under rise and fall."""
    rise = min(1.0, warmup / max(1, total))
    if schedule in ("cosine", "linear"):
        return 0.5
    if schedule == "inverse_sqrt":  # the integral of sqrt(warmup / step)
        first = max(1, warmup) / max(1, total)
        return min(1.0, 0.5 * rise + 2.0 * (math.sqrt(first) - first))
    return 1.0 - 0.5 * rise


@rule(
    "RG101",
    "measured",
    purpose="check",
    source="AdamW shrinks a weight by 1 - lr x weight decay a step; our case study without weight decay",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="safe",
    about=("optim.weight_decay",),
    box={"kind": NETWORKS, "lr": (0, INF), "total_steps": (1, INF)},
    needs=("weight_decay", "schedule", "warmup_steps"),
    fires=lambda: PlanFacts(
        kind="transformer", lr=3e-4, weight_decay=0.01, max_steps=2000, schedule="cosine", warmup=100
    ),
    silent=lambda: PlanFacts(
        kind="transformer", lr=2e-2, weight_decay=0.01, max_steps=2000, schedule="cosine", warmup=100
    ),
)
def weight_decay_inert(facts: PlanFacts) -> Verdict:
    """At this learning rate and run length the weight decay does nothing.

    ## What it does
    Adds up lr x weight decay over the run (a falling schedule is half its peak on average). Below 1 %, by which every
    weight would shrink in the whole run, it says so. The fix is to say so in the recipe: `off`.

    ## Why
    A decay of 0.01 sounds like one; at lr 3e-4 it takes 333,000 steps to act. In our case study weights shrank by 5 %
    in all, and no weight decay at all made -0.01 dB, where seeds differ by 0.49 dB.

    ## Known limits
    Info only. The fix is safe because it changes weights by less than 1 %; the weights of a run are not the same bits.
    Silent with `rules: note`, whose own 0.01 would be reported.

    ## Example
    Fires for 0.01 at lr 3e-4 in 2000 steps. Silent at lr 2e-2.
    """
    decay = decay_of_run(facts)
    if not facts.weight_decay or decay >= INERT:
        return None
    return Finding(
        f"optim.weight_decay {facts.weight_decay:g} does nothing here: at lr {facts.lr:g} weights shrink by "
        f"{decay:.1g} of their size in {pluralize(facts.total_steps or 0, 'step')}",
        {"optim.weight_decay": "off"},
        evidence={"value": decay, "threshold": INERT},
        advice="set optim.weight_decay to off, or leave it: the result is the same",
    )


@rule(
    "RG102",
    purpose="check",
    source="Wang & Aitchison 2024 (arXiv 2405.13698): under AdamW a weight averages its last 1/(lr x decay) updates",
    evidence="assumed",
    fix="unsafe",
    about=("optim.weight_decay", "optim.lr"),
    box={"kind": NETWORKS, "lr": (0, INF), "total_steps": (1, INF)},
    needs=("weight_decay", "schedule", "warmup_steps"),
    fires=lambda: PlanFacts(
        kind="transformer", lr=2e-2, weight_decay=1.0, max_steps=8000, schedule="cosine", warmup=400
    ),
    silent=lambda: PlanFacts(
        kind="transformer", lr=2e-2, weight_decay=0.01, max_steps=8000, schedule="cosine", warmup=400
    ),
)
def weight_decay_forgets_the_run(facts: PlanFacts) -> Verdict:
    """The weight decay is so strong that weights remember only a small end of the run.

    ## What it does
    Adds up lr x weight decay over the run. Above 30, when the time constant is less than a thirtieth of the run, it
    warns, and advises a fifth of the run.

    ## Why
    Under AdamW a weight is an average of its last 1/(lr x weight decay) updates. What came before is forgotten, and
    the pull towards zero is as large as what the gradient can give.

    ## Known limits
    Where it begins to hurt was not measured for amplifier models; the threshold is far from usual values.

    ## Example
    Fires for 1.0 at lr 2e-2 in 8000 steps. Silent for 0.01.
    """
    decay = decay_of_run(facts)
    if decay <= TOO_STRONG:
        return None
    weaker = float(f"{(facts.weight_decay or 0.0) * USUAL / decay:.1e}")
    steps = 1.0 / ((facts.lr or 1.0) * (facts.weight_decay or 1.0))
    return Finding(
        f"optim.weight_decay {facts.weight_decay:g} at lr {facts.lr:g} forgets all but the last {steps:.0f} of "
        f"{pluralize(facts.total_steps or 0, 'step')}",
        {"optim.weight_decay": weaker},
        "warning",
        evidence={"value": decay, "threshold": TOO_STRONG},
        advice=f"set optim.weight_decay to {weaker:g} or less",
    )


@rule(
    "RG103",
    purpose="check",
    source="our case study: no dropout instead of 0.1, APA_200MHz",
    evidence="measured",
    results="docs/results.md#case-study",
    fix="unsafe",
    about=("model.dropout",),
    box={"kind": ("transformer",)},
    needs=("dropout",),
    fires=lambda: PlanFacts(kind="transformer", dropout=0.1),
    silent=lambda: PlanFacts(kind="transformer", dropout=0.0),
)
def dropout_above_the_error(facts: PlanFacts) -> Verdict:
    """Dropout in a regression that is to get below -30 dB.

    ## What it does
    Warns of any dropout, unless the noise floor of the record is known to lie above -30 dB.

    ## Why
    Dropout of p multiplies activations by noise of relative power p/(1 - p), for 0.1 about -10 dB. Amplifier models are
    to reach -35 dB and less: a network that must bear such noise cannot represent so small an error. In our case study
    the step from 0.1 to none went from -21.06 dB to -21.71 dB, still far from where it would be the limit.

    ## Known limits
    One step of one study, at an error that other causes had set. A record so short that a network learns it by heart
    may want dropout; a smaller network is the better remedy.

    ## Example
    Fires for 0.1. Silent for off.
    """
    dropout = facts.dropout or 0.0
    if not dropout or (facts.noise_floor_db is not None and facts.noise_floor_db > TARGET_DB):
        return None
    noise_db = 10.0 * math.log10(dropout / (1.0 - dropout))
    return Finding(
        f"model.dropout {dropout:g} is noise of {noise_db:.0f} dB on every activation; amplifier models are to reach "
        "-35 dB and less",
        {"model.dropout": "off"},
        "warning",
        evidence={"value": noise_db, "threshold": TARGET_DB},
        advice="set model.dropout to off; against overfitting make the network smaller",
    )
