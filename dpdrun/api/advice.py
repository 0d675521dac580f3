"""`recommend` from Python; it loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from dpdrun.api.recipes import Overrides, RecipeLike, loaded_from, require_capture
from dpdrun.api.results import Advice, advice_of
from dpdrun.data.capture import Capture
from dpdrun.data.checks import suggestion
from dpdrun.data.sizing import read_sizes
from dpdrun.errors import RecipeError
from dpdrun.plan.advise import advise, advise_on_recipe, facts_of_kind
from dpdrun.plan.lint import RecipeFacts
from dpdrun.plan.recipe_writer import SIZES, advised_model, filled_recipe, model_section, recipe_text
from dpdrun.recipe import yaml12
from dpdrun.recipe.schema import GIVEN, DataSection


def recommend(
    recipe: RecipeLike | None = None, capture: Capture | None = None, *, model: str | None = None,
    rules: Literal["measured", "note"] = "measured", overrides: Overrides = (),
) -> Advice:  # fmt: skip
    """Recommend hyper-parameters for a recipe, a capture, or both.

    Args:
        recipe: as `train`; None: the rules choose the sizes of the model too, from the capture.
        capture: measured for the memory and the noise floor of the amplifier, which takes seconds.
        model: without a recipe, the kind of model: transformer (the default), gru or gmp.
        rules: without a recipe, which rules to evaluate.
        overrides: as `train`.

    Returns:
        Advice: its `recipe` holds all values, ready for `train(advice.recipe, capture)`.

    Raises:
        RecipeError, DataError: as `train`.
    """
    if recipe is not None:
        if model is not None:
            raise RecipeError("recommend: a recipe names its model; leave out model=")
        loaded = loaded_from(recipe, overrides, capture)
        if capture is not None:
            loaded = loaded.with_data(DataSection(source=GIVEN))
        advice = advise_on_recipe(
            loaded, RecipeFacts(needed=True), data=None if capture is None else read_sizes(capture)
        )
        text = filled_recipe(advice.recommendation, loaded, "dpdrun.recommend", keep_schema_line=False)
        return advice_of(advice, _without_given_data(text))
    if capture is None:
        raise RecipeError("recommend: pass a recipe, a capture, or both")
    kind = model or "transformer"
    if kind not in SIZES:
        raise RecipeError(f"model {kind!r}: no such kind{suggestion(kind, SIZES)}; there is {', '.join(SIZES)}")
    advice = advise(facts_of_kind(kind), rules, read_sizes(require_capture(capture)))
    this = advice.recommendation
    sections = {"data": {"source": GIVEN}, "model": model_section(kind, advised_model(this))}
    return advice_of(advice, _without_given_data(recipe_text(this, sections, "dpdrun.recommend")))


def _without_given_data(text: str) -> dict[str, Any]:
    """Return a recipe as a dict, for `train`: without its `data` where that is passed from Python."""
    root, _ = yaml12.parse(text, "recipe")
    content: dict[str, Any] = {} if root is None else root.plain()
    if content.get("data", {}).get("source") == GIVEN:
        del content["data"]
    return content
