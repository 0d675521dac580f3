"""TL: how long to train; EV: how often to score and to save."""

from __future__ import annotations

import math

from dpdrun.recipe.schema import MAX_EPOCHS
from dpdrun.rules.engine import Finding, Verdict, rule
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.text import pluralize

NETWORKS = ("transformer", "gru")
INF = math.inf

TARGET_STEPS = {"transformer": 6000, "gru": 6000}
SHORTEST_RUN = 20  # steps: 5 to 10 % of fewer is no warmup
EVALUATIONS = 40  # in a run
LEAST_BETWEEN_EVALUATIONS = 20  # steps: scoring the validation part costs about as much as a few steps
CHECKPOINTS = 10
LEAST_BETWEEN_CHECKPOINTS = 100


@rule(
    "TL001",
    sets="train.epochs",
    source="between the lengths of the shipped recipes, 1500 to 12,000 steps; lengths were not compared",
    evidence="assumed",
    box={"kind": NETWORKS, "frames_per_epoch": (1, INF), "batch": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", frames=308, batch=8),
    silent=lambda: PlanFacts(kind="transformer", frames=308, batch=8, max_steps=500),
)
def epochs_for_enough_steps(facts: PlanFacts) -> Verdict:
    """As many passes over the data as give a run of about 6000 optimizer steps.

    ## What it does
    6000 steps for a Transformer or a GRU, divided by the steps of one epoch.

    ## Why
    What a network learns is set by its steps, not by how often it has seen the record: an epoch of a 0.1 ms capture is
    40 steps. The shipped recipes take 1500 to 12,000 steps at lr 2e-2 and below (docs/results.md, Recipes, has their
    scores); 6000 lies between.

    ## Known limits
    A budget for batches of the size of BT010, not an optimum. On APA_200MHz, at the best rate of each, d_model 16
    gained half a dB from 400 to 1600 steps and a quarter from 1600 to 6400 (docs/results.md#regret).

    ## Example
    Fires for 308 frames in batches of 8: 156 epochs. Silent when the recipe gives `train.max_steps`.
    """
    frames, batch = facts.frames_per_epoch or 1, facts.batch or 1
    if facts.max_steps is not None:
        return None  # the recipe gives the length in steps
    steps = TARGET_STEPS[facts.kind or ""]
    why = f"about {steps} steps, between the lengths of the shipped recipes (1500 to 12,000)"
    return Finding(why, {"train.epochs": min(MAX_EPOCHS, float(f"{steps * batch / frames:.3g}"))})


@rule(
    "TL101",
    purpose="check",
    source="the note's warmup of 5 to 10 % of all steps",
    evidence="assumed",
    about=("train.max_steps", "train.epochs"),
    box={"total_steps": (1, INF)},
    fires=lambda: PlanFacts(max_steps=12),
    silent=lambda: PlanFacts(max_steps=1200),
)
def run_too_short(facts: PlanFacts) -> Verdict:
    """The run has fewer than 20 optimizer steps.

    ## What it does
    Warns.

    ## Why
    A warmup of 5 % is then less than a step, and no network here has learned anything after 20 steps.

    ## Known limits
    Fine for trying out a recipe.

    ## Example
    Fires for 12 steps. Silent for 1200.
    """
    if (facts.total_steps or 0) >= SHORTEST_RUN:
        return None
    return Finding(
        f"the whole run has {pluralize(facts.total_steps or 0, 'optimizer step')}",
        severity="warning",
        evidence={"value": facts.total_steps, "threshold": SHORTEST_RUN},
        advice="raise train.epochs (or train.max_steps), or lower train.batch_size; fine for trying out a recipe",
    )


@rule(
    "EV001",
    sets="train.eval_every",
    source="40 points make a readable curve",
    evidence="assumed",
    box={"kind": NETWORKS, "total_steps": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", max_steps=1500),
    silent=lambda: PlanFacts(kind="transformer"),
)
def evaluations_in_a_run(facts: PlanFacts) -> Verdict:
    """Score the validation part about 40 times in a run, never more often than every 20 steps.

    ## What it does
    Total steps / 40, at least 20 steps, at most the run.

    ## Why
    Enough points to see a plateau and to catch the best checkpoint; scoring costs about as much as a few steps.

    ## Known limits
    With `schedule: plateau`, patience counts evaluations, so it is a share of the run as well.

    ## Example
    Fires for 1500 steps: every 38. Silent when the length of the run is not known.
    """
    total = facts.total_steps or 1
    every = min(total, max(LEAST_BETWEEN_EVALUATIONS, math.ceil(total / EVALUATIONS)))
    return Finding(
        f"{pluralize(max(1, total // every), 'scoring')} in {pluralize(total, 'step')}", {"train.eval_every": every}
    )


@rule(
    "EV002",
    sets="train.checkpoint_every",
    source="ten restart points make at most a tenth of a run lost",
    evidence="assumed",
    box={"kind": NETWORKS, "total_steps": (1, INF)},
    fires=lambda: PlanFacts(kind="transformer", max_steps=1500),
    silent=lambda: PlanFacts(kind="transformer"),
)
def checkpoints_in_a_run(facts: PlanFacts) -> Verdict:
    """Save ten times in a run what `--resume` continues, never more often than every 100 steps.

    ## What it does
    Total steps / 10, at least 100; off when the run is shorter than that.

    ## Why
    A crash costs at most a tenth of the run. A run that is asked to stop (SIGTERM) saves in any case.

    ## Known limits
    Counts steps, not minutes; for steps of several seconds write a smaller number.

    ## Example
    Fires for 1500 steps: every 150. Silent when the length of the run is not known.
    """
    total = facts.total_steps or 1
    every = max(LEAST_BETWEEN_CHECKPOINTS, math.ceil(total / CHECKPOINTS))
    if every >= total:
        return Finding(f"the run has only {pluralize(total, 'step')}", {"train.checkpoint_every": "off"})
    return Finding("a crash costs at most a tenth of the run", {"train.checkpoint_every": every})
