"""What is tried, in order: a ladder of rungs. A longer time reaches further up; it never leaves a rung out.

So what a longer time gives is at least as good on the validation split as what a shorter one gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpdrun.auto.reading import Reading
from dpdrun.auto.recipes import GRU_STEPS, PA_STEPS, pa_models, phase_augment, refinement
from dpdrun.plan.cost import MachineSpeed, refinement_seconds, size_of
from dpdrun.plan.plan import estimate_of
from dpdrun.plan.prepare import prepare
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.recipe.patch import render
from dpdrun.recipe.schema import KINDS
from dpdrun.sweep.space import overrides_of

LONGER = 3  # from rung to rung of a PA model
PA_RUNGS = 5
ITERATIONS = (40, 100, 300, 600)  # of the refinement, from rung to rung
SEEDS = 2  # of each of those; starts differ by up to 1 dB (docs/results.md, "Arena")
LATER_RUNGS = 8  # of the longest refinement, each with new seeds
AROUND_S = 12.0  # of a trial: its baselines, the ideal input, scores


@dataclass(frozen=True)
class Trial:
    """A configuration with its seed; `config` overrides the recipe of the ladder."""

    config: Mapping[str, Any]
    seed: int

    @property
    def texts(self) -> dict[str, str]:
        """Return the configuration as a sweep has it: values as text."""
        return {key: render(value) for key, value in self.config.items()}


Rung = tuple[Trial, ...]


def pa_ladder(base: Loaded, reading: Reading) -> list[Rung]:
    """Return the trials of PA models: each rung three times as long as the one before."""
    transformer, gru, gmp = pa_models(base.recipe.model.model_dump(mode="json", exclude_unset=True))
    turned, rungs = phase_augment(reading), list[Rung]()
    for number in range(PA_RUNGS):
        lengths = ((transformer, PA_STEPS * LONGER**number), (gru, GRU_STEPS * LONGER**number))
        rung = [_pa_trial(model, steps, turned) for model, steps in lengths]
        rungs.append(tuple(rung if number else [*rung, _pa_trial(gmp, "off", "off")]))
    return rungs


def _pa_trial(model: Mapping[str, Any], steps: int | str, turned: str) -> Trial:
    return Trial({"model": model, "train.max_steps": steps, "train.phase_augment": turned}, 0)


def predistorter_ladder(base: Loaded, reading: Reading) -> list[Rung]:
    """Return the trials of predistorters: the rules and a short refinement, then longer ones with several seeds."""
    model = base.recipe.model
    assert isinstance(model, KINDS)
    parameters = size_of(model).parameters
    short, *longer = [refinement(reading, parameters, iterations) for iterations in ITERATIONS]
    rules = {key: getattr(getattr(base.recipe, key.split(".")[0]), key.split(".")[1]) for key in short}
    rungs: list[Rung] = [(Trial({key: _plain(value) for key, value in rules.items()}, 0), Trial(short, 0))]
    rungs += [tuple(Trial(each, seed) for seed in range(SEEDS)) for each in longer]
    for number in range(1, LATER_RUNGS):
        rungs.append(tuple(Trial(longer[-1], number * SEEDS + seed) for seed in range(SEEDS)))
    return rungs


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def trial_seconds(base: Loaded, trial: Trial, reading: Reading, pa: Any, speed: MachineSpeed) -> float:
    """Return the time of a trial on one core [s], by the cost model of `dpdrun.plan.cost`.

    Args:
        base, trial: what is trained.
        reading: the capture.
        pa: `model` section of the PA model after a predistorter; None for a PA model.
        speed: of this machine.
    """
    loaded = load_text(base.text, base.path, [*base.overrides, *overrides_of(trial.texts)])
    plan, _ = prepare(loaded, pa_trained=False, capture=reading.capture)
    timed = None if getattr(pa, "kind", "") == "gmp" else pa  # a gmp takes next to nothing
    estimate = estimate_of(plan, val_samples=len(reading.capture.val), pa=timed, speed=speed)
    seconds = AROUND_S + (estimate.seconds if estimate is not None else 0.0)
    if plan.recipe.optim.refine == "lm" and isinstance(plan.recipe.model, KINDS):
        seconds += refinement_seconds(plan.recipe.model, plan.recipe.optim.refine_iterations, speed)
    return seconds


def rung_seconds(seconds: list[float], workers: int) -> float:
    """Return the time of trials that start in their order on some workers [s]."""
    ends = [0.0] * workers
    for each in seconds:
        ends[ends.index(min(ends))] += each
    return max(ends)


def base_of(text: str, path: Path) -> Loaded:
    """Return the recipe of a ladder."""
    return load_text(text, path, [])
