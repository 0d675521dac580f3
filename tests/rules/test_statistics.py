"""Trend statistics against scipy, against a direct transcription of Hamed and Rao, and by their false-alarm rate."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dpdrun.rules.statistics import (
    decimate,
    fit_line,
    hamed_rao_factor,
    kendall_s,
    may_rise,
    percentile,
    student_t,
    theil_sen,
    trend,
)

SERIES = st.lists(st.integers(-5, 5).map(float), min_size=4, max_size=40)


def noise(n: int, phi: float, seed: int) -> list[float]:
    """AR(1) noise of unit innovations."""
    draw = random.Random(seed)
    values = [draw.gauss(0.0, 1.0)]
    while len(values) < n:
        values.append(phi * values[-1] + draw.gauss(0.0, 1.0))
    return values


@given(SERIES)
def test_theil_sen_is_scipys(values: list[float]) -> None:
    assert theil_sen(values) == pytest.approx(stats.theilslopes(values).slope)


@given(SERIES)
def test_s_is_kendalls(values: list[float]) -> None:
    n, s = len(values), kendall_s(values)
    pairs_untied = n * (n - 1) / 2 - sum(c * (c - 1) / 2 for c in np.unique(values, return_counts=True)[1])
    if pairs_untied == 0:
        assert s == 0
        return
    tau = stats.kendalltau(range(n), values).statistic  # tau-b: s / sqrt(all pairs x untied pairs)
    assert s == pytest.approx(tau * math.sqrt(n * (n - 1) / 2 * pairs_untied))


@given(SERIES, st.floats(0.001, 0.49))
def test_the_quick_look_misses_no_rise(values: list[float], p: float) -> None:
    if trend(values).p_up <= p:
        assert may_rise(values, p)


def test_the_quick_look_saves_work_where_nothing_rises() -> None:
    assert not any(may_rise(noise(100, 0.0, seed), 0.005) for seed in range(20))
    assert not may_rise([1.0] * 10, 0.5)
    assert may_rise([value + 0.05 * i for i, value in enumerate(noise(100, 0.0, 1))], 0.005)


def test_p_value_of_independent_noise_is_kendalls() -> None:
    """Without autocorrelation the correction does nothing, and p is the usual normal approximation."""
    values = noise(60, 0.0, seed=3)
    assert hamed_rao_factor([v - theil_sen(values) * i for i, v in enumerate(values)]) == 1.0
    n, s = len(values), kendall_s(values)
    z = (s - np.sign(s)) / math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    assert trend(values).p_up == pytest.approx(stats.norm.sf(z))
    assert trend(values).p_down == pytest.approx(stats.norm.cdf(z))


@pytest.mark.parametrize(("phi", "seed"), [(0.7, 1), (0.95, 2), (0.4, 4)])
def test_correction_is_hamed_and_raos_or_that_of_ar1(phi: float, seed: int) -> None:
    values = np.array(noise(100, phi, seed))
    n = len(values)
    ranks = stats.rankdata(values)
    rho = np.correlate(ranks - ranks.mean(), ranks - ranks.mean(), "full")[n - 1 :]
    rho /= rho[0]
    first_small = next(lag for lag in range(1, n) if abs(rho[lag]) <= stats.norm.ppf(0.975) / math.sqrt(n))
    assert first_small > 1
    lags = np.arange(1, first_small)
    hamed_rao = 1 + 2 / (n * (n - 1) * (n - 2)) * np.sum((n - lags) * (n - lags - 1) * (n - lags - 2) * rho[lags])
    lag1 = rho[1] + (1 + 4 * rho[1]) / n
    assert hamed_rao_factor(list(values)) == pytest.approx(max(hamed_rao, (1 + lag1) / (1 - lag1)))


@pytest.mark.parametrize("phi", [0.0, 0.6, 0.9])
def test_false_alarms_under_autocorrelation(phi: float) -> None:
    """At p < 0.01 about 1 % of trendless series alarm: no more than 4 % of these 200."""
    alarms = sum(trend(noise(100, phi, seed)).p_up < 0.01 for seed in range(200))
    assert alarms <= 8


def test_uncorrected_test_would_not_do() -> None:
    """The test above can fail: the plain Mann-Kendall test is fooled by the same series."""
    n, deviation = 100, math.sqrt(100 * 99 * 205 / 18)
    alarms = sum(stats.norm.sf((kendall_s(noise(n, 0.9, seed)) - 1) / deviation) < 0.01 for seed in range(200))
    assert alarms > 200 * 0.2


@pytest.mark.parametrize("direction", [1.0, -1.0])
def test_trend_in_noise_is_found_with_its_size(direction: float) -> None:
    values = [direction * 2.0 * i / 199 + 0.3 * v for i, v in enumerate(noise(200, 0.5, seed=5))]
    seen = trend(values)
    assert seen.change == pytest.approx(2.0 * direction, abs=0.3)
    assert (seen.p_up if direction > 0 else seen.p_down) < 1e-6
    assert (seen.p_down if direction > 0 else seen.p_up) > 0.99


def test_spikes_do_not_move_a_trend() -> None:
    values = noise(200, 0.0, seed=2)
    spiked = [v + (1e6 if i % 40 == 39 else 0.0) for i, v in enumerate(values)]
    assert trend(spiked).change == pytest.approx(trend(values).change, abs=0.2)


def test_constant_series_has_no_trend() -> None:
    seen = trend([1.0] * 50)
    assert (seen.change, seen.p_up) == (0.0, 0.5)


def test_too_short_series_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        trend([1.0, 2.0, 3.0])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=900))
def test_decimate_keeps_length_and_range(values: list[float]) -> None:
    short = decimate(values, 400)
    assert len(short) == min(400, len(values))
    assert min(values) <= min(short) <= max(short) <= max(values)


def test_decimate_takes_medians() -> None:
    assert decimate([0.0, 0.0, 99.0, 5.0, 5.0, 5.0], 2) == [0.0, 5.0]


def test_fit_line_is_scipys() -> None:
    x, y = noise(50, 0.3, 1), noise(50, 0.3, 2)
    reference = stats.linregress(x, y)
    assert fit_line(x, y) == pytest.approx((reference.slope, reference.rvalue**2))


def test_fit_line_of_constant_x() -> None:
    assert fit_line([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0, 1.0), ([3.0, 1.0, 2.0], 50, 2.0), ([3.0, 1.0, 2.0], 100, 3.0), ([5.0], 90, 5.0)],
)
def test_percentile(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_share_of_values_lies_below_a_percentile() -> None:
    values = [float(value) for value in range(100)]
    assert [percentile(values, share) for share in (1, 10, 90, 99)] == [1.0, 10.0, 90.0, 99.0]


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@pytest.mark.parametrize(("dof", "off"), [(2, 0.08), (4, 0.01), (8, 0.002), (50, 1e-4)])
def test_student_t(dof: int, off: float) -> None:
    assert student_t(0.01, dof) == pytest.approx(stats.t.isf(0.01, dof), rel=off)
