"""Edits that keep everything else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.errors import RecipeError
from dpdrun.recipe import yaml12
from dpdrun.recipe.fields import Percent
from dpdrun.recipe.loader import load_text
from dpdrun.recipe.patch import apply_patch, diff, render
from dpdrun.recipe.reference import KINDS, template
from dpdrun.recipe.schema import SplitSection

TEXT = """\
# head
task: pa   # t
data: {source: "synthetic/mild"} # d

# model below
model:
  kind: transformer
  d_model: 32   # width

  heads: '4'
optim:   # nothing yet
# tail
"""

PATCHED = """\
# head
task: pa   # t
data: {source: "a: b, c", bandwidth_hz: 2e8, split: {train: 70%}} # d

# model below
model:
  kind: transformer
  d_model: 64   # width

  heads: '4'
  window: full
optim:   # nothing yet
  lr: 1e-3
  warmup: 7.5%
  plateau:
    factor: 0.5
train:
  epochs: 3
# tail
"""


def plain(text: str) -> Any:
    root, problems = yaml12.parse(text, "r.yaml")
    assert root is not None
    assert not problems
    return root.plain()


def test_golden() -> None:
    patch = {
        "optim.lr": 1e-3,
        "data.source": "a: b, c",
        "data.bandwidth_hz": 200e6,
        "data.split.train": Percent("70%"),
        "model.d_model": 64,
        "model.window": "full",
        "optim.warmup": Percent("7.5%"),
        "optim.plateau.factor": 0.5,
        "train.epochs": 3.0,
    }
    assert apply_patch(TEXT, patch) == PATCHED
    assert apply_patch(PATCHED, patch) == PATCHED
    assert apply_patch(TEXT, {}) == TEXT


@pytest.mark.parametrize(
    ("text", "key", "value", "expected"),
    [
        ("", "a.b", 1, "a:\n  b: 1\n"),
        ("# c", "a", 1, "# c\na: 1\n"),
        ("a: 1", "b", 2, "a: 1\nb: 2"),
        ("a: 1\r\n# c\r\n", "b", 2, "a: 1\r\nb: 2\r\n# c\r\n"),
        ("a:\n    b: 1 # x\n\nc: 2\n", "a.d", 3, "a:\n    b: 1 # x\n    d: 3\n\nc: 2\n"),
        ("a: {}\n", "a.b", 1, "a: {b: 1}\n"),
        ("a: {b: 1,}\n", "a.c", 2, "a: {b: 1, c: 2,}\n"),
        ("a: {\n  b: 1  # x\n}\n", "a.c", 2, "a: {\n  b: 1, c: 2  # x\n}\n"),
        ("a: {b, c: 1}\n", "a.b", 2, "a: {b: 2, c: 1}\n"),
        ("{a: 1}", "b.c", 2, "{a: 1, b: {c: 2}}"),
        ("a:   # x\nb: 1\n", "a", 2, "a: 2   # x\nb: 1\n"),
        ("a: auto\n", "a.b", 1, "a: {b: 1}\n"),
        ("a:\n  b: 1\nc: 2\n", "a", "auto", "a: auto\nc: 2\n"),
        ("a: |\n  long\n  text\n# x\nb: 1\n", "a", "s", "a: s\n# x\nb: 1\n"),
        ("a: 'it''s'  # x\n", "a", 'a "b" \\', 'a: "a \\"b\\" \\\\"  # x\n'),
        ("---\na: 1\n...\n", "b", 2, "---\na: 1\nb: 2\n...\n"),
        ("a:\n- 1\n- 2\nb: 1\n", "a", [3], "a: [3]\nb: 1\n"),
        ("a: on\n", "a", "off", "a: off\n"),
    ],
)
def test_one_edit(text: str, key: str, value: Any, expected: str) -> None:
    assert apply_patch(text, {key: value}) == expected


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "a: *x", "- 1", "word", "a: 1\n---\nb: 1"])
def test_what_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(RecipeError):
        apply_patch(text, {"a": 2})


def test_an_edit_that_would_change_something_else_is_refused() -> None:
    with pytest.raises(RecipeError, match="cannot write b: 1 into this recipe; change it by hand"):
        apply_patch("a: |+\n  its blank lines count\n\n\n", {"b": 1})


SCALARS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.sampled_from(
        ["on", "off", "auto", "null", "1e-3", "12:30", "a: b", "# x", "- a", "{", "7.5%", "", " x", "~", "?"]
    ),
)


@given(SCALARS)
def test_every_value_reads_back_the_same(value: Any) -> None:
    for text in (f"a: {render(value)}\n", f"{{a: {render(value)}, b: 1}}\n"):
        assert plain(text)["a"] == value
        if isinstance(value, str):
            assert isinstance(plain(text)["a"], str)


def test_floats_are_written_as_people_write_them() -> None:
    shown = [render(v) for v in (1e-3, 0.01, 0.5, 3.0, 2e8, 983.04e6, 5e-4, 1.5e-7, 123456.789, 3e-6)]
    assert shown == ["1e-3", "0.01", "0.5", "3", "2e8", "9.8304e8", "5e-4", "1.5e-7", "123456.789", "3e-6"]
    assert render(SplitSection.model_validate({"train": "70%", "guard": 3})) == "{train: 70%, guard: 3}"
    with pytest.raises(TypeError, match="complex"):
        render(1j)


NAMES = st.sampled_from(["lr", "warmup", "eps", "frame", "x y", "on", "1"])
KEYS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)
COMMENTS = st.sampled_from(["", "  # note", " # a: b", "   "])


@st.composite
def recipes(draw: st.DrawFn) -> str:
    """Mappings in every style, with comments and blank lines between and behind the values."""

    def mapping(indent: str, depth: int) -> list[str]:
        lines: list[str] = []
        for name in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
            lines.extend(draw(st.lists(st.sampled_from(["", f"{indent}# own line", "# at the margin"]), max_size=2)))
            style = draw(st.integers(0, 3 if depth < 2 else 1))
            comment = draw(COMMENTS)
            if style == 3:
                lines.append(f"{indent}{name}:{comment}")
                lines.extend(mapping(indent + "  ", depth + 1))
            elif style == 2:
                inner = draw(
                    st.sampled_from(
                        ["{}", "{lr}", "{lr: }", "{lr: 1}", "{lr: 'a', eps: {x: 2}}", "[1, 2]", '"q: # x"', ""]
                    )
                )
                lines.append(f"{indent}{name}: {inner}{comment}")
            else:
                lines.append(f"{indent}{name}: {draw(st.sampled_from(['1e-3', 'auto', '7.5%', 'a b', '~']))}{comment}")
        return lines

    return "\n".join(mapping("", 0)) + draw(st.sampled_from(["", "\n", "\n\n# tail\n"]))


@given(recipes(), st.dictionaries(KEYS, SCALARS, min_size=1, max_size=3))
def test_patched_text_loads_to_the_values_and_keeps_every_other_line(text: str, values: dict[str, Any]) -> None:
    before = plain(text)
    for key, value in values.items():
        parts = key.split(".")
        at: Any = before
        for part in parts[:-1]:
            at = at.setdefault(part, {}) if isinstance(at.get(part, {}), dict) else at.__setitem__(part, {}) or at[part]
        replaced_section = isinstance(at.get(parts[-1]), dict)
        at[parts[-1]] = value
        old, text = text, apply_patch(text, {key: value})
        assert plain(text) == before
        if not replaced_section:
            assert [line for line in text.splitlines() if line.lstrip().startswith("#")] == [
                line for line in old.splitlines() if line.lstrip().startswith("#")
            ]
            assert text.count("# note") == old.count("# note") + str(render(value)).count("# note")


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_takes_a_patch_and_changes_in_one_line(kind: str) -> None:
    old = template(kind)
    new = apply_patch(old, {"train.seed": 7})
    assert load_text(new).recipe.train.seed == 7
    changed = [line for line in diff(old, new).splitlines() if line[0] in "+-" and not line.startswith(("+++", "---"))]
    assert changed == ["-  seed: 0", "+  seed: 7"]


def test_diff() -> None:
    assert diff(TEXT, TEXT) == ""
    shown = diff("a: 1", "a: 2", "r.yaml")
    assert shown.splitlines()[:2] == ["--- r.yaml (now)", "+++ r.yaml (new)"]
    assert "-a: 1\n\\ No newline at end of file\n+a: 2\n" in shown
