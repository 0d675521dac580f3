"""A series as blocks, and a series that may grow without end."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.report.sparkline import Trend, sparkline

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
def test_never_wider_than_asked(values: list[float], width: int, log: bool) -> None:
    assert len(sparkline(values, width, log=log)) == min(width, len(values))


def test_a_long_series_takes_bounded_memory_and_keeps_its_shape() -> None:
    trend = Trend(64, log=True)
    values = [math.exp(math.sin(i / 8000)) for i in range(100_000)]
    for value in values:
        trend.add(value)
        assert len(trend) < 64
    assert len(trend) >= 32
    drawn, exact = trend.line(16), sparkline(values, 16, log=True)
    assert len(drawn) == 16
    assert max(abs(ord(a) - ord(b)) for a, b in zip(drawn, exact, strict=True)) <= 1


@given(st.lists(st.floats(0.01, 100.0), min_size=64, max_size=64))
def test_merged_neighbours_are_their_means(values: list[float]) -> None:
    trend = Trend(16)
    for value in values:
        trend.add(value)
    # 64 values through a capacity of 16: three merges, 8 means of 8 values
    assert len(trend) == 8
    means = [sum(values[i : i + 8]) / 8 for i in range(0, 64, 8)]
    assert trend._means == pytest.approx(means)


def test_a_non_finite_norm_shows_up_in_the_trend() -> None:
    trend = Trend(8, log=True)
    for value in (1.0, math.inf, 10.0):
        trend.add(value)
    assert trend.line(3) == LOW + "x" + HIGH
