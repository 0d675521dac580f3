"""The recipes of the package, found by name from any folder."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.errors import RecipeError
from dpdrun.pipeline.document import is_pipeline, load_pipeline
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.shipped import FOLDER, by_name, find, shipped

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, as after `pip install`."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_recipe_has_a_description_for_the_list() -> None:
    assert {each.name for each in shipped()} == {path.stem for path in FOLDER.glob("*.yaml")}
    for each in shipped():
        assert len(each.about) > 40
        assert "Result:" not in each.about
        assert "recipes/" not in each.about  # there is no such folder where the package is installed


def test_a_bare_name_is_a_recipe_of_the_package_unless_there_is_such_a_file(elsewhere: Path) -> None:
    assert load_recipe("quickstart").path == FOLDER / "quickstart.yaml" == load_recipe("quickstart.yaml").path
    (elsewhere / "quickstart.yaml").write_text("task: pa\ndata: {source: a.csv}\nmodel: {kind: gru, hidden: 8}\n")
    assert load_recipe("quickstart.yaml").recipe.data.source == "a.csv"
    assert find("sub/quickstart.yaml") == Path("sub/quickstart.yaml")


def test_a_pipeline_is_found_by_name_and_a_copy_finds_its_recipes(elsewhere: Path) -> None:
    assert is_pipeline(Path("pipeline"))
    (elsewhere / "mine.yaml").write_text(by_name("pipeline").copied())
    assert [step.name for step in load_pipeline(elsewhere / "mine.yaml").steps] == ["pa", "judge", "dpd_gmp", "dpd"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recipes/quickstart.yaml", "no such file; `dpdrun recipe copy quickstart` copies"),
        ("quikstart", "did you mean 'quickstart'"),
        ("mine.yaml", "create one with `dpdrun recipe new -o mine.yaml`"),
    ],
)
def test_a_missing_file_names_what_there_is(name: str, message: str) -> None:
    with pytest.raises(RecipeError, match="no such file") as caught:
        load_recipe(name)
    assert message in str(caught.value)


def test_list_and_copy(elsewhere: Path) -> None:
    listed = CliRunner().invoke(app, ["recipe", "list", "--format", "json"])
    assert {each["name"] for each in json.loads(listed.stdout)["recipes"]} == {each.name for each in shipped()}
    copied = CliRunner().invoke(app, ["recipe", "copy", "quickstart"])
    assert copied.exit_code == 0, copied.output
    text = (elsewhere / "quickstart.yaml").read_text()
    assert text.startswith("# The main job on embedded data")  # the schema named in the original is not here
    assert load_recipe("quickstart.yaml").recipe == load_recipe(FOLDER / "quickstart.yaml").recipe
    again = CliRunner().invoke(app, ["recipe", "copy", "quickstart"])
    assert again.exit_code == 2
    assert "already exists; --force overwrites it" in again.stderr
    unknown = CliRunner().invoke(app, ["recipe", "copy", "quikstart"])
    assert unknown.exit_code == 2
    assert "did you mean 'quickstart'?" in unknown.stderr


def test_a_recipe_of_the_package_is_not_written_to() -> None:
    result = CliRunner().invoke(app, ["lint", "quickstart", "--fix", "--unsafe-fixes"])
    assert result.exit_code == 2
    assert "dpdrun recipe copy quickstart" in result.stderr


def test_the_wheel_has_the_recipes_where_they_are_looked_for() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["recipes"] == "dpdrun/recipes"
