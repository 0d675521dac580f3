"""What the arena study does on top of the judge: checks it, reads models, averages seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.arena import judge
from dpdrun import models
from dpdrun.errors import RunError
from dpdrun.recipe.loader import load_recipe
from dpdrun.training import checkpoint

RECIPE = """\
task: pa
data: {source: synthetic/ofdm_rapp}
model: {kind: transformer, d_model: 4, layers: 1, heads: 2, ff_mult: 1, window: 8, conv: 3}
"""


@dataclass(frozen=True)
class FakeScore:
    nmse_db: float
    evm_db: float
    aclr_db: float
    power_error_db: float = 0.0
    limited_share: float = 0.0


class FakeArena:
    """What `check_judge` asks of the board, as published."""

    def __init__(self) -> None:
        self.baseline = FakeScore(-18.777, -19.875, -28.742)
        self.metrics = {"nmse_db": -38.96, "evm_db": -42.5, "baseline_aclr_db": -28.74, "aclr_improvement_db": 14.13}

    def least_squares(self, key: str, budget: int) -> tuple[FakeScore, int]:
        return FakeScore(-38.96, -42.5, -42.87), budget

    def published(self, key: str, budget: int) -> dict[str, Any]:
        return {"metrics": self.metrics}


def row(name: str, evm_db: float, power_error_db: float = 0.0) -> Any:
    return judge.Row(name, 1994, FakeScore(-49.0, evm_db, -54.0, power_error_db), -140.0, 2000)


def test_a_judge_that_says_what_is_published_passes() -> None:
    lines = judge.check_judge(FakeArena())  # type: ignore[arg-type]
    assert len(lines) == 2
    assert "-18.78 / -19.88 / -28.74 here" in lines[0]
    assert "-42.87 published" in lines[1]


def test_a_judge_with_another_baseline_is_refused() -> None:
    arena = FakeArena()
    arena.baseline = replace(arena.baseline, evm_db=-19.7)
    with pytest.raises(judge.JudgeError, match="no predistorter"):
        judge.check_judge(arena)  # type: ignore[arg-type]


def test_a_judge_whose_least_squares_row_is_off_is_refused() -> None:
    arena = FakeArena()
    arena.metrics = arena.metrics | {"aclr_improvement_db": 14.4}
    with pytest.raises(judge.JudgeError, match="mp_ls"):
        judge.check_judge(arena)  # type: ignore[arg-type]


def test_seeds_are_averaged_and_a_single_model_is_not() -> None:
    lines = judge.table([row("big-seed0", -52.0), row("big-seed1", -54.0), row("small", -40.0)]).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == [
        "big-seed0", "big-seed1", "**big, mean of 2**", "small",
    ]  # fmt: skip
    assert "-53.00" in lines[4]


def test_the_summary_holds_our_mean_against_the_published_table() -> None:
    class Published:
        def rows(self, budget: int) -> dict[str, tuple[float, float]]:
            return {"gru": (-49.6, -50.1), "tcn": (-45.0, -54.0), "apnrru": (-50.5, -46.0)} if budget == 1000 else {}

    rows = [
        judge.Row(f"t-seed{seed}", 994, FakeScore(-49.0, evm, -54.0 - evm / 100), -140.0, 2000)
        for seed, evm in enumerate((-50.0, -52.0))
    ]
    runs = {
        "t-seed0": {"seconds": 60.0, "seconds_to_gru_994": 30.0},
        "t-seed1": {"seconds": 90.0, "seconds_to_gru_994": None},
    }
    text = judge.summary(Published(), rows, runs)  # type: ignore[arg-type]
    (line,) = [line for line in text.splitlines() if line.startswith("| <= 1000")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["<= 1000", "994", "**-51.00 / -53.49**", "apnrru -50.50", "tcn -54.00", "-49.60 / -50.10",
                     "1.0 to 1.5", "not reached", "2,000", "27.95"]  # fmt: skip
    assert text.count("<=") == 1, "budgets without a model of ours have no row"


def test_a_power_error_beyond_the_arenas_limit_is_marked() -> None:
    assert "+0.600 (no score)" in judge.table([row("loud", -50.0, power_error_db=0.6)])
    assert "no score" not in judge.table([row("right", -50.0, power_error_db=-0.4)])


def test_a_folder_gives_back_the_model_that_was_saved(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    section = load_recipe(tmp_path / "recipe.yaml").recipe.model
    torch.manual_seed(1)
    model = models.build(section, scale_x=0.3, scale_y=0.2)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    checkpoint.save_model(tmp_path / "model.safetensors", model, {"kind": "transformer"})

    x = torch.randn(2, 200, 2)
    with torch.no_grad():
        torch.testing.assert_close(judge.load(tmp_path)(x), model(x), rtol=0, atol=0)


def test_tensors_of_another_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE.replace("d_model: 4", "d_model: 6"))
    section = load_recipe(tmp_path / "recipe.yaml").recipe.model
    checkpoint.save_model(tmp_path / "model.safetensors", models.build(section, scale_x=1.0, scale_y=1.0), {})
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    with pytest.raises(RunError, match=r"not the model that .*recipe\.yaml describes"):
        judge.load(tmp_path)
