"""`dpdrun plugins`."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.recipe import plugins


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["plugins", *words])
    return done.exit_code, done.output


@pytest.mark.usefixtures("plugin_registry")
def test_a_new_plugin_is_checked_and_listed(tmp_path: Path) -> None:
    code, output = run("new", "lab_net", "-o", str(tmp_path))
    assert code == 0
    assert f"dpdrun plugins check {tmp_path / 'lab_net.py'}" in output
    code, output = run("check", str(tmp_path / "lab_net.py"))
    assert (code, output.splitlines()[-1]) == (0, "13 checks passed")
    code, output = run("list", "--format", "json", "--plugin", str(tmp_path / "lab_net.py"))
    rows = {row["name"]: row for row in json.loads(output)["plugins"]}
    assert rows["gru"]["plugin"] == "dpdrun"
    assert (rows["lab_net"]["plugin"], rows["lab_net"]["version"]) == ("lab_net", "0.1")


@pytest.mark.usefixtures("plugin_registry")
def test_a_failed_check_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("LOSSES = {'bad': lambda p, t: p.mean()}\n")
    code, output = run("check", str(tmp_path / "bad.py"))
    assert code == 1
    assert "FAILED  order: it does not fall towards the target" in output
    assert "1 of 3 checks failed" in output
    code, output = run("check", "bad", "--format", "json")
    assert (code, json.loads(output)["passed"]) == (1, False)


@pytest.mark.usefixtures("plugin_registry")
def test_a_broken_package_is_listed_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("net", "no_such_module_of_a_plugin", "dpdrun.models")
    monkeypatch.setattr(
        plugins, "_installed", lambda: {group: {} for group in plugins.GROUPS} | {"models": {"net": point}}
    )
    code, output = run("list")
    assert code == 0
    assert "broken: " in output
    assert "No module named 'no_such_module_of_a_plugin'" in output


@pytest.mark.usefixtures("plugin_registry")
def test_a_plugin_that_exits_is_an_error(tmp_path: Path) -> None:
    run("new", "lab_net", "-o", str(tmp_path))
    path, recipe = tmp_path / "lab_net.py", tmp_path / "lab_net.yaml"
    path.write_text(
        path.read_text().replace("return int(", "if self.layers == 3: raise SystemExit(0)\n        return int(")
    )
    arguments = ["train", str(recipe), "--plugin", str(path), "--set", "model.layers=3", "--dry-run"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert "lab_net.py:26: SystemExit: 0 (plug-in lab_net 0.1" in done.output
