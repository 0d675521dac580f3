"""`dpdrun.recommend` and `dpdrun.diagnose`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dpdrun
from dpdrun.errors import DataError, RecipeError
from tests.api.conftest import RECIPE


def test_a_capture_gives_a_recipe_that_trains(capture: dpdrun.Capture, tmp_path: Path, fit_gmp_once: None) -> None:
    advice = dpdrun.recommend(capture=capture)
    assert advice.recipe["model"]["kind"] == "transformer"
    assert "data" not in advice.recipe
    assert advice.values["optim.lr"] == advice.recipe["optim"]["lr"]
    assert advice._repr_html_().startswith("<pre")
    assert len(repr(advice)) < 100
    run = dpdrun.train(advice.recipe, capture, tmp_path / "run", overrides=["train.max_steps=2"])
    assert run.plan.recipe.model.kind == "transformer"


def test_a_recipe_is_filled_in(capture: dpdrun.Capture) -> None:
    assert dpdrun.recommend(RECIPE, capture).recipe["optim"].keys() >= {"lr", "warmup", "schedule"}
    advice = dpdrun.recommend("quickstart")
    assert advice.recipe["data"] == {"source": "synthetic/hard"}
    assert advice.to_dict()["values"]["optim.lr"]["value"] == advice.values["optim.lr"]


def test_what_cannot_be_advised_on_is_refused(capture: dpdrun.Capture) -> None:
    with pytest.raises(RecipeError, match="pass a recipe, a capture, or both"):
        dpdrun.recommend()
    with pytest.raises(RecipeError, match="'lstm': no such kind; there is transformer, gru, gmp"):
        dpdrun.recommend(capture=capture, model="lstm")
    with pytest.raises(RecipeError, match="leave out model="):
        dpdrun.recommend(RECIPE, capture, model="gru")
    with pytest.raises(DataError, match="expected a Capture, not a str"):
        dpdrun.recommend(capture="synthetic/mild")  # type: ignore[arg-type]


def test_a_log_of_another_program_is_diagnosed(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,ce\n" + "".join(f"{n},{'nan' if n > 50 else 1 / n}\n" for n in range(1, 60)), encoding="utf-8")
    found = dpdrun.diagnose(log, ["loss=ce"])
    assert found.verdict == "error"
    assert found.to_dict()["log"]
    assert str(log) in found._repr_html_() or "log.csv" in found._repr_html_()


def test_advice_and_captures_load_no_torch() -> None:
    code = "import dpdrun, sys; dpdrun.diagnose, dpdrun.recommend, dpdrun.Capture; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
