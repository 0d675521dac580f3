"""Every recipe that is shipped: its header, its fields, and that it trains."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dpdrun.pipeline.document import is_pipeline, load_pipeline
from dpdrun.recipe.loader import load_recipe

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "recipes").rglob("*.yaml"))
RECIPES = [path for path in FILES if not is_pipeline(path)]
PIPELINES = [path for path in FILES if is_pipeline(path)]
NAMES = [path.relative_to(ROOT).as_posix() for path in RECIPES]
SCHEMA = "docs/recipe.schema.json"

# What makes a job small without changing what it is: same model, same settings of the optimizer, two steps.
DATA = ("data.sample_rate_hz=auto", "data.bandwidth_hz=auto", "data.split=auto")
STEPS = (
    "train.max_steps=2", "train.epochs=auto", "train.batch_size=2", "train.accumulate=1", "train.eval_every=2",
    "train.compile=off", "optim.warmup=1",
)  # fmt: skip


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
    assert named.is_file()
    assert f"#   dpdrun train {name}" in head
    assert any(len(line) > 40 for line in head[1:]), "say what the recipe is for"


def test_a_pipeline_names_recipes_that_are_shipped() -> None:
    assert [path.name for path in PIPELINES] == ["pipeline.yaml"]
    for path in PIPELINES:
        assert f"#   dpdrun train {path.relative_to(ROOT)}" in path.read_text(encoding="utf-8").splitlines()
        steps = load_pipeline(path).steps
        assert {step.loaded.path for step in steps} <= set(RECIPES)
        assert {step.through for step in steps} == {None, "pa"}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of a cubic amplifier with a noise floor, long enough for the frames of all recipes and no longer."""
    rng = np.random.default_rng(0)
    x = 0.1 * np.convolve(rng.normal(size=1608) + 1j * rng.normal(size=1608), np.hanning(9), mode="valid")
    noise = 1e-4 * (rng.normal(size=x.size) + 1j * rng.normal(size=x.size))
    path = tmp_path_factory.mktemp("capture") / "small.npz"
    np.savez(path, x=x, y=2.0 * x * (1 - 0.3 * np.abs(x) ** 2) + noise, sample_rate_hz=1e6)
    return path


@pytest.fixture(scope="module")
def pa(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PA run for predistorters to learn through."""
    from dpdrun.training import job

    run = tmp_path_factory.mktemp("pa") / "run"
    job.train(load_recipe(ROOT / "recipes" / "quickstart_gmp.yaml", [f"data.source={capture}"]), run)
    return run


@pytest.mark.parametrize("name", NAMES)
def test_it_loads_and_trains(name: str, capture: Path, pa: Path, tmp_path: Path) -> None:
    from dpdrun.run.metrics import read_metrics
    from dpdrun.training import job

    asked = load_recipe(ROOT / name)
    steps = () if asked.recipe.model.kind == "gmp" else STEPS  # least squares has none
    through = () if asked.recipe.pa == "off" else (f"pa={pa}",)
    if through:
        trained = [path for path in RECIPES if path.stem == Path(asked.recipe.pa).name]
        assert len(trained) == 1, "it names the run of a recipe that is shipped"
        assert load_recipe(trained[0]).recipe.data == asked.recipe.data
    loaded = load_recipe(ROOT / name, [*DATA, f"data.source={capture}", *steps, *through])
    assert loaded.recipe.model == asked.recipe.model
    report = job.train(loaded, tmp_path / "run")
    assert all(math.isfinite(report["splits"][split]["nmse_db"]) for split in ("val", "test"))
    assert report["steps"] == (2 if steps else 0)
    if steps:
        lines = read_metrics(tmp_path / "run").steps
        assert [line["step"] for line in lines] == [1, 2]
        assert all(math.isfinite(line["loss"]) and line["grad_norm"] > 0 for line in lines)
