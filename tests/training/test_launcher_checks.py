"""What a launcher may decide: how a batch is shared, and nothing that decides the weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.errors import RecipeError, RunError
from dpdrun.plan.plan import Plan, make_plan
from dpdrun.plan.prepare import check_share
from dpdrun.recipe.loader import Loaded, load_text
from dpdrun.training.launcher_checks import (
    DYNAMO,
    FOREIGN,
    PASSES,
    PRECISION,
    check_machine,
    reject_launcher_conflicts,
)
from dpdrun.training.precision import without_effect
from dpdrun.training.process_group import uses_gpu

RECIPE = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 8, layers: 1, heads: 2, window: 8}
train:
  max_steps: 12
  batch_size: 20
"""


@pytest.mark.parametrize(
    ("batch", "passes", "processes", "near"),
    [
        (20, 1, 1, None),
        (20, 2, 5, None),
        (20, 1, 8, "16 or 24"),
        (20, 2, 3, "18 or 24"),
        (20, 2, 12, "24"),
        (1, 1, 2, "2"),
        (17, 1, 2, "16 or 18"),
    ],
)
def test_a_batch_divides_evenly_or_the_nearest_that_do_are_named(
    batch: int, passes: int, processes: int, near: str | None, plan: Callable[..., Plan], loaded: Callable[..., Loaded]
) -> None:
    def share(size: int) -> None:
        check_share(loaded(), plan(f"train.batch_size={size}", f"train.accumulate={passes}"), processes)

    if near is None:
        share(batch)
        return
    with pytest.raises(RecipeError) as error:
        share(batch)
    problem = str(error.value)
    assert f"train.batch_size {batch} does not divide evenly by {processes} processes" in problem
    assert f"nearest that do: {near}\n" in problem
    assert (f"x train.accumulate {passes}" in problem) is (passes > 1)
    for size in near.split(" or "):
        share(int(size))


def test_least_squares_has_no_batch_to_share() -> None:
    text = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gmp}\n"
    check_share(load_text(text), make_plan(load_text(text).recipe, 2000), 7)


@pytest.mark.parametrize("processes", [3, 8])
def test_the_command_names_the_place(processes: int, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    outcome = CliRunner().invoke(app, ["train", str(recipe), "--processes", str(processes), "--dry-run"])
    assert outcome.exit_code == 2
    shown = " ".join(outcome.output.split())
    assert f"{recipe}:6:3: train.batch_size 20 does not divide evenly by {processes} processes" in shown
    assert "batch_size: 20 | ^~~~~~~~~~" in shown


def test_a_batch_that_the_rules_chose_is_named_too() -> None:
    loaded = load_text(RECIPE.replace("  batch_size: 20\n", ""))
    chosen = make_plan(loaded.recipe, 2000)
    with pytest.raises(RecipeError, match=rf"train\.batch_size {chosen.batch_size} does not divide evenly") as caught:
        check_share(loaded, chosen, chosen.batch_size + 1)
    assert str(caught.value).startswith("recipe.yaml:4:1:"), "where it would stand"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*FOREIGN, PRECISION, PASSES, DYNAMO):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(("variable", "name"), FOREIGN.items())
def test_another_way_to_divide_a_model_is_refused(
    variable: str, name: str, environment: pytest.MonkeyPatch, loaded: Callable[..., Loaded]
) -> None:
    environment.setenv(variable, "false")
    reject_launcher_conflicts(loaded().recipe)
    environment.setenv(variable, "true")
    with pytest.raises(RunError, match="accelerate launch requests ") as caught:
        reject_launcher_conflicts(loaded("model={kind: gru, hidden: 4}").recipe)
    assert name in str(caught.value)
    assert "cannot be split along time" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "key", "same"), [(PRECISION, "bf16", "precision", "bf16"), (PASSES, "4", "accumulate", "4")]
)
def test_what_the_recipe_decides_is_not_the_launchers(
    variable: str, value: str, key: str, same: str, environment: pytest.MonkeyPatch, loaded: Callable[..., Loaded]
) -> None:
    reject_launcher_conflicts(loaded(f"train.{key}={same}").recipe)
    environment.setenv(variable, value)
    reject_launcher_conflicts(loaded(f"train.{key}={same}").recipe)
    with pytest.raises(RunError, match=rf"accelerate launch requests .*{value}.*, the recipe has train\.{key}"):
        reject_launcher_conflicts(loaded().recipe)


@pytest.mark.parametrize("compile_", ["off", "auto"])
def test_a_launcher_does_not_compile_what_the_recipe_does_not(
    compile_: str, environment: pytest.MonkeyPatch, loaded: Callable[..., Loaded]
) -> None:
    for backend in ("", "no", "NO"):  # the last is what `accelerate launch` sets by default
        environment.setenv(DYNAMO, backend)
        reject_launcher_conflicts(loaded(f"train.compile={compile_}").recipe)
    environment.setenv(DYNAMO, "INDUCTOR")
    with pytest.raises(RunError, match=rf"--dynamo_backend inductor.*, the recipe has train\.compile {compile_}"):
        reject_launcher_conflicts(loaded(f"train.compile={compile_}").recipe)
    reject_launcher_conflicts(loaded("train.compile=on").recipe)


def test_settings_that_every_machine_has_are_not_reported(plan: Callable[..., Plan]) -> None:
    assert without_effect(plan().recipe.train.precision) is None


@pytest.mark.parametrize(("device", "gpu", "why"), [
    ("auto", False, None), ("auto", True, None), ("cpu", True, None), ("cuda", True, None),
    ("cuda", False, "finds no CUDA GPU; write auto or cpu"), ("mps", True, "never verified; write auto or cpu"),
])  # fmt: skip
def test_a_device_that_is_not_there_or_not_verified_is_refused_at_its_line(
    device: str, gpu: bool, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    loaded = load_text(f"{RECIPE}  device: {device}\n", Path("r.yaml"))
    if why is None:
        check_machine(loaded)
        assert uses_gpu(device) is (gpu and device != "cpu")
        return
    with pytest.raises(RecipeError, match=rf"^r.yaml:7:3: train.device {device}: .*{why}"):
        check_machine(loaded)


def test_the_device_may_change_between_start_and_resume() -> None:
    plans = [
        make_plan(load_text(f"{RECIPE}  device: {device}\n", Path("r.yaml")).recipe, 4000) for device in ("auto", "cpu")
    ]
    assert plans[0].digest("data") == plans[1].digest("data")
