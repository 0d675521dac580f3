"""A kind and a loss that are passed from Python: known once they are passed, or a run with them is read."""

from __future__ import annotations

import subprocess
import sys

CODE = """
from dpdrun.errors import RecipeError
from dpdrun.recipe import plugins
from dpdrun.recipe.given import enter_of
from dpdrun.recipe.loader import load_recipe

model = {"kind": "given", "module": "Net", "sha256": "0"}
recipe = {"task": "pa", "data": {"source": "synthetic/mild"}, "model": model, "train": {"loss": "given"}}
try:
    load_recipe(recipe)
except RecipeError as error:
    print(error)
for plan in ({}, {"recipe": 3}, {"recipe": {"model": {"kind": "gru"}, "train": {"loss": "time"}}}):
    enter_of(plan)
assert "given" not in plugins.names("models") + plugins.names("losses")
enter_of({"recipe": recipe})
enter_of({"recipe": recipe})
assert load_recipe(recipe).recipe.model.context == "unlimited"
"""


def test_a_recipe_alone_cannot_have_them() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True, encoding="utf-8")
    first = 'recipe["model"]["kind"]: model.kind: given: this model is a module passed from Python'
    assert done.stdout.startswith(first)
