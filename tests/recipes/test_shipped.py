"""Every recipe that is shipped: its header, its fields, and that it trains."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.reference import schema_text

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
NAMES = [path.relative_to(ROOT).as_posix() for path in RECIPES]
SCHEMA = "docs/recipe.schema.json"

# What makes a job small without changing what it is: same model family, same settings of the optimizer, two steps.
TINY = {
    "data.source": "synthetic/mild",
    "data.sample_rate_hz": "auto",
    "data.bandwidth_hz": "auto",
    "data.split": "{train: 2%, val: 49%, test: 49%}",
    "train.max_steps": "2",
    "train.epochs": "auto",
    "train.batch_size": "2",
    "train.accumulate": "1",
    "train.eval_every": "2",
    "train.compile": "off",
    "optim.warmup": "off",
}


def test_there_are_recipes() -> None:
    assert "recipes/quickstart.yaml" in NAMES
    assert len(NAMES) > 10


@pytest.mark.parametrize("name", NAMES)
def test_the_header_names_the_schema_for_editors_and_the_launch_line(name: str) -> None:
    path = ROOT / name
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert len(head) >= 3
    prefix = "# yaml-language-server: $schema="
    assert head[0].startswith(prefix)
    named = (path.parent / head[0].removeprefix(prefix)).resolve()
    assert named == ROOT / SCHEMA
    assert f"#   dpdrun train {name}" in head
    assert any(len(line) > 40 for line in head[1:]), "say what the recipe is for"


def test_the_schema_that_they_name_is_the_current_one() -> None:
    assert json.loads((ROOT / SCHEMA).read_text(encoding="utf-8")) == json.loads(schema_text())


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_trains(name: str, tmp_path: Path) -> None:
    from dpdrun.runlog import read_metrics
    from dpdrun.training import job

    path = ROOT / name
    asked = load_recipe(path)
    loaded = load_recipe(path, [f"{key}={value}" for key, value in TINY.items() if key != "optim.warmup" or
                                asked.recipe.optim.warmup != "auto"])  # fmt: skip
    assert loaded.recipe.model == asked.recipe.model
    report = job.train(loaded, tmp_path / "run")
    metrics = read_metrics(tmp_path / "run")
    assert [line["step"] for line in metrics.steps] == [1, 2]
    assert all(math.isfinite(line["loss"]) and line["grad_norm"] > 0 for line in metrics.steps)
    assert all(math.isfinite(report["splits"][split]["nmse_db"]) for split in ("val", "test"))
