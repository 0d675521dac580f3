"""Plug-ins: what a file may define, how it is found, and what a user reads when it is broken or missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dpdrun.errors import RecipeError
from dpdrun.plugins.check import check_name
from dpdrun.recipe import plugins, reference
from dpdrun.recipe.describe import field_docs
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.plugins import PluginError
from dpdrun.recipe.schema import GRUModel
from dpdrun.rules.engine import all_rules

KIND = """
from typing import Literal

from pydantic import Field, field_validator, model_validator

from dpdrun.recipe.schema import Count, Section


class Config(Section):
    '''A kind of a test.'''

    kind: Literal["mine"] = Field(description="which model to train")
    taps: Count = Field(3, description="samples that an output depends on")
    d_model: int = Field(4, description="another thing than ours")
    heads: int = Field(3, description="does not divide d_model, which is nobody's business")

    @field_validator("heads")
    @classmethod
    def even_or_three(cls, value):
        assert value != 7, "seven heads do not fit"
        return value

    @property
    def context(self):
        return self.taps - 1 if self.taps < 8 else self.taps / 2

    @model_validator(mode="after")
    def few(self):
        if self.taps > 9:
            raise ValueError("more taps than the record has samples")
        return self


def Model(config):
    raise AssertionError("nobody builds it here")
"""
RULE = """
from dpdrun.rules.declare import check, warning

@check("ZZ108", about=("train.max_steps",), source="x", evidence="assumed", fires={"max_steps": 3},
       silent={"max_steps": 4})
def odd_run(total_steps: int):
    '''The run has an odd number of steps.

    ## Why
    A test.

    ## Known limits
    None.
    '''
    return warning("odd", value=total_steps) if total_steps % 2 else None
