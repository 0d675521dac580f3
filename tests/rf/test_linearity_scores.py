from __future__ import annotations

import json

import numpy as np
import pytest

from dpdrun.rf.aclr import Aclr
from dpdrun.rf.bootstrap import Interval
from dpdrun.rf.evm import Symbols
from dpdrun.rf.gain_curve import gain_curve
from dpdrun.rf.linearity_scores import Linearity

X = np.exp(2j * np.pi * np.random.default_rng(0).random(400)) * np.linspace(0.1, 1, 400)
LEAKAGE = Aclr("general-v1", -40.0, -42.0, (-3.0, -1.0), (1.0, 3.0), (-1.0, 1.0), "a window")
FULL = Linearity(
    samples=400,
    nmse_db=-30.0,
    nmse_opendpd_legacy_db=-30.5,
    in_band_error_db=-33.0,
    symbols=Symbols(np.ones(3) + 0j, np.array([1.1, 0.9, 1.0]) + 0j, 1.0, 1),
    spectral_evm_db=-32.0,
    aclr={"general-v1": LEAKAGE},
    main_aclr=LEAKAGE,
    gain=gain_curve(X, 2 * X),
    papr_db=5.0,
    reference_papr_db=6.0,
    power_change_db=0.1,
    ccdf_db={0.1: 3.0, 0.0001: None},
    reference_ccdf_db={0.1: 3.5, 0.0001: None},
    intervals={"nmse_db": Interval(-31.0, -29.0, 40)},
    missing={"opendpd-spectral-v2": "the capture does not state its number of carriers"},
)


def test_plain_values_survive_json() -> None:
    content = FULL.to_json()
    assert json.loads(json.dumps(content)) == content


def test_what_is_written_is_what_was_measured() -> None:
    content = FULL.to_json()
    assert content["aclr_convention"] == "general-v1"
    assert (content["aclr_left_dbc"], content["aclr_right_dbc"], content["aclr_worse_dbc"]) == (-40.0, -42.0, -40.0)
    assert content["aclr"]["general-v1"]["left_hz"] == [-3.0, -1.0]
    assert content["aclr"]["general-v1"]["average_dbc"] == -41.0
    assert content["evm_db"] == pytest.approx(10 * np.log10(0.02 / 3))
    assert content["evm_percent"] == pytest.approx(100 * np.sqrt(0.02 / 3))
    assert content["evm_symbols"] == 1
    assert content["intervals"] == {"nmse_db": [-31.0, -29.0]}
    assert content["ccdf_db"] == {"0.1": 3.0, "0.0001": None}
    assert content["gain_curve"]["gain_db"] == pytest.approx([20 * np.log10(2)] * len(content["gain_curve"]["level"]))
    assert "block bootstrap" in content["interval_method"]


def test_what_is_missing_is_none() -> None:
    poor = Linearity(
        **{
            **FULL.__dict__,
            "symbols": None,
            "main_aclr": None,
            "aclr": {},
            "gain": None,
            "nmse_opendpd_legacy_db": None,
        }
    )
    content = poor.to_json()
    assert poor.evm_db is None
    none = {name for name, value in content.items() if value is None}
    assert none == {
        *("nmse_opendpd_legacy_db", "evm_db", "evm_percent", "evm_symbols", "gain_curve"),
        *("aclr_convention", "aclr_left_dbc", "aclr_right_dbc", "aclr_worse_dbc"),
        *("am_am_spread_db", "am_pm_spread_deg", "compression_db", "phase_shift_deg"),
    }
    assert content.keys() == FULL.to_json().keys()
