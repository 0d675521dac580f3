"""Recipes from files: golden errors, overrides, provenance, and files that are no recipes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dpdrun.errors import RecipeError
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.loader import MAX_BYTES, load_recipe, load_text
from dpdrun.recipe.yaml12 import MAX_NODES

HERE = Path(__file__).parent
GOOD = """\
# a comment
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32}
optim:
  lr: 1e-3   # peak
  warmup: 7.5%
train: {frame: 256, epochs: auto}
"""


def test_golden_every_problem_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)
    with pytest.raises(RecipeError) as caught:
        load_recipe("bad.yaml", ["optim.beta3=0.9", "optim.eps=tiny", "lr=1", "train.seed"])
    assert caught.value.exit_code == 2
    assert str(caught.value) + "\n" == (HERE / "bad.txt").read_text(encoding="utf-8")


def test_values_defaults_and_provenance() -> None:
    loaded = load_text(GOOD, "r.yaml")
    recipe = loaded.recipe
    assert recipe.optim.lr == 1e-3
    assert isinstance(recipe.optim.warmup, Percent)
    assert float(recipe.optim.warmup) == pytest.approx(0.075)
    assert recipe.optim.weight_decay == "auto"
    assert recipe.model.kind == "transformer"
    assert {"task", "optim", "optim.lr", "train.epochs", "model.heads"} <= loaded.given
    assert not {"optim.weight_decay", "train.seed", "rules"} & loaded.given
    assert loaded.text == GOOD
    assert loaded.effective_text == GOOD


def test_line_of_is_the_key_or_the_section_around_it() -> None:
    loaded = load_text(GOOD, "r.yaml", ["optim.eps=1e-8", "train.seed=3"])
    assert loaded.line_of("optim.lr") == (6, 3)
    assert loaded.line_of("model.heads") == (4, 52)
    assert loaded.line_of("optim.beta1") == (5, 1)
    assert loaded.line_of("optim.eps") == (5, 1)
    assert loaded.line_of("rules") == (1, 1)
    assert str(loaded.mark_of("optim.eps")) == "--set optim.eps=1e-8"
    assert str(loaded.error([("optim.lr", "too high")])) == (
        "r.yaml:6:3: too high\n    6 |   lr: 1e-3   # peak\n      |   ^~"
    )


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optim.lr=1e-4", "optim.lr", 1e-4),
        ("optim.lr = 5", "optim.lr", 5.0),
        ("optim.warmup=150", "optim.warmup", 150),
        ("optim.warmup=off", "optim.warmup", "off"),
        ("data.source=C:/x: y#1, z", "data.source", "C:/x: y#1, z"),
        ("data.source='800e6'", "data.source", "800e6"),
        ("data.split.guard=7", "data.split.guard", 7),
        ("data.split={train: 50%, val: 30%, test: 20%}", "data.split.val", 0.3),
        ("optim.plateau.patience=9", "optim.plateau.patience", 9),
        ("model={kind: gru, hidden: 0x10}", "model.hidden", 16),
    ],
)
def test_overrides(override: str, key: str, value: object) -> None:
    loaded = load_text(GOOD, "r.yaml", ["optim.lr=9", override])
    found: object = loaded.recipe
    for part in key.split("."):
        found = getattr(found, part)
    assert found == (pytest.approx(value) if isinstance(value, float) else value)
    assert key in loaded.given
    again = load_text(loaded.effective_text, "again.yaml")
    assert again.recipe == loaded.recipe
    assert "# a comment" in loaded.effective_text


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lr=fast", "--set optim.lr=fast: optim.lr: expected a number greater than 0, or auto; got 'fast'"),
        ("optim.warm_up=5%", "--set optim.warm_up=5%: unknown key optim.warm_up; did you mean 'warmup'?"),
        ("lr=1", "--set lr=1: unknown key lr; did you mean optim.lr?"),
        ("optm.lr=1", "--set optm.lr=1: unknown key optm; did you mean 'optim'?"),
        ("optim.lr", "--set optim.lr: write key=value, for example --set optim.lr=1e-3"),
        ("=1", "--set =1: write key=value, for example --set optim.lr=1e-3"),
        ("optim..lr=1", "--set optim..lr=1: write key=value, for example --set optim.lr=1e-3"),
        ("optim.lr.x=1", "--set optim.lr.x=1: optim.lr is a value, not a section"),
        ("train.seed.x=1", "--set train.seed.x=1: train.seed is a value, not a section"),
        ("optim=3", "--set optim=3: optim is a section, not 3; write its keys under it (lr, "),
        ("optim={lr: 1", "--set optim={lr: 1: not valid YAML: "),
        ("optim.lr=", "--set optim.lr=: optim.lr: expected a number greater than 0, or auto; got nothing (null)"),
        ("model.heads=5", "--set model.heads=5: model.heads 5 does not divide model.d_model 32; try d_model 30 or 35"),
        ("data.split.train=70%", "--set data.split.train=70%: data.split adds up to 110% (70% + 20% + 20%)"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_text(GOOD, "r.yaml", [override])
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_are_no_recipes(tmp_path: Path) -> None:
    cases: dict[str, tuple[bytes, str]] = {
        "empty.yaml": (b"", "the recipe is empty"),
        "comment.yaml": (b"# nothing\n", "the recipe is empty"),
        "list.yaml": (b"- 1\n", "a recipe is a mapping"),
        "word.yaml": (b"hello", "a recipe is a mapping"),
        "latin1.yaml": (b"task: pa\nname: f\xfcr\n", "latin1.yaml:2: not UTF-8 text (byte 0xfc)"),
        "utf16.yaml": ("task: pa".encode("utf-16"), "not UTF-8"),
        "range.yaml": (
            b'task: "\\U00110000"',
            "range.yaml:1:10: not valid YAML: an escape sequence or a version number",
        ),
        "many.yaml": (b"task: [" + b"1," * MAX_NODES + b"]", f"more than {MAX_NODES} keys and values"),
        "control.yaml": (b'data: {source: "a\\e[31mb"}', "got 'a\\x1b[31mb'; write it without control characters"),
        "keys.yaml": (b"".join(b"k%d: 1\n" % n for n in range(2000)), "and 1953 more problems"),
        "huge.yaml": (b"#" * (MAX_BYTES + 1), "larger than 256 KiB, so not a recipe"),
        "binary.yaml": (b"\x00\x01\x02", "U+0000"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(RecipeError) as caught:
            load_recipe(path)
        assert message in str(caught.value), name
        assert str(path) in str(caught.value), name
    for path, message in ((tmp_path, "this is a folder"), (tmp_path / "x", "no such file"), ("a\0b", "cannot be read")):
        with pytest.raises(RecipeError, match=message):
            load_recipe(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(GOOD)
    path.chmod(0)
    with pytest.raises(RecipeError, match="Permission denied"):
        load_recipe(path)


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    loaded = load_recipe(path)
    assert loaded.recipe == load_text(GOOD).recipe
    assert loaded.text.startswith("# a comment\r\n")
    assert loaded.line_of("optim.lr") == (6, 3)


NAMES = ["task", "pa", "data", "source", "model", "kind", "gmp", "gru", "hidden", "optim", "lr", "train", "auto", "off"]
VALUES = ["1e-3", "null", "true", "5%", "-1", "0x", ".inf", "9" * 5000, "\u2028", "\x85", "\ud7ff"]
SYNTAX = [":", ": ", "- ", "{", "}", "[", "]", ", ", "\n", "\n  ", "\t", "#", "'", '"', "|", "? ", "%", "---", "..."]
WORDS = st.sampled_from([*NAMES, *VALUES, *SYNTAX, "&a", "*a", "!!x", "<<"])


@given(st.one_of(st.text(), st.lists(WORDS, max_size=40).map("".join)))
@example("[" * 5000)
@example("a: &a [*a]")
@example("\x00")
@example("? {a: 1}\n: 2")
@example("model: {kind: {a: 1}}")
def test_any_text_loads_or_raises_a_recipe_error(text: str) -> None:
    with contextlib.suppress(RecipeError):
        load_text(text)


@given(st.one_of(st.text(), st.lists(WORDS, max_size=12).map("".join)))
@example("optim.lr=" + "9" * 5000)
@example("task={")
@example("data.source='\x00'")
@example("model.kind={a: 1}")
@example("task.x.y=1")
def test_any_override_loads_or_raises_a_recipe_error(override: str) -> None:
    with contextlib.suppress(RecipeError):
        load_text(GOOD, "r.yaml", [override])


@given(st.binary())
def test_any_file_loads_or_raises_a_recipe_error(content: bytes) -> None:
    path = HERE / "bad.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", lambda *_, **__: contextlib.closing(_Bytes(content)))
        with contextlib.suppress(RecipeError):
            load_recipe(path)


class _Bytes:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, size: int) -> bytes:
        return self.content[:size]

    def close(self) -> None:
        pass


@pytest.mark.parametrize("task", ["[]", "{}", "[[1]]", "{a: {b: 1}}", "null"])
def test_a_task_is_a_word(task: str) -> None:
    with pytest.raises(RecipeError, match=r"recipe\.yaml:1:7: task: expected one of pa or dpd"):
        load_text(f"task: {task}\n")


def test_a_pipeline_is_no_recipe() -> None:
    with pytest.raises(RecipeError, match=r"chain\.yaml:1:7: this is a pipeline, not a recipe; `dpdrun train` runs it"):
        load_text("task: pipeline\nsteps: {}\n", "chain.yaml")


@pytest.mark.parametrize("head", ["task: sweep", "recipe: r.yaml\nover: {}"])
def test_a_sweep_is_no_recipe(head: str) -> None:
    with pytest.raises(RecipeError, match=r"this is a sweep, not a recipe; `dpdrun sweep` runs it"):
        load_text(f"{head}\n", "sweep.yaml")
