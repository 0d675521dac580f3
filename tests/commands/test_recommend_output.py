"""What `dpdrun recommend` writes, says of what it cannot say, and exits with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.recipe.conflicts import values_of
from dpdrun.recipe.loader import load_recipe

RECIPE = """\
# yaml-language-server: $schema=schema.json
# Reference recipe.
#   Result: test NMSE -39.45 dB

task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32}
optim: {lr: auto}
train:
  max_steps: 2000
  batch_size: 16  # fits in memory
  frame: auto  # let the rules
"""
FLAGS = ("--model", "transformer", "--d-model", "32", "--samples", "10000", "--epochs", "1")


def run(*arguments: str, width: str = "200") -> Result:
    return CliRunner(env={"COLUMNS": width}).invoke(app, ["recommend", *arguments])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


def written(recipe: Path, out: Path, *arguments: str) -> str:
    result = run(str(recipe), "-o", str(out), *arguments)
    assert result.exit_code == 0, result.output
    load_recipe(out)
    return out.read_text(encoding="utf-8")


def test_a_filled_recipe_has_reasons_and_a_head_that_does_not_claim_results(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = written(recipe, tmp_path / "other" / "new.yaml")
    lines = text.splitlines()
    assert lines[0].startswith("# Written by: dpdrun recommend")
    place = lines.index(f"# From the header of {recipe}; any result stated there is for the original file:")
    assert lines[place + 1 : place + 3] == ["#   Reference recipe.", "#   Result: test NMSE -39.45 dB"]
    assert "yaml-language-server" not in text, "its path is relative to the file"
    assert "# optim.lr: LR010: " in text, "braces have no room for a reason"
    assert "  burn_in: 65  # FR001: the receptive field" in text
    assert "  frame: 256  # FR002: " in text
    assert text.count("; was auto: let the rules") == 1
    assert "  batch_size: 16  # fits in memory" in text


def test_a_line_for_editors_stays_in_its_folder(recipe: Path, tmp_path: Path) -> None:
    assert written(recipe, tmp_path / "new.yaml").startswith("# yaml-language-server: $schema=schema.json\n# Written")


def test_overrides_are_shown_and_headers_do_not_pile_up(recipe: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    assert "  batch_size: 32  # was 16: fits in memory" in written(recipe, first, "--batch-size", "32")
    text = written(first, second, "--layers", "1")
    assert text.count("# Written by:") == 1
    assert text.count("# From the header of") == 1
    assert f"# From the header of {recipe}; " in text
    assert values_of(load_recipe(second).recipe)["train.batch_size"] == 32


def test_a_recipe_with_nothing_to_fill_is_written_as_it_is(recipe: Path, tmp_path: Path) -> None:
    full = tmp_path / "full.yaml"
    text = written(recipe, full)
    assert written(full, tmp_path / "again.yaml") == text


def test_the_printed_recipe_is_that_of_the_file(recipe: Path, tmp_path: Path) -> None:
    text, printed = written(recipe, tmp_path / "new.yaml"), run(str(recipe), "--format", "yaml").stdout
    assert "  # FR002: " in printed
    assert text.splitlines()[3:] == printed.splitlines()[2:], "but for the line of editors"


def test_rules_that_were_silent_are_in_every_format(tmp_path: Path) -> None:
    flags = ("--model", "transformer", "--d-model", "512", "--layers", "2", "--heads", "8", "--window", "32")
    flags = (*flags, "--data", "synthetic/mild")
    assert "LR010 for optim.lr: d_model is 512, they cover 8 to 256" in run(*flags).output
    assert "LR010 for optim.lr: d_model is 512" in run(*flags, "--format", "yaml").output
    skipped = json.loads(run(*flags, "--format", "json").stdout)["skipped"]
    assert {"code": "LR010", "field": "optim.lr"}.items() <= next(s for s in skipped if s["code"] == "LR010").items()
    assert all(set(each) == {"code", "field", "reason"} for each in skipped)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--layers", "2", "--heads", "4", "--window", "full"),
            "full attention was never timed; `dpdrun probe` measures it",
        ),
    ],
)
def test_a_missing_estimate_is_explained(arguments: tuple[str, ...], said: str) -> None:
    assert f"no estimate of time and memory: {said}" in run(*FLAGS, *arguments).output
    content = json.loads(run(*FLAGS, *arguments, "--format", "json").stdout)
    assert content["estimate"] is None
    assert content["no_estimate"].startswith(said.partition(";")[0])


def test_an_estimate_needs_no_excuse() -> None:
    result = run(*FLAGS, "--layers", "2", "--heads", "4", "--window", "32")
    assert "training takes about" in result.output
    assert "no estimate" not in result.output
    assert "assumed: " not in result.output


@pytest.mark.parametrize(
    ("arguments", "assumed"),
    [
        ((), "--layers 2 --heads 4 --window 32"),
        (("--layers", "3"), "--heads 4 --window 32"),
        (("--heads", "2", "--layers", "3"), "--window 32"),
    ],
)
def test_an_estimate_assumes_the_sizes_that_are_not_given(arguments: tuple[str, ...], assumed: str) -> None:
    output = " ".join(run(*FLAGS, *arguments).output.split())
    assert f"; assumed: {assumed})" in output
    assert "no estimate" not in output
    content = json.loads(run(*FLAGS, *arguments, "--format", "json").stdout)
    assert content["estimate"]["assumed"] == assumed
    whole = json.loads(run(*FLAGS, *arguments, *assumed.split(), "--format", "json").stdout)
    assert whole["estimate"]["assumed"] is None
    assert whole["estimate"]["memory_mib"] == content["estimate"]["memory_mib"]
    assert "train.frame" in content["left_open"], "what was assumed is not advised"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 0),
        (("--batch-size", "8000"), 0),  # a warning: the run is very short
        (("--batch-size", "8000", "--fail-on", "warning"), 1),
        (("--heads", "5"), 1),  # an error: they do not divide d_model
        (("--heads", "5", "--format", "json"), 1),
    ],
)
def test_exit_code_is_that_of_the_linter(arguments: tuple[str, ...], code: int) -> None:
    result = run(*FLAGS, *arguments)
    assert result.exit_code == code, result.output
    assert "lr" in result.stdout, "everything was printed"


def test_exit_code_of_a_recipe_is_that_of_the_linter(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("lr: auto", "warmup: 1900"), encoding="utf-8")
    lint = CliRunner().invoke(app, ["lint", "--fail-on", "warning", str(recipe)])
    assert lint.exit_code == run(str(recipe), "--fail-on", "warning").exit_code == 1
    lint = CliRunner().invoke(app, ["lint", str(recipe)])
    assert lint.exit_code == run(str(recipe)).exit_code


def test_help_says_what_the_exit_code_is() -> None:
    text = " ".join(run("--help").output.split())
    assert "--fail-on" in text
    assert "Exit 1 if a finding is at least this severe" in text
    assert "[default: error]" in text


def test_an_existing_file_is_refused_before_anything_is_measured(recipe: Path) -> None:
    result = run(str(recipe), "-o", str(recipe))
    assert result.exit_code == 2
    assert "already exists" in result.output
    assert result.stdout == ""
