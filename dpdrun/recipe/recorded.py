"""The recipe of a run whose plug-ins are missing, as plan.json has it: to be shown, not to be trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ConfigDict

from dpdrun.recipe.schema import Recipe, Section


class RecordedModel(Section):
    """The section of a kind whose plug-in is missing: what plan.json has of it."""

    model_config = ConfigDict(extra="allow")
    kind: str


def recipe_as_recorded(recipe: Mapping[str, Any], missing: Iterable[Mapping[str, Any]]) -> Recipe:
    """Return the recipe of a plan.json, to be shown, where some of its plug-ins are missing."""
    groups = {each["group"] for each in missing}
    model, optim, train = recipe["model"], recipe.get("optim", {}), recipe.get("train", {})
    known = dict(recipe)
    if "models" in groups:
        known["model"] = {"kind": "gmp"}
    if "optimizers" in groups:
        known["optim"] = {key: value for key, value in optim.items() if key != "name"}
    if "losses" in groups:
        known["train"] = {key: value for key, value in train.items() if key != "loss"}
    read = Recipe.model_validate(known)
    changes: dict[str, Any] = {}
    if "models" in groups:
        changes["model"] = RecordedModel.model_validate(model)
    if "optimizers" in groups:
        changes["optim"] = read.optim.model_copy(update={"name": optim["name"]})
    if "losses" in groups:
        changes["train"] = read.train.model_copy(update={"loss": train["loss"]})
    return read.model_copy(update=changes)
