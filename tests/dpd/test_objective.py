"""What a predistorter is selected by, on signals whose figures are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import firwin, lfilter

from dpdrun.dpd.objective import BY_NMSE, BY_SPECTRUM, POWER_GATE_PENALTY_DB, DPDObjective, dpd_objective
from dpdrun.rf.aclr import aclr
from dpdrun.rf.metrics import Signal, rms

RATE, BAND = 1e6, 200e3
RNG = np.random.default_rng(0)
WHITE = RNG.normal(size=20_000) + 1j * RNG.normal(size=20_000)
TARGET: Signal = np.asarray(lfilter(firwin(257, 0.19), 1.0, WHITE))
TIME = np.arange(len(TARGET))


def of(y: Signal, bandwidth_hz: float | None = BAND) -> DPDObjective:
    return dpd_objective(TARGET, y, RATE, bandwidth_hz=bandwidth_hz, carriers=None)


def test_an_error_in_proportion_is_in_band() -> None:
    found = of(1.01 * TARGET)
    assert found.nmse_db == pytest.approx(-40.0)
    assert found.in_band_db == pytest.approx(-40.0, abs=0.01)
    assert found.power_db == pytest.approx(20 * math.log10(1.01))
    assert found.selected_by == BY_SPECTRUM
    clean = aclr(TARGET, RATE, BAND)
    assert found.aclr_worse_db == pytest.approx(max(clean.left_dbc, clean.right_dbc))


def test_a_tone_next_to_the_band_leaks_on_its_side_alone() -> None:
    tone = 0.01 * rms(TARGET) * np.exp(2j * np.pi * 0.2 * TIME)  # 40 dB down, in the right neighbour
    found = of(TARGET + tone)
    assert found.aclr_right_db == pytest.approx(-40.0, abs=0.2)
    assert found.aclr_left_db is not None
    assert found.aclr_left_db < -55
    assert found.aclr_worse_db == found.aclr_right_db
    assert found.in_band_db is not None
    assert found.in_band_db < -55
    assert found.objective_db == pytest.approx((found.in_band_db + found.aclr_right_db) / 2)


@given(st.floats(-3, 3))
def test_the_power_gate_orders_before_the_objective(level_db: float) -> None:
    found = of(TARGET * 10 ** (level_db / 20))
    assert found.power_db == pytest.approx(level_db, abs=1e-6)
    if abs(abs(level_db) - 0.5) > 1e-6:
        assert found.holds_power == (abs(level_db) < 0.5)
        assert (found.selection_db < POWER_GATE_PENALTY_DB / 2) == found.holds_power


def test_silence_is_no_winner() -> None:
    silent = of(0 * TARGET)
    assert silent.nmse_db == pytest.approx(0.0)
    assert silent.power_db == -math.inf
    assert not silent.holds_power
    assert silent.selection_db > of(1.02 * TARGET).selection_db


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_never_the_best(broken: float) -> None:
    y = TARGET.copy()
    y[5] = broken
    found = of(y)
    assert math.isnan(found.selection_db)
    assert not found.selection_db < math.inf


@pytest.mark.parametrize(("bandwidth", "why"), [(None, "does not state its bandwidth"), (600e3, "outside")])
def test_without_a_spectrum_nmse_decides_and_the_reason_is_kept(bandwidth: float | None, why: str) -> None:
    found = of(1.01 * TARGET, bandwidth)
    assert found.without is not None
    assert why in found.without
    assert (found.in_band_db, found.aclr_worse_db) == (None, None)
    assert found.objective_db == found.nmse_db
    assert found.selected_by == BY_NMSE


def test_json_has_what_a_report_shows() -> None:
    content = of(1.01 * TARGET).to_json()
    assert {"nmse_db", "power_db", "in_band_db", "aclr_left_db", "aclr_right_db", "aclr_worse_db"} <= set(content)
    assert {"objective_db", "holds_power"} <= set(content)
    assert "without" not in content
