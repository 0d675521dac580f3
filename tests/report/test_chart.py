"""Charts in characters: where points, the reference line and marks land; and series as blocks."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.report.chart import AXIS, DASH, DOT, OVERLAY, log_chart, sparkline


def rows(lines: list[str]) -> list[str]:
    return [line.split(AXIS, 1)[1] for line in lines if AXIS in line]


def test_exponential_is_a_diagonal() -> None:
    plot = rows(log_chart([10.0**i for i in range(8)], list(range(1, 9)), height=8))
    assert [row.find(DOT) for row in plot] == list(range(7, -1, -1))


def test_line_near_the_data_is_drawn_at_its_height() -> None:
    lines = log_chart([0.1] * 20, list(range(1, 21)), line=1.0)
    plot = rows(lines)
    assert DASH in plot[0]
    assert DOT in plot[-1]
    assert lines[0].strip().startswith("1 ")


def test_a_line_outside_the_chart_is_named_in_the_legend() -> None:
    lines = log_chart([0.05] * 20, list(range(1, 21)), line=200.0)
    assert not any(DASH in row for row in rows(lines))
    assert "200 is off the scale" in lines[-1]


def test_no_line_when_clipping_is_off() -> None:
    lines = log_chart([0.05] * 20, list(range(1, 21)), line=math.inf)
    assert not any(DASH in line or "outside" in line for line in lines)


def test_marks_stand_under_their_step() -> None:
    lines = log_chart([1.0] * 64, list(range(1, 65)), marks={33: "GN201"})
    mark = next(line for line in lines if "GN201" in line)
    first = next(line for line in lines if AXIS in line)
    assert mark.index("^") - (first.index(AXIS) + 1) == 32


def test_marks_at_one_place_do_not_touch() -> None:
    lines = log_chart([1.0] * 64, list(range(1, 65)), marks={33: "GN201", 34: "LS202", 60: "CL201"})
    rows_ = [line for line in lines if "^" in line]
    assert len(rows_) == 2
    assert "^GN201" in rows_[0]
    assert "CL201^" in rows_[0]
    assert "^LS202" in rows_[1]


def test_overlay_has_its_own_scale_and_is_drawn_first() -> None:
    lines = log_chart([1.0] * 8, list(range(8)), overlay=[10.0**-i for i in range(8)], height=8)
    plot = [line.split(AXIS)[1] for line in lines if AXIS in line]
    assert [row.find(OVERLAY) for row in plot if OVERLAY in row][:3] == [0, 1, 2]
    assert sum(DOT in row for row in plot) == 1
    assert [line.split(AXIS)[2].strip() for line in lines if AXIS in line][::7] == ["1", "0.001"]


def test_overlay_without_a_positive_value_is_left_out() -> None:
    assert log_chart([1.0] * 8, list(range(8)), overlay=[0.0] * 8) == log_chart([1.0] * 8, list(range(8)))


def test_flat_series_stays_in_one_row() -> None:
    plot = rows(log_chart([0.3, 0.301, 0.299] * 20, list(range(60))))
    assert sum(DOT in row for row in plot) <= 2


def test_nothing_to_draw() -> None:
    assert log_chart([math.nan, -1.0], [1, 2]) == ["no finite values to draw"]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=200), st.floats(1e-6, 1e6))
def test_any_series_can_be_drawn(values: list[float], line: float) -> None:
    lines = log_chart(values, list(range(1, len(values) + 1)), line=line, marks={1: "X"}, width=40, height=5)
    assert all(len(text) <= 11 + 45 for text in lines)


LOW, HIGH = "\u2581", "\u2588"


def test_the_least_and_the_greatest_value_get_the_lowest_and_the_highest_block() -> None:
    line = sparkline([1.0, 2.0, 3.0, 2.0], 10)
    assert line[0] == LOW
    assert line[2] == HIGH
    assert line[1] == line[3] not in (LOW, HIGH)


def test_a_logarithmic_scale_gives_equal_steps_to_equal_ratios() -> None:
    levels = [ord(block) for block in sparkline([1e-3, 1e-2, 1e-1, 1.0], 4, log=True)]
    steps = [b - a for a, b in pairwise(levels)]
    assert steps
    assert max(steps) - min(steps) <= 1
    assert sparkline([1e-3, 1e-2, 1e-1, 1.0], 4)[:2] == LOW * 2  # linear: all small ones are at the bottom


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_what_cannot_be_drawn_is_marked_and_hides_nothing_else(bad: float) -> None:
    assert sparkline([1.0, bad, 10.0], 3, log=True) == LOW + "x" + HIGH


def test_nothing_and_nothing_finite() -> None:
    assert sparkline([], 5) == ""
    assert sparkline([math.nan, math.nan], 5) == "xx"


@given(st.lists(st.floats(allow_nan=True, width=32), max_size=200), st.integers(1, 60), st.booleans())
def test_never_wider_than_requested(values: list[float], width: int, log: bool) -> None:
    assert len(sparkline(values, width, log=log)) == min(width, len(values))
