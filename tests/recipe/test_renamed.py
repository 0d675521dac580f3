"""Keys of earlier versions."""

from __future__ import annotations

import pytest

from dpdrun.errors import RecipeError
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.renamed import REMOVED, RENAMED, with_current_keys

GRU = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 2}\n"
CURRENT = {doc.key for doc in field_docs()}


def test_new_names_are_fields_and_old_ones_are_not() -> None:
    assert set(RENAMED.values()) <= CURRENT
    assert not set(RENAMED) & CURRENT


@pytest.mark.parametrize("key", sorted({*RENAMED, *REMOVED} - CURRENT))
def test_an_old_key_is_refused_with_its_new_name(key: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_text(GRU, "r.yaml", [f"{key}=off"])
    what = f"it is now {RENAMED[key]}" if key in RENAMED else f"it was removed, {REMOVED[key]}; delete this line"
    assert str(caught.value) == f"--set {key}=off: unknown key {key}: {what}"


def test_the_recipe_of_an_old_plan_has_the_current_keys() -> None:
    old = {"task": "pa", "train": {"rotate": "on", "seed": 3}, "optim": {"finish": "lm", "lr": 1e-3}}
    new = {"task": "pa", "train": {"phase_augment": "on", "seed": 3}, "optim": {"refine": "lm", "lr": 1e-3}}
    assert with_current_keys(old) == new == with_current_keys(new)
    assert old["train"] == {"rotate": "on", "seed": 3}
