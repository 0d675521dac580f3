"""TL: how long to train; EV: how often to score and to save."""

from __future__ import annotations

import math

from dpdrun.recipe.schema import MAX_EPOCHS
from dpdrun.rules.declare import TRAINED, Steps, check, derive, warning
from dpdrun.rules.engine import Choice, Verdict
from dpdrun.rules.facts.words import PLUG_IN
from dpdrun.rules.text import pluralize

TARGET_STEPS = {"transformer": 6000, "gru": 6000, PLUG_IN: 6000}
SHORTEST_RUN = 20  # steps: 5 to 10 % of fewer is no warmup
EVALUATIONS = 40  # in a run
LEAST_BETWEEN_EVALUATIONS = 20  # steps: scoring the validation part costs about as much as a few steps
CHECKPOINTS = 10
LEAST_BETWEEN_CHECKPOINTS = 100


@derive(
    "TL001", sets="train.epochs", kinds=TRAINED, evidence="assumed",
    source="between the lengths of the shipped recipes, 1500 to 12,000 steps; lengths were not compared",
    fires=dict(kind="transformer", frames=308, batch=8),
    silent=dict(kind="transformer", frames=308, batch=8, max_steps=500),
)  # fmt: skip
def epochs_for_enough_steps(
    kind: str, frames_per_epoch: Steps, batch: Steps, max_steps: int | None = None
) -> Choice | None:
    """The number of epochs that gives a run of about 6000 optimizer steps.

    ## Why
    What a network learns depends on the number of steps, not on how often it has seen the record: an epoch of a 0.1 ms
    capture is 40 steps. The shipped recipes take 1500 to 12,000 steps at lr 2e-2 and below (docs/results.md, Recipes,
    has their scores); 6000 is in between.

    ## Known limits
    A reasonable budget for the batch size of BT010, not an optimum. On APA_200MHz, at the best rate of each, d_model 16
    gained half a dB from 400 to 1600 steps and a quarter from 1600 to 6400 (docs/results.md#regret).
    """
    if max_steps is not None:
        return None  # the recipe gives the length in steps
    steps = TARGET_STEPS[kind]
    why = f"about {steps} steps, between the lengths of the shipped recipes (1500 to 12,000)"
    return Choice(min(MAX_EPOCHS, float(f"{steps * batch / frames_per_epoch:.3g}")), why)


@check(
    "TL101", about=("train.max_steps", "train.epochs"), evidence="assumed",
    source="the founding Transformer note's warmup of 5 to 10 % of all steps",
    fires=dict(max_steps=12), silent=dict(max_steps=1200),
)  # fmt: skip
def run_too_short(total_steps: Steps) -> Verdict:
    """The run has fewer than 20 optimizer steps.

    ## Why
    A warmup of 5 % is then less than a step, and no network of dpdrun has learned anything after 20 steps.

    ## Known limits
    A short run is fine for trying out a recipe.
    """
    if total_steps >= SHORTEST_RUN:
        return None
    return warning(
        f"the run has {pluralize(total_steps, 'optimizer step')}", value=total_steps, threshold=SHORTEST_RUN,
        advice="raise train.epochs (or train.max_steps), or lower train.batch_size; fine for trying out a recipe",
    )  # fmt: skip


@derive(
    "EV001", sets="train.eval_every", kinds=TRAINED, source="40 points give a readable curve", evidence="assumed",
    fires=dict(kind="transformer", max_steps=1500), silent=dict(kind="transformer"),
)  # fmt: skip
def evaluations_in_a_run(total_steps: Steps) -> Choice:
    """Evaluate the validation split about 40 times per run, at most every 20 steps.

    ## Why
    This gives enough points to see a plateau and to find the best checkpoint; an evaluation costs about as much as a
    few steps.

    ## Known limits
    With `schedule: plateau`, patience counts evaluations, so it is a share of the run as well.
    """
    every = min(total_steps, max(LEAST_BETWEEN_EVALUATIONS, math.ceil(total_steps / EVALUATIONS)))
    scorings = pluralize(max(1, total_steps // every), "evaluation")
    return Choice(every, f"{scorings} in {pluralize(total_steps, 'step')}")


@derive(
    "EV002", sets="train.checkpoint_every", kinds=TRAINED, evidence="assumed",
    source="with ten checkpoints, at most a tenth of a run is lost",
    fires=dict(kind="transformer", max_steps=1500), silent=dict(kind="transformer"),
)  # fmt: skip
def checkpoints_in_a_run(total_steps: Steps) -> Choice:
    """Write ten checkpoints per run for `--resume`, at most every 100 steps.

    ## Why
    A crash costs at most a tenth of the run. A run that is stopped by SIGTERM writes a checkpoint in any case. Off if
    the run is shorter than 100 steps.

    ## Known limits
    Counts steps, not minutes; if a step takes several seconds, set a smaller number.
    """
    every = max(LEAST_BETWEEN_CHECKPOINTS, math.ceil(total_steps / CHECKPOINTS))
    if every >= total_steps:
        return Choice("off", f"the run has only {pluralize(total_steps, 'step')}")
    return Choice(every, "a crash costs at most a tenth of the run")
