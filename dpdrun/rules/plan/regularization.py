"""RG: weight decay and dropout."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated

from dpdrun.rules.conditions import Within
from dpdrun.rules.declare import NETWORKS, TRAINED, Steps, check, derive, info, known, warning
from dpdrun.rules.engine import Choice, Verdict
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.sources import NOTE
from dpdrun.rules.text import pluralize

WEIGHT_DECAY = 0.01

# What a whole run decays weights by, as the integral of lr x weight decay: they shrink by the factor exp(-integral).
INERT = 0.01  # a hundredth of what RG102's fix sets, a fifth of what our case study saw no effect of
USUAL = 5.0  # the time constant is a fifth of the run
TOO_STRONG = 30.0  # far beyond it
TARGET_DB = -30.0  # of an amplifier model; noise above that is above the error
WANG = "Wang & Aitchison 2024 (arXiv 2405.13698): under AdamW a weight averages its last 1/(lr x decay) updates"

LR = Annotated[float, Within(0)]
COURSE = known("weight_decay", "schedule", "warmup_steps")  # what else `decay_of_run` reads of the facts


@derive(
    "RG001", sets="optim.weight_decay", kinds=TRAINED, requires=("RG010",), source=NOTE, evidence="cited",
    fires=dict(kind="transformer"), silent=dict(kind="gmp"),
)  # fmt: skip
def weight_decay_of_the_note(lr: float | None = None) -> Choice:
    """Weight decay 0.01, for every network and every optimizer.

    ## Why
    The founding Transformer note (docs/note.md): to reduce overfitting. The decay is decoupled (AdamW) and applies to
    weight matrices only, never to norms, biases and positions. A weight decays to 1/e in 1/(lr x weight decay) steps.

    ## Known limits
    At the learning rates and run lengths of the note it has no effect: 1/(3e-4 x 0.01) is 333,000 steps, 167 times its
    2000-step example. In our case study (500 steps at lr 2e-2), removing weight decay changed the NMSE by -0.01 dB in
    the mean of three seeds, which differ by 0.49 dB.
    """
    why = "the note: 0.01 for every optimizer"
    if lr is not None:
        why += f"; a weight decays to 1/e over {1 / (lr * WEIGHT_DECAY):,.0f} steps at the peak lr"
    return Choice(WEIGHT_DECAY, why)


@derive(
    "RG010", sets="optim.weight_decay", profile="measured", kinds=TRAINED, source=WANG, evidence="cited",
    where=known("lr", "schedule", "warmup_steps", "total_steps"),
    fires=dict(kind="transformer", d_model=16, lr=2e-2, schedule="cosine", warmup=100, max_steps=2000),
    silent=dict(kind="transformer", d_model=16),
)  # fmt: skip
def weight_decay_by_what_it_does(facts: PlanFacts, lr: float, total_steps: int) -> Choice:
    """Weight decay by its effect over the run, lr x steps: 0.01 if it has any, else off.

    ## Why
    The effect of the 0.01 in the founding Transformer note (docs/note.md) depends on its product with the learning rate
    and the number of steps. If the product is below 1 %, so that every weight would shrink by less than that in the
    complete run, weight decay is switched off. If it is above 30, so that weights would depend only on the last
    thirtieth of the run, it is lowered so that they depend on the last fifth. Removing it from runs in which weights
    shrink by up to 26 % changed the NMSE by less than the spread over seeds, so it is not adjusted further.

    ## Known limits
    Removed in Transformers of width 16 and 64 and GRUs of 16 units, in 400 and 1600 steps, on captures of 58,000
    samples and more; beyond that it is calculated. Overfitting on a short record may require more.
    """
    decay = decay_of_run(replace(facts, weight_decay=WEIGHT_DECAY))
    run = f"over lr {lr:g} x {pluralize(total_steps, 'step')} the note's 0.01"
    if decay < INERT:
        return Choice("off", f"{run} shrinks weights by only {decay:.1g}: no effect")
    if decay > TOO_STRONG:
        weaker = float(f"{WEIGHT_DECAY * USUAL / decay:.1e}")
        return Choice(weaker, f"{run} makes weights depend only on the last {1 / decay:.0%} of the run")
    return Choice(WEIGHT_DECAY, f"{run} shrinks idle weights by {-math.expm1(-decay):.0%}")


def decay_of_run(facts: PlanFacts) -> float:
    """Return the integral of lr x weight decay over the steps; a plateau schedule is taken as constant."""
    lr, decay, total = facts.lr or 0.0, facts.weight_decay or 0.0, facts.total_steps or 0
    return lr * decay * total * _mean_lr_share(facts.schedule, facts.warmup_steps or 0, total)


def _mean_lr_share(schedule: str | None, warmup: int, total: int) -> float:
    """Return the mean of the learning rate over a run as a share of its peak: the areas under rise and fall."""
    rise = min(1.0, warmup / max(1, total))
    if schedule in ("cosine", "linear"):
        return 0.5
    if schedule == "inverse_sqrt":  # the integral of sqrt(warmup / step)
        first = max(1, warmup) / max(1, total)
        return min(1.0, 0.5 * rise + 2.0 * (math.sqrt(first) - first))
    return 1.0 - 0.5 * rise


@check(
    "RG101", about=("optim.weight_decay",), profile="measured", kinds=NETWORKS, where=COURSE, fix="safe",
    source="AdamW shrinks a weight by 1 - lr x weight decay per step; our case study without weight decay",
    evidence="measured", results="docs/results.md#case-study",
    fires=dict(kind="transformer", lr=3e-4, weight_decay=0.01, max_steps=2000, schedule="cosine", warmup=100),
    silent=dict(kind="transformer", lr=2e-2, weight_decay=0.01, max_steps=2000, schedule="cosine", warmup=100),
)  # fmt: skip
def weight_decay_inert(facts: PlanFacts, lr: LR, total_steps: Steps, weight_decay: float) -> Verdict:
    """At this learning rate and run length the weight decay has no effect: weights shrink by less than 1 %.

    ## Why
    At lr 3e-4 a weight decay of 0.01 takes 333,000 steps to have an effect. In our case study weights shrank by 5 % in
    total, and removing weight decay changed the NMSE by -0.01 dB, where seeds differ by 0.49 dB. The fix makes this
    explicit: `off`.

    ## Known limits
    Info only. The fix is safe because it changes weights by less than 1 %; the weights of a run are not bit-identical.
    Does not apply with `rules: note`, whose own 0.01 would be reported.
    """
    decay = decay_of_run(facts)
    if not weight_decay or decay >= INERT:
        return None
    return info(
        f"optim.weight_decay {weight_decay:g} has no effect: at lr {lr:g} weights shrink by {decay:.1g} of their "
        f"size in {pluralize(total_steps, 'step')}",
        value=decay, threshold=INERT, patch={"optim.weight_decay": "off"}, also=", or leave it: the result is the same",
    )  # fmt: skip


@check(
    "RG102", about=("optim.weight_decay", "optim.lr"), kinds=NETWORKS, where=COURSE, fix="unsafe", source=WANG,
    evidence="assumed",
    fires=dict(kind="transformer", lr=2e-2, weight_decay=1.0, max_steps=8000, schedule="cosine", warmup=400),
    silent=dict(kind="transformer", lr=2e-2, weight_decay=0.01, max_steps=8000, schedule="cosine", warmup=400),
)  # fmt: skip
def weight_decay_forgets_the_run(facts: PlanFacts, lr: LR, total_steps: Steps, weight_decay: float) -> Verdict:
    """The weight decay is so strong that weights depend only on the last thirtieth of the run, or less.

    ## Why
    With AdamW a weight is an average of its last 1/(lr x weight decay) updates. Earlier updates are forgotten, and the
    pull towards zero is as large as the effect of the gradient. With the fix, weights depend on the last fifth of the
    run.

    ## Known limits
    The point from which it does harm was not measured for amplifier models; the threshold is far from usual values.
    """
    decay = decay_of_run(facts)
    if decay <= TOO_STRONG:
        return None
    return warning(
        f"optim.weight_decay {weight_decay:g} at lr {lr:g}: weights depend only on the last "
        f"{1.0 / (lr * weight_decay):.0f} of {pluralize(total_steps, 'step')}",
        value=decay, threshold=TOO_STRONG, patch={"optim.weight_decay": float(f"{weight_decay * USUAL / decay:.1e}")},
        also=" or less",
    )  # fmt: skip


@check(
    "RG103", about=("model.dropout",), kinds=("transformer",), fix="unsafe", evidence="measured",
    source="our case study: no dropout instead of 0.1, APA_200MHz", results="docs/results.md#case-study",
    fires=dict(kind="transformer", dropout=0.1), silent=dict(kind="transformer", dropout=0.0),
)  # fmt: skip
def dropout_above_the_error(dropout: float, noise_floor_db: float = -math.inf) -> Verdict:
    """Dropout in a regression with a goal below -30 dB.

    ## Why
    Dropout of p multiplies activations by noise of relative power p/(1 - p), about -10 dB for 0.1. Amplifier models
    should reach -35 dB or less, and a network with such noise cannot represent so small an error. In our case study,
    removing a dropout of 0.1 improved the NMSE from -21.06 dB to -21.71 dB, still far from where dropout would be the
    limit. Does not apply if the noise floor of the record is known to be above -30 dB.

    ## Known limits
    One step of one study, at an error with other causes. Dropout may help against overfitting on a short record, but a
    smaller network is the better remedy.
    """
    if not dropout or noise_floor_db > TARGET_DB:
        return None
    noise_db = 10.0 * math.log10(dropout / (1.0 - dropout))
    return warning(
        f"model.dropout {dropout:g} adds noise of {noise_db:.0f} dB to every activation; amplifier models should reach "
        "-35 dB or less",
        value=noise_db, threshold=TARGET_DB, patch={"model.dropout": "off"},
        also="; against overfitting, make the network smaller",
    )  # fmt: skip
