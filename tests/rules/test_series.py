"""Levels, outliers and comparisons against scipy, and on series whose answer is known."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dpdrun.rules.series import (
    blocks,
    correlations,
    cusum_start,
    jitter,
    largest_fall,
    outliers,
    p_greater,
    residuals,
    resolution,
)

SAMPLES = st.lists(st.integers(-20, 20).map(float), min_size=4, max_size=30)


def noise(n: int, seed: int = 0, sigma: float = 1.0) -> list[float]:
    draw = random.Random(seed)
    return [draw.gauss(0.0, sigma) for _ in range(n)]


def test_blocks_are_full_and_robust() -> None:
    values = [*noise(50, sigma=0.1), *noise(50, seed=1, sigma=0.1), 7.0]
    values[10] = 1e6
    found = blocks(values, 50)
    assert [block.positions for block in found] == [range(50), range(50, 100)]
    assert all(abs(block.level) < 0.1 for block in found)
    assert all(0.05 < block.spread < 0.2 for block in found)


def test_spread_of_a_normal_series_is_its_sigma() -> None:
    (block,) = blocks(noise(20_000, sigma=3.0), 20_000)
    assert block.spread == pytest.approx(3.0, rel=0.05)


def test_outliers_close_to_each_other_are_one_event() -> None:
    values = noise(200, sigma=0.1)
    values[30], values[33], values[120] = 5.0, 9.0, 6.0
    found = outliers(values, width=50, z=6.0, least=3.0, floor=0.05, gap=10)
    assert [(event.first, event.top) for event in found] == [(30, 33), (120, 120)]
    assert found[0].size == pytest.approx(9.0, abs=0.2)


def test_an_echo_does_not_hide_what_it_follows() -> None:
    """Twenty steps of a slow return are two fifths of the stretch that they lie in."""
    values = noise(200, sigma=0.1)
    for k in range(20):
        values[100 + k] += 6.0 * (1 - k / 20)
    found = outliers(values, width=50, z=3.5, least=3.0, floor=0.05, gap=10)
    assert [event.first for event in found] == [100]


def test_a_word_is_not_taken_back_when_the_log_grows() -> None:
    values = noise(300, sigma=0.1)
    values[130] = 9.0
    said: list[int] = []
    for n in range(10, 300, 7):
        now = [event.top for event in outliers(values[:n], width=50, z=6.0, least=3.0, floor=0.05, gap=10)]
        assert now[: len(said)] == said
        said = now
    assert said == [130]


def test_a_drift_is_no_outlier() -> None:
    assert outliers([0.5 * i for i in range(300)], width=50, z=3.0, least=1.0, floor=0.1, gap=5) == []


def test_residuals_take_out_a_broken_line() -> None:
    drift = [0.2 * min(i, 150) for i in range(300)]
    rest = residuals([d + e for d, e in zip(drift, noise(300, sigma=0.1), strict=True)], 30)
    assert len(rest) == 300
    assert np.std(rest[30:-30]) < 0.5  # 10 to 30 before
    assert residuals([1.0, 2.0], 50) == [-0.5, 0.5]


def test_correlation_of_an_alternating_series() -> None:
    values = [(-1.0) ** i for i in range(100)]
    assert correlations(values, 1, 2) == pytest.approx([-1.0, 1.0])
    assert abs(correlations(noise(2000), 1)[0]) < 0.1
    assert correlations([1.0], 3) == [0.0]


@given(SAMPLES, SAMPLES)
def test_p_is_scipys(these: list[float], those: list[float]) -> None:
    if len(set(these + those)) < len(these + those):
        return  # scipy corrects the spread for ties
    expected = stats.mannwhitneyu(these, those, alternative="greater", method="asymptotic").pvalue
    assert p_greater(these, those) == pytest.approx(expected, abs=1e-9)


def test_ties_make_p_no_smaller() -> None:
    assert p_greater([1.0] * 5, [1.0] * 5) > 0.5


def test_cusum_finds_where_a_series_left_its_level() -> None:
    values = [*noise(100), *(value + 4.0 for value in noise(50, seed=1))]
    at = cusum_start(values, level=0.0, spread=1.0, slack=0.5, limit=8.0)
    assert at is not None
    assert 95 <= at <= 102
    assert cusum_start(noise(100), level=0.0, spread=1.0, slack=0.5, limit=8.0) is None


def test_jitter_is_the_spread_of_the_noise_whatever_the_drift() -> None:
    values = [0.01 * i * i + e for i, e in enumerate(noise(4000, sigma=2.0))]
    assert jitter(values) == pytest.approx(2.0, rel=0.1)
    assert jitter([1.0, 2.0]) == 0.0


@pytest.mark.parametrize("n", [5, 8, 20, 100])
@pytest.mark.parametrize("spread", [0.005, 0.03])
def test_the_largest_fall_is_above_the_true_one(n: int, spread: float) -> None:
    """200 straight falls of 10 %, seeds 0 to 199: below it in 3 % at most (1 % is meant; few points vary more)."""
    below = 0
    for seed in range(200):
        source = random.Random(seed)
        values = [(2.0 - 0.2 * i / (n - 1)) * (1.0 + source.gauss(0.0, spread)) for i in range(n)]
        width = max(2, n // 8)
        true = 0.1 * (n - width) / (n - 1) / (2.0 - 0.1 * (width - 1) / (n - 1)) * 2.0
        below += largest_fall(values) < true - 1e-9
    assert below <= 6


def test_a_fall_in_the_first_points_counts() -> None:
    assert largest_fall([4.0, 3.0, *[2.0] * 98]) == pytest.approx(0.5, rel=0.05)
    assert largest_fall([2.0, 2.001] * 50) < 0.01


def test_what_the_digits_hide_counts() -> None:
    assert resolution([0.53, 0.4]) == pytest.approx(0.01)
    assert largest_fall([0.03] * 10) > 0.1
    assert largest_fall([0.03001] * 10) < 0.01
