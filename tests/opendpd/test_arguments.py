"""The flags of OpenDPD, against its own arguments.py where its wheel is at hand."""

from __future__ import annotations

import ast
import zipfile
from typing import Any

import pytest

from dpdrun.data.formats.opendpd_wheel import wheel_path
from dpdrun.errors import RecipeError
from dpdrun.opendpd.arguments import FORK, LATER, RELEASE, VERSIONS, parse


@pytest.mark.skipif(not wheel_path().exists(), reason="the wheel of OpenDPD has not been downloaded")
def test_the_release_as_its_own_parser_declares_it() -> None:
    with zipfile.ZipFile(wheel_path()) as wheel:
        tree = ast.parse(wheel.read("arguments.py"))
    declared: dict[str, Any] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            name = ast.literal_eval(call.args[0]).removeprefix("--")
            options = {word.arg: word.value for word in call.keywords}
            declared[name] = "switch" if "action" in options else ast.literal_eval(options["default"])
    assert len(declared) > 40
    assert dict(RELEASE.defaults) == declared


def test_given_values_and_defaults() -> None:
    found = parse(["--lr=1e-3", "--PA_backbone", "gru", "--warm", "7"], "here")
    assert found.version is FORK
    assert found.given == {"lr", "PA_backbone", "warmup_steps"}
    assert (found["lr"], found["warmup_steps"], found["batch_size"], found["dataset_name"]) == (
        *(1e-3, 7, 256),
        "APA_200MHz",
    )
    assert found.get("no_such", 5) == 5


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ([], RELEASE),
        (["--PA_backbone", "tres_gru"], RELEASE),
        (["--metric_profile", "legacy-opendpd-v1"], RELEASE),
        (["--weight_decay", "0"], FORK),
        (["--PA_backbone", "transformer_encoder"], FORK),
        (["--PA_backbone", "transformer"], LATER),
        (["--last_token_loss", "1"], LATER),
    ],
)
def test_which_version_is_meant(words: list[str], version: object) -> None:
    assert parse(words, "here").version is version


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--warmup", "5", "--hiden_size", "3"], "here: --hiden_size: OpenDPD has no such flag; did you mean"),
        (["--learning-rate", "1"], "here: --learning-rate: OpenDPD has no such flag"),
        (["--PA-hidden-size", "1"], "did you mean --PA_hidden_size?"),
        (["--lr", "fast"], "here: --lr: invalid float value: 'fast'"),
        (["--lr"], "here: --lr: expected one argument"),
        (["--n", "3"], "ambiguous option: --n could match"),
        (["--loss_type", "l3"], "invalid choice: 'l3'"),
        (["--PA_backbone", "grru"], "has no such backbone; did you mean gru?"),
        (["1e-4"], "here: 1e-4: these words follow no flag of OpenDPD"),
    ],
)
def test_what_it_does_not_know(words: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(words, "here")
    assert message in str(caught.value)


def test_all_problems_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        parse(["--one", "1", "--two", "--PA_backbone", "three"], "here")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_can_be_parsed(version: Any) -> None:
    words = [
        word
        for flag, value in version.defaults.items()
        if value not in ("switch", None, "")
        for word in (f"--{flag}", str(value))
    ]
    found = parse(words, "here")
    assert found.version is version
    assert {flag: found[flag] for flag in found.given} == {flag: version.defaults[flag] for flag in found.given}