"""
RECIPE = "task: pa\ndata:\n  source: synthetic/mild\nmodel:\n  kind: mine\n  taps: 5\n"
NOTHING: dict[str, dict[str, EntryPoint]] = {group: {} for group in plugins.GROUPS}
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, plugin_registry: None) -> Write:
    def written(text: str) -> Path:
        path = tmp_path / "mine.py"
        path.write_text(text, encoding="utf-8")
        return path

    return written


def test_a_kind_of_a_file_is_a_section_like_ours(write: Write) -> None:
    with pytest.raises(RecipeError, match=r"r.yaml:5:9: unknown model.kind 'mine'.*--plugin FILE.py"):
        load_text(RECIPE, "r.yaml")
    [origin] = plugins.load_files([write(KIND)])
    assert (origin.name, len(origin.sha256)) == ("mine", 64)
    assert load_text(RECIPE).recipe.model.taps == 5  # type: ignore[union-attr]
    assert "samples that an output depends on" in reference.schema_text()
    assert [doc.description for doc in field_docs() if doc.key == "model.taps"] == ["samples that an output depends on"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("taps: 0", r"r.yaml:6:9: model.taps: expected a whole number of at least 1; got 0"),
        ("taps: 10", r"r.yaml:4:1: model: more taps than the record has samples"),
        ("heads: 7", r"r.yaml:6:3: model.heads: seven heads do not fit; got 7"),
        ("taps: 8", r"r.yaml:4:1: model: with these values its context is 4.0; it is a number of samples"),
        ("tap: 1", r"r.yaml:6:3: unknown key model.tap; did you mean 'taps'"),
    ],
)
def test_its_fields_are_checked_at_their_place(write: Write, line: str, message: str) -> None:
    plugins.load_files([write(KIND)])
    with pytest.raises(RecipeError, match=message):
        load_text(RECIPE.replace("taps: 5", line), "r.yaml")


def test_a_file_is_loaded_once(write: Write) -> None:
    path = write(KIND)
    assert plugins.load_files([path, path]) == plugins.load_files([path.parent / "." / path.name]) * 2
    assert plugins.loaded_files() == [path.resolve()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\ny = (\n", r"mine.py:2: SyntaxError: '\(' was never closed"),
        ("\n\nimport nothing_of_that_name\n", r"mine.py:3: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\n\nf()\n", r"mine.py:2: ZeroDivisionError"),
        ("x = 1\n", r"mine.py: not a plug-in: it defines neither Config and Model nor MODELS"),
        (KIND.replace("def Model", "def Modell"), r"mine.py: Model is missing"),
        (KIND.replace('"mine"', '"gru"'), r"mine.py: models: the name 'gru' is taken by dpdrun"),
        (KIND.replace('"mine"', '"My Net"'), r"mine.py: 'My Net' is no name of a plug-in"),
        ("class Config: pass\nclass Model: pass\n", r"mine.py: Config must be a class derived from"),
        (KIND.replace('Literal["mine"]', "str"), r"mine.py: Config needs a field with its name"),
        ("LOSSES = [1]\n", r"mine.py: LOSSES must be a dictionary"),
        ("LOSSES = {1: print}\n", r"mine.py: 1 is no name of a plug-in"),
        ("LOSSES = {'a': 1}\n", r"mine.py: losses: a has no __call__, so it is none"),
        ("FORMATS = {'a': print}\n", r"mine.py: formats: a has no matches, so it is none"),
        (
            "class F:\n    matches = read = print\nFORMATS = {'npz': F}\n",
            r"mine.py: formats: the name 'npz' is taken by dpdrun",
        ),
        ("class F:\n    matches = print\nFORMATS = {'a': F}\n", r"mine.py: formats: a has no read, so it is none"),
        (
            "class F:\n    def matches(self, head): ...\n    read = print\nFORMATS = {'a': F}\n",
            r"mine.py: formats: a: matches is called with \(path, head\): too many positional arguments",
        ),
        (
            "class F:\n    def __init__(self, path): ...\nFORMATS = {'a': F}\n",
            r"mine.py: formats: a: its class is called without arguments: .*'path'",
        ),
        ("FORMATS = {'a': 'os:path'}\n", r"mine.py: formats: a has no matches, so it is none"),
        ("LOSSES = {'a': lambda p: p}\n", r"mine.py: losses: a: __call__ is called with \(prediction, target\)"),
        (KIND.replace("Field(3, ", "Field('four', ", 1), r"mine.py: Config.taps: its default is .*got 'four'"),
        (KIND.replace("return self.taps - 1 if", "return 7.5 if"), r"mine.py: Config.context is 7.5; it is a"),
        ("def __getattr__(name):\n    raise RuntimeError('boom')\n", r"mine.py:2: RuntimeError: boom"),
        ("class E(Exception):\n    __str__ = None\nraise E\n", r"mine.py:3: E: E"),
        ("MODELS = 5\n", r"mine.py: MODELS must be a list of pairs"),
        ("MODELS = [(1, 2, 3)]\n", r"mine.py: MODELS must be a list of pairs"),
        ("x = 1\nraise SystemExit(0)\n", r"mine.py:2: SystemExit: 0"),
        ("class Mine(BaseException): pass\nraise Mine('m')\n", r"mine.py:2: Mine: m"),
    ],
)
def test_a_broken_file_is_one_message_with_its_line(write: Write, text: str, message: str) -> None:
    with pytest.raises(PluginError, match=message) as raised:
        plugins.load_files([write(text)])
    assert raised.value.exit_code == 2


def test_a_missing_file_is_named(plugin_registry: None) -> None:
    with pytest.raises(PluginError, match=r"--plugin nowhere.py: cannot be read: No such file"):
        plugins.load_files([Path("nowhere.py")])


def test_a_recipe_cannot_name_code(write: Write) -> None:
    marker = write("import pathlib; pathlib.Path(__file__).with_suffix('.ran').touch()\n")
    for kind in (str(marker), "mine.py", "os.system", "mine:Config"):
        with pytest.raises(RecipeError, match=r"unknown model.kind"):
            load_text(RECIPE.replace("kind: mine", f"kind: {kind}"))
    assert not marker.with_suffix(".ran").exists()


def test_an_installed_package_is_found_by_its_entry_point(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(KIND).rename(tmp_path / "an_installed_kind.py")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("mine", "an_installed_kind", "dpdrun.models")
    monkeypatch.setattr(
        plugins, "_installed", lambda: {group: {} for group in plugins.GROUPS} | {"models": {"mine": point}}
    )
    assert "an_installed_kind" not in sys.modules
    assert load_text(RECIPE).recipe.model.kind == "mine"
    entry = plugins.find("models", "mine")
    assert entry is not None
    assert entry.origin is not None
    assert (entry.origin.installed, entry.origin.name) == (True, "an_installed_kind")


def test_rules_of_a_package_are_evaluated_with_ours(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(RULE).rename(tmp_path / "rules_of_a_package.py")
    write("x = 1\n").rename(tmp_path / "no_rules_of_a_package.py")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("lab", "rules_of_a_package", "dpdrun.rules")
    monkeypatch.setattr(plugins, "_installed", lambda: NOTHING | {"rules": {"lab": point}})
    assert all_rules()["ZZ108"].location == "rules_of_a_package:4"
    assert [str(check) for check in check_name("lab") if not check.passed] == []
    empty = EntryPoint("none", "no_rules_of_a_package", "dpdrun.rules")
    monkeypatch.setattr(plugins, "_installed", lambda: NOTHING | {"rules": {"none": empty}})
    with pytest.raises(PluginError, match=r"dpdrun.rules: none = no_rules_of_a_package: it declares no rules"):
        all_rules()


@pytest.mark.parametrize("line", ["optim: {name: sgd}", "train: {loss: huber}"])
def test_an_unknown_name_says_how_to_bring_it(line: str) -> None:
    recipe = f"task: pa\ndata: {{source: synthetic/mild}}\nmodel: {{kind: gru, hidden: 8}}\n{line}\n"
    with pytest.raises(RecipeError, match=r"got '(sgd|huber)'; a name of a plug-in needs --plugin FILE.py"):
        load_text(recipe)


def test_a_broken_package_is_one_message_with_its_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write("x = 1\nraise RuntimeError('of the package')\n").rename(tmp_path / "a_broken_package.py")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("mine", "a_broken_package", "dpdrun.models")
    monkeypatch.setattr(
        plugins, "_installed", lambda: {group: {} for group in plugins.GROUPS} | {"models": {"mine": point}}
    )
    with pytest.raises(PluginError, match=r"a_broken_package.py:2: RuntimeError: of the package .*entry point"):
        load_text(RECIPE)


def test_ours_are_in_the_same_registry_and_need_no_torch() -> None:
    code = (
        "import sys; from dpdrun.recipe import plugins;"
        "print(*(e.name for g in plugins.GROUPS for e in plugins.entries(g))); sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["transformer", "gru", "gmp", "time", "adamw", *plugins.OUR_FORMATS]
    gru = plugins.find("models", "gru")
    assert gru is not None
    assert gru.value.section is GRUModel
    assert gru.value.model_class().__module__ == "dpdrun.models.gru"
