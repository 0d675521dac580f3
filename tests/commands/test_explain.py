"""`dpdrun explain`: rules and fields."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.rules.catalogue import HEADINGS, all_rules


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["explain", *arguments])


@pytest.mark.parametrize("name", ["WU101", "wu101", "warmup_over_a_tenth"])
def test_rule(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    assert result.output.startswith("WU101 warmup_over_a_tenth")
    assert all(heading in result.output for heading in HEADINGS)
    assert "dpdrun.rules.warmup:" in result.output


@pytest.mark.parametrize("code", list(all_rules()))
def test_every_rule_can_be_explained(code: str) -> None:
    assert run(code).exit_code == 0
    assert json.loads(run(code, "--format", "json").output)["code"] == code


@pytest.mark.parametrize("name", ["optim.lr", "lr"])
def test_field(name: str) -> None:
    output = run(name).output
    assert output.startswith("optim.lr")
    assert "LR001" in output
    assert "peak learning rate" in output


def test_field_without_rules() -> None:
    assert "no rule sets it" in run("train.seed").output


def test_field_json() -> None:
    content = json.loads(run("optim.clip_norm", "--format", "json").output)
    assert [rule["code"] for rule in content["rules"]] == ["CL001", "CL002", "CL010", "CL011"]
    assert content["default"] == "auto"


@pytest.mark.parametrize(
    ("name", "message"),
    [("WU111", "did you mean WU101"), ("optim.lrr", "did you mean optim.lr"), ("nonsense", "no rule has the code")],
)
def test_unknown(name: str, message: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert message in result.output
