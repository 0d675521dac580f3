"""Arguments of the calls from Python: a recipe of any form, a capture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from dpdrun.data.capture import Capture
from dpdrun.errors import DataError, RecipeError
from dpdrun.recipe.loader import Loaded, load_recipe, load_text, overrides_of
from dpdrun.recipe.schema import GIVEN

PathLike = str | os.PathLike[str]
RecipeLike = Mapping[str, Any] | str | os.PathLike[str] | Loaded
Overrides = Sequence[str] | Mapping[str, Any]


def require_capture(capture: Capture) -> Capture:
    """Return a capture. Raises DataError for anything else."""
    if isinstance(capture, Capture):
        return capture
    raise DataError(
        f"capture: expected a Capture, not a {type(capture).__name__}; make one with dpdrun.Capture.from_arrays or "
        "dpdrun.Capture.load, and give the folder of a run as out="
    )


def loaded_from(recipe: RecipeLike, overrides: Overrides, capture: Capture | None) -> Loaded:
    """Return a recipe of any form. Raises RecipeError."""
    if capture is not None:
        require_capture(capture)
    if isinstance(recipe, Loaded):
        if not overrides:
            return recipe
        return load_text(recipe.text, recipe.path, [*recipe.overrides, *overrides_of(overrides)])
    if isinstance(recipe, Mapping):
        if capture is not None and "data" not in recipe:
            recipe = {**recipe, "data": {"source": GIVEN}}
    elif not isinstance(recipe, str | os.PathLike):
        raise RecipeError(
            f"recipe: expected a dict, a path, a name or what load_recipe returns, not a {type(recipe).__name__}"
        )
    return load_recipe(recipe, overrides)
