"""`dpdrun recipe` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dpdrun.plugins
from dpdrun.commands import app
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.reference import KINDS, schema_text

BAD = Path(__file__).parents[1] / "recipe" / "bad.yaml"
GRU = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\noptim: {lr: 1e-3}\n"


@pytest.fixture
def gru(tmp_path: Path) -> Path:
    path = tmp_path / "gru.yaml"
    path.write_text(GRU)
    return path


def test_check_says_ok_in_one_line(gru: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "check", str(gru)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{gru}: ok: gru (hidden 8) on synthetic/mild; ")
    assert result.stdout.endswith(" values set by rules\n")
    assert result.stdout.count("\n") == 1


def test_check_counts_what_is_left_to_the_rules(gru: Path) -> None:
    def autos(*arguments: str) -> int:
        result = CliRunner().invoke(app, ["recipe", "check", str(gru), *arguments])
        return int(result.stdout.partition("; ")[2].split()[0])

    assert autos("--set", "optim.lr=auto") == autos() + 1 == autos("--set", "optim.eps=1e-8") + 2


def test_check_reports_all_problems_of_all_files_and_exits_2(gru: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = CliRunner().invoke(app, ["recipe", "check", str(BAD), str(gru), str(missing)])
    assert result.exit_code == 2
    assert f"{gru}: ok" in result.stdout
    assert "error:" in result.stderr
    assert f"{BAD}:7:3: unknown key optim.warm_up; did you mean 'warmup'?" in result.stderr
    assert f"{BAD}:6:7: optim.lr" in result.stderr
    assert f"{missing}: no such file" in result.stderr
    assert "\x1b[" not in result.stderr


def test_check_takes_overrides(gru: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "check", str(gru), "--set", "optim.lr=fast", "--set", "model.hidden=0"])
    assert result.exit_code == 2
    assert "--set optim.lr=fast: optim.lr: expected" in result.stderr
    assert "--set model.hidden=0: model.hidden: expected a whole number of at least 1; got 0" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_new_prints_a_recipe_that_checks(kind: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "new", "--kind", kind])
    assert result.exit_code == 0, result.output
    path = tmp_path / "new.yaml"
    path.write_text(result.stdout)
    assert load_recipe(path).recipe.model.kind == kind
    assert CliRunner().invoke(app, ["recipe", "check", str(path)]).exit_code == 0


def test_new_takes_flags_and_overrides_and_does_not_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    arguments = ["recipe", "new", "-o", str(path), "--d-model", "24", "--heads", "3", "--window", "16"]
    arguments += ["--source", "my data.csv", "--set", "optim.warmup=5%"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    recipe = load_recipe(path).recipe
    assert recipe.model.kind == "transformer"
    assert (recipe.model.d_model, recipe.model.heads, recipe.model.window) == (24, 3, 16)
    assert recipe.data.source == "my data.csv"
    assert str(recipe.optim.warmup) == "5%"

    path.write_text("mine")
    result = CliRunner().invoke(app, ["recipe", "new", "-o", str(path)])
    assert result.exit_code == 2
    assert "already exists; --force overwrites it" in result.stderr
    assert path.read_text() == "mine"
    assert CliRunner().invoke(app, ["recipe", "new", "-o", str(path), "--force"]).exit_code == 0
    capture = tmp_path / "capture.csv"
    capture.write_text("1,2,3,4\n")
    result = CliRunner().invoke(app, ["recipe", "new", "-o", str(capture), "--force"])
    assert result.exit_code == 2
    assert "--force overwrites .yaml and .yml files only" in result.stderr
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--d-model", "31"], "model.heads 2 does not divide model.d_model 31"),
        (["--kind", "gru", "--d-model", "8"], "model.kind gru has no d_model"),
        (["-o", "no/such/folder/r.yaml"], "there is no folder no/such/folder"),
    ],
)
def test_new_refuses_what_cannot_be(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["recipe", "new", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_new_is_coloured_on_a_terminal_and_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CliRunner().invoke(app, ["recipe", "new"]).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = CliRunner().invoke(app, ["recipe", "new"]).stdout
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


def test_schema(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "schema"])
    assert result.exit_code == 0
    assert result.stdout == schema_text()
    path = tmp_path / "schema.json"
    assert CliRunner().invoke(app, ["recipe", "schema", "-o", str(path)]).exit_code == 0
    assert json.loads(path.read_text())["title"] == "dpdrun recipe"


@pytest.mark.usefixtures("plugin_registry")
def test_new_writes_a_recipe_for_a_kind_of_a_plug_in(tmp_path: Path) -> None:
    plugin, path = tmp_path / "my_net.py", tmp_path / "new.yaml"
    template = Path(dpdrun.plugins.__file__).with_name("template_state.py").read_text(encoding="utf-8")
    plugin.write_text(
        template.replace("hidden", "units").replace("Count = Field(8, ", "Count = Field("), encoding="utf-8"
    )
    arguments = ["recipe", "new", "--kind", "my_net", "-o", str(path)]
    without = CliRunner().invoke(app, arguments)
    assert without.exit_code == 2
    assert "unknown model.kind 'my_net'; one of transformer, gru or gmp; a kind of a plug-in needs" in without.stderr

    unset = CliRunner().invoke(app, [*arguments, "--plugin", str(plugin)])
    assert unset.exit_code == 2
    assert "missing model.units (units of the LSTM); write a whole number" in unset.stderr

    written = CliRunner().invoke(app, [*arguments, "--plugin", str(plugin), "--set", "model.units=12"])
    assert f"dpdrun train {path} --plugin {plugin}" in written.stdout
    loaded = load_recipe(path)
    assert loaded.recipe.model.units == 12  # type: ignore[union-attr]
    assert loaded.recipe.optim.lr == 1e-3  # `auto` would be refused: no rule sets it
    assert "no rule covers a plug-in: 0.001 is a start" in " ".join(path.read_text().replace("#", " ").split())
