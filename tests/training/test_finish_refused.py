"""What `optim.refine: lm` is not for, said before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpdrun.errors import RecipeError
from dpdrun.recipe.loader import load_recipe
from dpdrun.training import job


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (["model.d_model=32"], r"at most 4,000 parameters: .*; this one has 6,"),
        (["model.layers=400", "model.d_model=2", "model.heads=1"], "4,000 parameters"),
        (["model.layers=60", "model.window=32", "model.d_model=2", "model.heads=1"], "depends on 1,862 samples"),
    ],
)
def test_what_it_cannot_take_is_refused_before_anything_is_written(overrides: list[str], why: str, here: Path) -> None:
    with pytest.raises(RecipeError, match=why):
        job.train(load_recipe("job.yaml", overrides), here / "run")
    assert not (here / "run").exists()


def test_a_model_that_is_too_large_is_shown_at_its_line(here: Path) -> None:
    recipe = here / "job.yaml"
    recipe.write_text(recipe.read_text().replace("d_model: 4", "d_model: 64"))
    with pytest.raises(RecipeError, match=r"job\.yaml:6:\d+: optim\.refine lm is for models of at most 4,000"):
        job.prepare_training(load_recipe("job.yaml"))
