"""Scalars by YAML 1.2, and what of YAML a recipe may use."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.recipe import yaml12
from dpdrun.recipe.yaml12 import SyntaxProblemError, parse

# From the table of https://yaml.org/spec/1.2.2/#103-core-schema, and the traps of YAML 1.1 that it removes.
SCALARS = [
    ("1e-4", 1e-4),
    ("800e6", 800e6),
    ("3e8", 3e8),
    ("1E3", 1000.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("-.5e+1", -5.0),
    ("+1", 1),
    ("-0", 0),
    ("010", 10),
    ("0x1F", 31),
    ("0o17", 15),
    ("9" * 30, int("9" * 30)),
    (".inf", math.inf),
    ("-.INF", -math.inf),
    ("true", True),
    ("False", False),
    ("null", None),
    ("~", None),
    ("", None),
    ("on", "on"),
    ("off", "off"),
    ("yes", "yes"),
    ("No", "No"),
    ("y", "y"),
    ("12:30", "12:30"),
    ("2024-01-01", "2024-01-01"),
    ("1_000", "1_000"),
    ("0b11", "0b11"),
    ("0x", "0x"),
    ("1e", "1e"),
    (".", "."),
    ("nan", "nan"),
    ("7.5%", "7.5%"),
    ("tRue", "tRue"),
]


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalar(text: str, value: object) -> None:
    found = yaml12.scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_and_numbers_beyond_float() -> None:
    nan = yaml12.scalar(".nan")
    assert isinstance(nan, float)
    assert math.isnan(nan)
    for digits in ("9" * 10_000, "0x" + "f" * 10_000, "0o" + "7" * 10_000):
        assert yaml12.scalar(digits) == math.inf
    assert yaml12.scalar("-" + "9" * 10_000) == -math.inf


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(value: float) -> None:
    assert yaml12.scalar(repr(value)) == value


@given(st.integers())
def test_every_integer_is_read_back(value: int) -> None:
    assert yaml12.scalar(str(value)) == value
    assert yaml12.scalar(hex(abs(value))) == abs(value)


def test_quotes_make_text_and_marks_count_from_one() -> None:
    root, problems = parse("a: '1e-3'\nb:\n  - on\n  - {c: 0x10}\n", "r.yaml")
    assert root is not None
    assert not problems
    assert root.plain() == {"a": "1e-3", "b": ["on", {"c": 16}]}
    entry = root.value["a"]
    assert str(entry.mark) == "r.yaml:1:1"
    assert str(entry.node.mark) == "r.yaml:1:4"
    assert entry.node.mark.width == len("'1e-3'")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("a: !!python/object/apply:os.system [ls]", ["tags (!!python/object/apply:os.system)"]),
        ("a: !!str 5", ["tags (!!str)"]),
        ("a: &x 1\nb: *x", ["anchors (&x)", "aliases (*x)"]),
        ("a: *never", ["aliases (*never)"]),
        ("a: 1\na: 2\na: 3", ["duplicate key a; it was first given on line 1"] * 2),
        ("a: 1\n'a': 2", ["duplicate key a"]),
        ("? [1]\n: 2", ["a key must be a name"]),
        ("a: 1\n---\nb: 2", ["a second document"]),
        ("a: 1\n--- !!x\n", ["a second document"]),
    ],
)
def test_what_is_readable_but_refused(text: str, messages: list[str]) -> None:
    _, problems = parse(text, "r.yaml")
    assert len(problems) == len(messages)
    for problem, message in zip(problems, messages, strict=True):
        assert message in problem.message


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a:\n\tb: 1", "r.yaml:2:1", "a tab is used for indentation"),
        ("a: {b: 1", "r.yaml:1:9", "not valid YAML"),
        ("a: b: c", "r.yaml:1:5", "a second ': ' on this line"),
        ("a: 1\nb: \x00", "r.yaml:2:4", "U+0000 is not allowed"),
        ("a: '", "r.yaml:1:5", "not valid YAML"),
        ("a: " + "[" * 1000, "r.yaml:1:20", "nested deeper"),
        ("a: %", "r.yaml:1:4", "not valid YAML"),
    ],
)
def test_what_is_not_yaml(text: str, place: str, message: str) -> None:
    with pytest.raises(SyntaxProblemError) as caught:
        parse(text, "r.yaml")
    assert str(caught.value.problem.mark) == place
    assert message in caught.value.problem.message


@pytest.mark.parametrize("text", ["", "# only a comment\n", "%YAML 1.2\n---\n..."])
def test_no_document_or_an_empty_one(text: str) -> None:
    root, problems = parse(text, "r.yaml")
    assert root is None or root.plain() is None
    assert not problems
