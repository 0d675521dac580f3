"""Remarks that stay true when values change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.recipe import yaml12
from dpdrun.recipe.comments import annotate_changed_values, head_of, reasons_without_line
from dpdrun.recipe.patch import apply_patch


def after(text: str, values: dict[str, Any], reasons: dict[str, str] | None = None) -> str:
    return annotate_changed_values(text, apply_patch(text, values), reasons)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a:\n  lr: 1e-2  # best of the sweep\n", {"a.lr": 1e-3}, "a:\n  lr: 1e-3  # was 1e-2: best of the sweep\n"),
        ("a: 1 # x\n", {"a": 1}, "a: 1 # x\n"),
        ("a: 1  # was 2: x\n", {"a": 3}, "a: 3  # was 2: x\n"),
        ("a: 1  # this was best\n", {"a": 3}, "a: 3  # was 1: this was best\n"),
        ("a: 1\n# x\nb: 2\n", {"a": 3}, "a: 3\n# x\nb: 2\n"),
        ("a: {b: 1, c: 2}  # book\n", {"a.b": 3}, "a: {b: 3, c: 2}  # b was 1: book\n"),
        ("a: {b: 1, c: 2}  # book\n", {"a.b": 3, "a.c": 4}, "a: {b: 3, c: 4}  # c was 2: b was 1: book\n"),
        ("a: 'it # is'\n", {"a": "b # c"}, 'a: "b # c"\n'),
        ("a: 1  # x\r\nb: 2\r\n", {"a": 3}, "a: 3  # was 1: x\r\nb: 2\r\n"),
        ("a: auto  # let the rules\n", {"a": 3}, "a: 3  # was auto: let the rules\n"),
        ("a: 1  # x", {"a": 3}, "a: 3  # was 1: x"),
    ],
)
def test_a_remark_says_of_which_value_it_was(text: str, values: dict[str, Any], expected: str) -> None:
    assert after(text, values) == expected


def test_reasons_are_next_to_their_values() -> None:
    text = "a:\n  b: auto  # ours\n  c: 1\nd: {e: 1}\n"
    reasons = {"a.b": "R1: why", "a.new": "R2: so", "d.e": "R3: no place", "x": "R4: no such key"}
    new = after(text, {"a.b": 2, "a.new": 3, "d.e": 4}, reasons)
    assert new == "a:\n  b: 2  # R1: why; was auto: ours\n  c: 1\n  new: 3  # R2: so\nd: {e: 4}\n"
    assert reasons_without_line(new, reasons) == {"d.e": "R3: no place", "x": "R4: no such key"}
    assert annotate_changed_values(new, new, reasons) == new


def test_head() -> None:
    assert head_of("# a\n\n# b\ntask: pa  # c\n# d\n") == ["# a", "", "# b"]
    assert head_of("task: pa\n# d\n") == []


REMARKS = st.sampled_from(["", "  # best", "  # was 1: x", " # a: b # c", "   "])
VALUES = st.sampled_from(["1", "1e-3", "auto", "'# no'", "{x: 1}", "{x: '# y'}", "[1, 2]", "|\n    text # t"])


@given(
    st.lists(st.tuples(VALUES, REMARKS), min_size=1, max_size=4), st.integers(0, 3), st.sampled_from(["z", 2, "# q"])
)
def test_values_are_never_touched(lines: list[tuple[str, str]], at: int, value: Any) -> None:
    text = "s:\n" + "".join(f"  k{n}: {v}{'' if v[0] == '|' else r}\n" for n, (v, r) in enumerate(lines))
    new = apply_patch(text, {f"s.k{at}": value})
    told = annotate_changed_values(text, new, {f"s.k{at}": "R1: why"})
    assert yaml12.parse(told, "r")[0].plain() == yaml12.parse(new, "r")[0].plain()  # type: ignore[union-attr]
    assert len(told.splitlines()) == len(new.splitlines())
