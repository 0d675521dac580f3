"""All scores of one signal: OFDM on one clock with a known error, beside what each score's own module says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from dpdrun.data.ofdm import OfdmSettings, ofdm_waveform
from dpdrun.rf import linearity as module
from dpdrun.rf.aclr import aclr
from dpdrun.rf.linearity import linearity
from dpdrun.rf.metrics import nmse_db, rms
from dpdrun.rf.spectrum import in_band_error_db

SETTINGS = OfdmSettings(
    sample_rate_hz=61.44e6, fft=2048, prefix=144, symbols=9, carriers=3, carrier_bins=170, active=156, qam=64
)
RATE = SETTINGS.sample_rate_hz
BAND = 3 * 170 * 30e3
X = ofdm_waveform(SETTINGS, np.random.default_rng(5))
NOISE = np.random.default_rng(0).standard_normal((2, len(X)))
Y = X + 0.01 * rms(X) * (NOISE[0] + 1j * NOISE[1]) / np.sqrt(2)
STATED: dict[str, Any] = {"bandwidth_hz": BAND, "carriers": 3, "grid": SETTINGS.grid, "nperseg": 4096}
SEGMENT = 1024
OF_SAMPLES = {"nmse_db", "power_change_db", "am_am_spread_db", "am_pm_spread_deg"}
NAMES = OF_SAMPLES | {"in_band_error_db", "evm_db", "aclr_left_dbc", "aclr_right_dbc", "aclr_worse_dbc"}


def test_white_noise_at_40_db() -> None:
    """Its density is that of 40 dB below the signal over the whole rate, so in the band it is weaker by the share."""
    found = linearity(X, Y, RATE, **STATED)
    assert found.missing == {}
    assert found.samples == len(X)
    assert found.nmse_db == pytest.approx(-40.0, abs=0.1)
    share = 10 * np.log10(BAND / RATE)
    assert found.in_band_error_db == pytest.approx(-40.0 + share, abs=0.2)
    # One symbol's noise on an occupied subcarrier over its power: all power sits on 3 * 156 of 2048 subcarriers.
    assert found.evm_db == pytest.approx(-40.0 + 10 * np.log10(3 * 156 / 2048), abs=0.2)
    assert found.main_aclr is not None
    assert found.main_aclr.convention == "opendpd-spectral-v2"
    assert found.main_aclr.worse_dbc == pytest.approx(-40.0 + share, abs=0.5)
    assert found.power_change_db == pytest.approx(10 * np.log10(1.0001), abs=0.01)
    assert found.gain is not None
    assert found.gain.am_am_spread_db == pytest.approx(20 * np.log10(np.e) * 0.01 / np.sqrt(2), rel=0.1)
    assert found.symbols is not None
    assert found.symbols.count == 27


def test_a_stated_spacing_adds_a_convention_and_changes_no_other_score() -> None:
    plain, spaced = (linearity(X, Y, RATE, **STATED, spacing_hz=spacing) for spacing in (None, BAND / 3))
    assert spaced.main_aclr == spaced.aclr.pop("channel-spacing-v1")
    assert spaced.main_aclr.right_dbc == pytest.approx(plain.aclr["opendpd-spectral-v2"].right_dbc, abs=1e-9)
    assert spaced.aclr == plain.aclr
    assert spaced.intervals["aclr_worse_dbc"] == pytest.approx(plain.intervals["aclr_worse_dbc"])
    beyond = linearity(X, Y, RATE, **STATED | {"carriers": 1}, spacing_hz=RATE)
    assert beyond.main_aclr is None  # rather than one that was not asked for
    assert "outside the captured" in beyond.missing["channel-spacing-v1"]


def test_every_score_is_that_of_its_own_module() -> None:
    found = linearity(X, Y, RATE, **STATED, segment=SEGMENT)
    assert found.nmse_db == nmse_db(X, Y)
    assert found.in_band_error_db == in_band_error_db(X, Y, RATE, BAND, nperseg=SEGMENT)
    assert len(found.aclr) == 3
    for name, leakage in found.aclr.items():
        length = 4096 if name == "opendpd-legacy-v1" else SEGMENT
        assert leakage == aclr(Y, RATE, BAND, convention=name, carriers=3, nperseg=length)


def test_intervals_hold_their_scores() -> None:
    found = linearity(X, Y, RATE, **STATED)
    content = found.to_json()
    assert set(found.intervals) == NAMES
    for name, limits in found.intervals.items():
        assert limits.low < content[name] < limits.high, name
        assert limits.high - limits.low < 2.5, name
    assert linearity(X, Y, RATE, **STATED).intervals == found.intervals
    assert linearity(X, Y, RATE, **STATED, seed=1).intervals != found.intervals
    assert json.loads(json.dumps(content)) == content


@pytest.mark.parametrize(
    ("lacking", "missing"),
    [
        ("grid", {"evm_db": module.NO_GRID}),
        (
            "nperseg",
            dict.fromkeys(("nmse_opendpd_legacy_db", "spectral_evm_db", "opendpd-legacy-v1"), module.NO_NPERSEG),
        ),
        (
            "carriers",
            dict.fromkeys(("opendpd-spectral-v2", "spectral_evm_db", "opendpd-legacy-v1"), module.NO_CARRIERS),
        ),
        (
            "bandwidth_hz",
            dict.fromkeys(
                ("general-v1", "opendpd-spectral-v2", "opendpd-legacy-v1", "in_band_error_db", "spectral_evm_db"),
                module.NO_BANDWIDTH,
            ),
        ),
    ],
)
def test_what_the_capture_does_not_state_is_left_out_with_the_reason(lacking: str, missing: dict[str, str]) -> None:
    found = linearity(X, Y, RATE, **{**STATED, lacking: None})
    assert found.missing == missing
    content = found.to_json()
    for name in missing:
        assert name not in found.aclr
        assert content.get(name) is None
    assert found.main_aclr is None or found.main_aclr.convention == ("general-v1" if lacking == "carriers" else
                                                                      "opendpd-spectral-v2")  # fmt: skip


def test_only_the_samples_and_the_rate() -> None:
    found = linearity(X, Y, RATE)
    assert found.main_aclr is None
    assert set(found.intervals) == OF_SAMPLES
    assert found.gain is not None
    assert len(found.missing) == 7


def test_neighbours_outside_of_the_capture_are_left_out_with_the_reason() -> None:
    found = linearity(X, Y, RATE, **{**STATED, "bandwidth_hz": 30e6})
    assert set(found.aclr) == {"opendpd-spectral-v2", "opendpd-legacy-v1"}
    assert "outside the captured" in found.missing["general-v1"]


def test_too_short_for_a_symbol() -> None:
    found = linearity(X[:2000], Y[:2000], RATE, **STATED)
    assert found.evm_db is None
    assert "no complete OFDM symbol" in found.missing["evm_db"]
    assert found.intervals == {}


def test_known_starts_are_used() -> None:
    starts = ((144, 144 + 2192),) * 3
    found = linearity(X, Y, RATE, **STATED, starts=starts)
    assert found.symbols is not None
    assert found.symbols.count == 6


def test_a_gain_is_an_error_but_not_of_the_evm() -> None:
    found = linearity(X, 1.1 * X, RATE, **STATED)
    assert found.nmse_db == pytest.approx(-20.0)
    assert found.in_band_error_db == pytest.approx(-20.0)
    assert found.spectral_evm_db == pytest.approx(-20.0)
    assert found.evm_db is not None
    assert found.evm_db < -200
    assert found.power_change_db == pytest.approx(20 * np.log10(1.1))


@pytest.mark.parametrize(
    ("reference", "y", "said"),
    [
        (X, X[:-1], "equal length"),
        (X[:0], X[:0], "equal length"),
        (X, np.where(np.arange(len(X)) < 3, np.nan, X), "output has 3 samples that are not finite"),
        (X, 0 * X, "output is all zero"),
        (0 * X, X, "reference is all zero"),
    ],
)
def test_what_cannot_be_scored(reference: np.ndarray, y: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        linearity(reference, y, RATE)
