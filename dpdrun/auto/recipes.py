"""The recipes of `dpdrun auto`, as a user would write them by hand; the rules set what they leave out."""

from __future__ import annotations

from typing import Any

from dpdrun.auto.budget import TWO_BLOCKS_FROM
from dpdrun.auto.reading import Reading
from dpdrun.data.inspection import IMAGE_DBC, OFFSET_DB
from dpdrun.plan.advise import advise, facts_of_kind
from dpdrun.recipe.patch import render

PA_STEPS, GRU_STEPS = 1200, 400  # of the shortest trials: about half a minute of one core each
GRU_HIDDEN = 16
RULES_STEPS = (2000, 1000, 500, 250)  # of AdamW by the rules: the most that fit into their share of the time
# As benchmarks/arena: a short start, then Levenberg-Marquardt, with these weights over the spectrum.
REFINED = {
    "optim.lr": 0.02,
    "optim.refine": "lm",
    "train.max_steps": 150,
    "train.batch_size": 32,
    "train.frame": 256,
    "train.burn_in": 64,
}
SPECTRAL = {"in_band": 1, "out_of_band": 1.5, "beyond": 0.1}
SIZES = ("d_model", "layers", "heads", "window", "lookahead")


def pa_recipe(reading: Reading) -> str:
    """Return the recipe of the PA model: a Transformer with the sizes that the rules derive from the capture."""
    advice = advise(facts_of_kind("transformer"), "measured", reading.sizes)
    values = advice.recommendation.values
    model = {"kind": "transformer", **{name: values[f"model.{name}"].value for name in SIZES}}
    return _recipe(reading, {"task": "pa", "model": model, "train": {"max_steps": PA_STEPS}})


def pa_models(recipe: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the `model` sections that are tried as PA models: that of the recipe, a GRU, a gmp."""
    return [recipe, {"kind": "gru", "hidden": GRU_HIDDEN}, {"kind": "gmp"}]


def predistorter_recipe(reading: Reading, model: dict[str, Any], pa: str) -> str:
    """Return the recipe of a predistorter, by the rules: it learns the ideal input of the PA model.

    A PA model that a gmp is ahead of is accepted: `tried.pa_model` has weighed them.
    """
    train = {"max_steps": RULES_STEPS[0]} if model["kind"] != "gmp" else {}
    job = {"task": "dpd", "pa": pa, "model": model, "dpd": {"learning": "ilc", "weak_pa": "accept"}}
    return _recipe(reading, {**job, **({"train": train} if train else {})})


def refinement(reading: Reading, parameters: int, iterations: int) -> dict[str, Any]:
    """Return the changes of that recipe for a refinement by Levenberg-Marquardt.

    Networks of two blocks learn from four times the data (`dpd.augment`), without which they overfitted there.
    """
    loss = {} if reading.capture.bandwidth_hz is None else {"train.loss": SPECTRAL}
    augment = "on" if parameters >= TWO_BLOCKS_FROM else "off"
    return {**REFINED, **loss, "optim.refine_iterations": iterations, "dpd.augment": augment}


def phase_augment(reading: Reading) -> str:
    """Return `train.phase_augment` of a PA model: on where the capture has no image and no DC of its own."""
    image, offset = reading.facts.image_dbc, reading.facts.offset_y_db
    commutes = image is not None and image < IMAGE_DBC and offset is not None and offset < OFFSET_DB
    return "on" if commutes else "off"


def _recipe(reading: Reading, sections: dict[str, Any]) -> str:
    lines = [f"task: {sections['task']}", *([f"pa: {render(sections['pa'])}"] if "pa" in sections else [])]
    lines.append(f"data: {render(reading.section)}")
    lines += [f"{name}: {render(value)}" for name, value in sections.items() if name not in ("task", "pa")]
    return "\n".join(lines) + "\n"
