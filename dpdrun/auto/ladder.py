"""What is tried, in order. A longer time reaches further, and the best on the validation split is kept.

A refinement that the time interrupts is kept as far as it came. So what a longer time gives is at least as good.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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

LONGER = 3  # from one trial of a PA model to the next of its kind
PA_LENGTHS = 5
# Of the refinements, unless the time is up before: iterations, and how many seeds have as many. With 496 parameters 300
# were near the end of what they gain on synthetic/hard (-49.2 dB of validation after 200, -50.1 after 300), where seeds
# were 1.5 dB apart: so first other seeds, then longer ones.
REFINEMENTS = ((300, 8), (600, 56))
RULES_SHARE = 0.25  # of the time of one core
AROUND_S = 6.0  # of a trial: its worker, baselines, the ideal input, scores
LEAST_ITERATIONS = 20  # of a refinement that is begun
STEPS_KEY, ITERATIONS_KEY = "train.max_steps", "optim.refine_iterations"


@dataclass(frozen=True)
class Trial:
    """A configuration with its seed.

    Attributes:
        config: overrides the recipe of the ladder.
        seed: of the training.
        is_needed: it is finished even if the time is up: without it there is no result.
        is_rules: what the rules recommend; it is shortened to its share of the time, or left out.
    """

    config: Mapping[str, Any]
    seed: int
    is_needed: bool = False
    is_rules: bool = False

    @property
    def texts(self) -> dict[str, str]:
        """Return the configuration as a sweep has it: values as text."""
        return {key: render(value) for key, value in self.config.items()}

    @property
    def is_refined(self) -> bool:
        """Whether what it has reached can be kept at any time, because a refinement ends it."""
        return self.config.get("optim.refine") == "lm"

    def with_value(self, key: str, value: Any) -> Trial:
        """Return it with another value in its configuration."""
        return replace(self, config={**self.config, key: value})


def pa_ladder(base: Loaded, reading: Reading) -> list[Trial]:
    """Return the trials of PA models: of each kind, the next one is three times as long as the one before."""
    transformer, gru, gmp = pa_models(base.recipe.model.model_dump(mode="json", exclude_unset=True))
    turned, found = phase_augment(reading), list[Trial]()
    for number in range(PA_LENGTHS):
        lengths = ((transformer, PA_STEPS * LONGER**number), (gru, GRU_STEPS * LONGER**number))
        found += [_pa_trial(model, steps, turned, is_needed=not number) for model, steps in lengths]
        if not number:
            found.append(_pa_trial(gmp, "off", "off", is_needed=True))
    return found


def _pa_trial(model: Mapping[str, Any], steps: int | str, turned: str, *, is_needed: bool) -> Trial:
    return Trial({"model": model, "train.max_steps": steps, "train.phase_augment": turned}, 0, is_needed)


def predistorter_ladder(base: Loaded, reading: Reading) -> list[Trial]:
    """Return the trials of predistorters: a refinement, the rules, then refinements with other seeds."""
    model = base.recipe.model
    assert isinstance(model, KINDS)
    parameters = size_of(model).parameters
    lengths = [iterations for iterations, seeds in REFINEMENTS for _ in range(seeds)]
    refined = [Trial(refinement(reading, parameters, iterations), seed, is_needed=not seed)
               for seed, iterations in enumerate(lengths)]  # fmt: skip
    rules = {key: _plain(getattr(getattr(base.recipe, section), name)) for key in refined[0].config
             for section, name in [key.split(".")]}  # fmt: skip
    return [refined[0], Trial(rules, 0, is_rules=True), *refined[1:]]


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


def on_workers(seconds: Sequence[float], workers: int) -> float:
    """Return the time of trials that start in their order on some workers [s]."""
    ends = [0.0] * workers
    for each in seconds:
        ends[ends.index(min(ends))] += each
    return max(ends)
