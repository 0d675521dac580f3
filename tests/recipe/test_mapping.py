"""Recipes as Python values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpdrun.errors import RecipeError
from dpdrun.recipe import shipped, yaml12
from dpdrun.recipe.loader import load_recipe, load_text, overrides_of
from dpdrun.recipe.mapping import node_of, written
from dpdrun.recipe.schema import DataSection


@pytest.mark.parametrize("name", [each.name for each in shipped.shipped() if each.name != "pipeline"])
def test_a_shipped_recipe_as_a_dict_is_the_same(name: str) -> None:
    loaded = load_recipe(name)
    root, _ = yaml12.parse(loaded.text, "x")
    assert root is not None
    as_dict = load_recipe(root.plain())
    assert as_dict.recipe == loaded.recipe
    assert as_dict.given == loaded.given
    assert load_text(as_dict.effective_text).recipe == loaded.recipe


def test_python_values_become_those_of_a_recipe() -> None:
    values = {"a": np.float64(0.5), "b": np.int64(3), "c": Path("x/y"), "d": (1, 2), "e": None, "f": True, "g": "1e3",
              "h": {"i": "off"}, "k": DataSection(source="x", sample_rate_hz=1e9)}  # fmt: skip
    node, problems = node_of(values, "recipe")
    assert problems == []
    plain = {"a": 0.5, "b": 3, "c": "x/y", "d": [1, 2], "e": None, "f": True, "g": "1e3", "h": {"i": "off"},
             "k": {"source": "x", "sample_rate_hz": 1e9}}  # fmt: skip
    assert node.plain() == plain
    root, _ = yaml12.parse(written(plain), "x")
    assert root is not None
    assert root.plain() == plain


def test_overrides_are_pairs_or_values_by_key() -> None:
    assert overrides_of({"optim.lr": 1e-3, "data.source": "a b: c"}) == ["optim.lr=1e-3", 'data.source="a b: c"']
    assert overrides_of("optim.lr=1") == ["optim.lr=1"]
    recipe = load_recipe("quickstart", {"train.seed": np.int64(5), "data.source": "a b: c"}).recipe
    assert (recipe.train.seed, recipe.data.source) == (5, "a b: c")
    with pytest.raises(RecipeError, match=r'overrides\["train.seed"\]: a recipe cannot hold a object'):
        load_recipe("quickstart", {"train.seed": object()})
    for wrong in (1, [1], [None]):
        with pytest.raises(RecipeError, match="overrides: pass a dict"):
            load_recipe("quickstart", wrong)  # type: ignore[arg-type]


def test_a_number_of_thousands_of_digits_is_refused_where_it_stands() -> None:
    with pytest.raises(RecipeError, match=r'(?m)^recipe\["train"\]\["seed"\]: train.seed: expected .* got .inf$'):
        load_recipe({"train": {"seed": 10**5000}})
    with pytest.raises(RecipeError, match=r"(?m)^recipe\[inf\]: a key is text, not a int$"):
        load_recipe({10**5000: 1})
    with pytest.raises(RecipeError, match=r"--set optim.lr=-.inf: .* got -.inf$"):
        load_recipe("quickstart", {"optim.lr": -(10**5000)})


def test_endless_nesting_is_refused() -> None:
    deep: dict[str, object] = {}
    deep["a"] = deep
    with pytest.raises(RecipeError, match="nested deeper than"):
        load_recipe(deep)


def test_another_capture_keeps_the_lines_of_the_rest() -> None:
    loaded = load_recipe("quickstart", ["train.seed=7"])
    other = loaded.with_data(DataSection(source="x.npz", sample_rate_hz=1e6))
    assert other.recipe.train.seed == 7
    assert load_text(other.effective_text).recipe == other.recipe
    assert other.line_of("model.kind") == loaded.line_of("model.kind")
