"""Cells of logs: every spelling of nothing, nan, infinity, and what is refused."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.diagnosis.logs.cells import number, shortened


@pytest.mark.parametrize("cell", ["", "  ", "NA", "n/a", "null", "None", "-", "<NA>", None])
def test_nothing(cell: object) -> None:
    assert number(cell) is None


@pytest.mark.parametrize("cell", ["nan", "NaN", "-nan", "1.#QNAN", math.nan])
def test_nan(cell: object) -> None:
    value = number(cell)
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("inf", math.inf), ("-Infinity", -math.inf), ("+inf", math.inf), (10**400, math.inf), (-(10**400), -math.inf),
        (" 1e-4 ", 1e-4), ('"3"', 3.0), (7, 7.0), (True, 1.0), ("true", 1.0), ("False", 0.0), ("3.5%", 0.035),
        ("tensor(0.25, device='cuda:0')", 0.25),
    ],
)  # fmt: skip
def test_values(cell: object, value: float) -> None:
    assert number(cell) == pytest.approx(value)


@pytest.mark.parametrize("cell", ["1_000", "fast", "1,5", "0x10", "1.2.3"])
def test_refused(cell: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number(cell)


def test_decimal_comma_only_where_it_is_one() -> None:
    assert number("0,5", decimal_comma=True) == 0.5
    with pytest.raises(ValueError, match="thousands separators"):
        number("1,000,000", decimal_comma=True)


def test_a_unit_is_named() -> None:
    with pytest.raises(ValueError, match="omit the unit"):
        number("-38.5 dB")


def test_lists_are_no_numbers() -> None:
    with pytest.raises(ValueError, match="is not a number"):
        number([1, 2])


@given(st.floats(allow_nan=False))
def test_repr_comes_back(value: float) -> None:
    assert number(repr(value)) == value
    assert number(value) == value


@given(st.text(max_size=30))
def test_any_text_is_a_number_nothing_or_refused(text: str) -> None:
    found: float | None = None
    with contextlib.suppress(ValueError):
        found = number(text, decimal_comma=True)
    assert found is None or isinstance(found, float)


def test_long_texts_are_cut() -> None:
    assert len(shortened("x" * 100)) == 40
