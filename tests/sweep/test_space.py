"""Values of a swept field, and their combinations."""

from __future__ import annotations

import itertools
import math

import pytest

from dpdrun.recipe import yaml12
from dpdrun.sweep.space import Dimension, Range, dimension_of, grid, grid_size, overrides_of


def read(text: str) -> tuple[Dimension | None, list[str]]:
    root, problems = yaml12.parse(f"optim.lr: {text}", "s.yaml")
    assert root is not None
    assert problems == []
    entry = root.value["optim.lr"]
    dimension, found = dimension_of("optim.lr", entry.mark, entry.node)
    return dimension, [str(each).partition("\n")[0] for each in found]


def test_a_logarithmic_range_has_equal_ratios_and_both_ends() -> None:
    dimension, problems = read("log:3e-3..1e-1:5")
    assert problems == []
    assert dimension is not None
    values = [float(text) for text, _ in dimension.choices()]
    assert values[0] == 3e-3
    assert values[-1] == 1e-1
    ratios = [math.log(after / before) for before, after in itertools.pairwise(values)]
    assert ratios == pytest.approx([math.log(100 / 3) / 4] * 4, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("[8, 16]", ["8", "16"]),
        ("auto", ["auto"]),
        ("0.1..0.5:3", ["0.1", "0.3", "0.5"]),
        ("1..4:4", ["1", "2", "3", "4"]),
        ("log:4..8:9", ["4", "5", "6", "7", "8"]),  # whole numbers, once each
        ("[{kind: gru, hidden: 4}]", ["{kind: gru, hidden: 4}"]),
        ("[7.5%, off]", ["7.5%", "off"]),
    ],
)
def test_values_as_set_takes_them(text: str, values: list[str]) -> None:
    dimension, problems = read(text)
    assert problems == []
    assert dimension is not None
    assert [choice for choice, _ in dimension.choices()] == values


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[]", "s.yaml:1:1: over.optim.lr: the list is empty; name the values of the sweep"),
        ("log:1e-1..1e-3:5", "s.yaml:1:11: over.optim.lr: the range is empty: 1e-1 is not below 1e-3"),
        ("log:0..1:5", "s.yaml:1:11: over.optim.lr: a logarithmic range begins above 0"),
        ("0.1..0.2:1", "s.yaml:1:11: over.optim.lr: a range takes at least 2 values"),
        (f"1..{10**390}:5", "s.yaml:1:11: over.optim.lr: a range ends at 1e+300"),
        ("-1e308..1e308:5", "s.yaml:1:11: over.optim.lr: a range ends at 1e+300"),
        ("1..2:" + "9" * 5000, "s.yaml:1:11: over.optim.lr: a range is [log:]LOW..HIGH[:COUNT], such as "
                               "log:3e-3..1e-1:5, alone; got 1..2:" + "9" * 5000),
        ("[1, 2, 1]", "s.yaml:1:18: over.optim.lr: 1 is named twice"),
        ("log:1e-3..", "s.yaml:1:11: over.optim.lr: a range is [log:]LOW..HIGH[:COUNT], such as log:3e-3..1e-1:5, "
                       "alone; got log:1e-3.."),
        ("[1..2:3, 5]", "s.yaml:1:12: over.optim.lr: a range is [log:]LOW..HIGH[:COUNT], such as log:3e-3..1e-1:5, "
                        "alone; got 1..2:3"),
    ],
)  # fmt: skip
def test_what_is_no_set_of_values(text: str, why: str) -> None:
    assert read(text) == (None, [why])


def test_a_range_is_written_as_it_was_read() -> None:
    for text in ("log:3e-3..0.1:5", "1..8", "log:1e-4..0.01"):
        dimension, _ = read(text)
        assert dimension is not None
        assert isinstance(dimension.values, Range)
        assert dimension.written() == text


def test_combinations_and_the_order_of_overrides() -> None:
    width, _ = dimension_of("model.heads", *_entry("[1, 2]"))
    model, _ = dimension_of("model", *_entry("[{kind: gru, hidden: 4}, {kind: gmp}]"))
    assert width is not None
    assert model is not None
    combinations = list(grid([width, model]))
    assert len(combinations) == grid_size([width, model]) == 4
    assert combinations[1] == {"model.heads": "1", "model": "{kind: gmp}"}
    # a whole section first: it would take the field in it away
    assert overrides_of(combinations[1]) == ("model={kind: gmp}", "model.heads=1")


def _entry(text: str) -> tuple[yaml12.Mark, yaml12.Node]:
    root, _ = yaml12.parse(f"x: {text}", "s.yaml")
    assert root is not None
    return root.value["x"].mark, root.value["x"].node
