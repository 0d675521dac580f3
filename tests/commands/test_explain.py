"""`dpdrun explain`: rules and fields."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.rules.engine import HEADINGS, all_rules

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["explain", *arguments])


@pytest.mark.parametrize("name", ["WU101", "wu101", "warmup_over_a_tenth"])
def test_rule(name: str) -> None:
    result = run(name)
    assert result.exit_code == 0
    assert result.output.startswith("WU101 warmup_over_a_tenth")
    assert all(heading in result.output for heading in HEADINGS)
    assert "dpdrun.rules.plan.warmup:" in result.output


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


def test_field_says_which_rules_check_it() -> None:
    output = run("model.dropout").output
    assert "no rule sets it" in output
    assert "RG103" in output.partition("checked by")[2]
    assert "checked by" not in run("train.seed").output


def test_field_json() -> None:
    content = json.loads(run("optim.clip_norm", "--format", "json").output)
    codes = {"derive": ["CL001", "CL002", "CL010", "CL011", "PK004"], "check": ["CL101", "CL102", "CL103"]}
    for purpose, wanted in codes.items():
        assert [rule["code"] for rule in content["rules"] if rule["purpose"] == purpose] == wanted
    assert content["schema_version"] == 1
    assert content["default"] == "auto"
    assert content["set_by"] == {"measured": codes["derive"], "note": ["CL001", "CL002", "PK004"]}
    assert content["checked_by"] == codes["check"]


def test_field_of_several_kinds_json() -> None:
    content = json.loads(run("model.layers", "--format", "json").output)
    assert [(each["kind"], each["required"]) for each in content["kinds"]] == [("transformer", True), ("gru", False)]


def test_rule_json() -> None:
    content = json.loads(run("WU101", "--format", "json").output)
    assert content["schema_version"] == 1
    assert content["example"]["patch"] == {"optim.warmup": "7.5%"}
    assert content["box"]["total_steps"] == [20, "inf"]
    assert set(content["sections"]) == {"What it does", *HEADINGS}, "the first is the summary"
    assert (content["fix"], content["evidence"], content["results"]) == ("unsafe", "cited", None)


@pytest.mark.parametrize("arguments", [(), ("--all",)])
def test_without_a_name_all_rules_are_listed(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    rules = all_rules()
    assert rules
    for rule in rules.values():
        assert any(line.startswith(rule.code) and rule.summary in line for line in lines), rule.code
    content = json.loads(run(*arguments, "--format", "json").output)
    assert [rule["code"] for rule in content["rules"]] == list(rules)
    assert content["schema_version"] == 1


def test_one_or_all() -> None:
    result = run("LR001", "--all")
    assert result.exit_code == 2
    assert "give LR001 or --all, not both" in result.output


@pytest.mark.parametrize(
    ("name", "message"),
    [("WU111", "did you mean WU101"), ("optim.lrr", "did you mean optim.lr"), ("nonsense", "no rule has the code")],
)
def test_unknown(name: str, message: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert message in result.output


def test_a_page_that_a_message_names() -> None:
    assert run("docs/data.md").output.startswith("# ")
    section = run("docs/results.md#case-study").output
    assert section.startswith("## Case study")
    assert section.count("\n## ") == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("docs/dta.md", "there is no page docs/dta.md; there are: "),
        ("docs/results.md#nothing", "docs/results.md has no section #nothing; it has: #recipes"),
        ("docs/../README.md", "there is no page docs/../README.md"),
    ],
)
def test_a_page_that_there_is_not(name: str, message: str) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_wheel_has_the_pages_that_messages_name() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "dpdrun").rglob("*.py"))
    named = {name for text in sources for name in re.findall(r"docs/[A-Za-z-]+\.md", text)} - {"docs/ARCHITECTURE.md"}
    assert {name: f"dpdrun/{name}" for name in named} == {
        name: place for name, place in wheel["force-include"].items() if name != "recipes"
    }
