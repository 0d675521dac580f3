"""The tables of an evaluation, from a report as `evaluate_with_plots` makes it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dpdrun.report.scores import facts_of_scores, score_tables


def scores(level: float, **more: Any) -> dict[str, Any]:
    """A `linearity` section whose error is at a level."""
    aclr = {"left_hz": [-140e6, -100e6], "right_hz": [100e6, 140e6], "main_hz": [-20e6, 20e6], "window": "Welch, Hann"}
    return {
        "nmse_db": level, "in_band_error_db": level - 3, "evm_db": None, "evm_symbols": None, "evm_percent": None,
        "spectral_evm_db": level - 1, "aclr_convention": "opendpd-spectral-v2", "aclr_left_dbc": level - 5,
        "aclr_right_dbc": level - 4, "aclr_worse_dbc": level - 4, "am_am_spread_db": 0.05, "am_pm_spread_deg": 0.3,
        "compression_db": 0.2, "phase_shift_deg": -3.0, "papr_db": 9.0, "power_change_db": -0.0001,
        "aclr": {"opendpd-spectral-v2": aclr, "general-v1": aclr}, "interval_method": "block bootstrap",
        "intervals": {"nmse_db": [level - 0.2, level + 0.3]}, "missing": {"evm_db": "no complete OFDM symbol"},
    } | more  # fmt: skip


def of_pa() -> dict[str, Any]:
    return {
        "task": "pa", "model": "gru", "capture": {"name": "x"}, "parameters": 10, "macs_per_sample": 9, "lookahead": 0,
        "splits": {"test": {"nmse_db": -40.0, "nmse_opendpd_legacy_db": -39.5, "nmse_as_one_record_db": None,
                            "linearity": scores(-40.0)}},
        "baselines": {
            name: {"test": {"linearity": scores(level)}} for name, level in (("one_tap", -19.0), ("gmp", -38.0))
        },
        "amplifier": {"test": {"measured": scores(-22.0), "model": scores(-22.5)}},
        "floors": [
            {"method": "repeats", "nmse_db": None, "at_most_db": None, "left_db": None, "left_at_least_db": None,
             "caveat": "does not repeat"},
            {"method": "quiet band", "nmse_db": -42.0, "at_most_db": None, "left_db": 2.0, "left_at_least_db": None,
             "caveat": "white"},
            {"method": "smallest inputs", "nmse_db": None, "at_most_db": -41.0, "left_db": None,
             "left_at_least_db": 1.0, "caveat": "additive"},
        ],
    }  # fmt: skip


def of_dpd(**more: Any) -> dict[str, Any]:
    def split(level: float) -> dict[str, Any]:
        return {"nmse_db": level, "power_db": 0.0, "papr_x_db": 9.0, "papr_db": 9.5, "peak": 0.9, "holds_power": True,
                "linearity": scores(level)}  # fmt: skip

    return {
        "task": "dpd", "model": "gru", "capture": {"name": "x"}, "parameters": 10, "macs_per_sample": 9, "lookahead": 0,
        "simulated": True, "learning": "direct", "gain": {"method": "peak", "value": 1.0}, "peak_limit": 1.0,
        "selected_by": "NMSE", "without_spectrum": None, "floors": [],
        "pa": {"path": "runs/pa", "nmse_db": {"val": -40.0, "test": -40.0},
               "gmp_nmse_db": {"val": -38.0, "test": -38.0},
               "weak": False},
        "splits": {"val": split(-41.0), "test": split(-42.0)},
        "baselines": {name: {s: {"linearity": scores(level)} for s in ("val", "test")}
                      for name, level in (("one_tap", -19.0), ("gmp", -38.0))},
    } | more  # fmt: skip


THROUGH = {
    "pa": {"path": "runs/judge", "model": "gru", "same_kind": False, "nmse_db": {"val": -39.0, "test": -39.5}},
    "splits": {split: {"linearity": scores(-38.5)} for split in ("val", "test")},
}


def rows_of(table: Any) -> dict[str, list[str]]:
    return {row[0]: row[1:] for row in table.rows}


def test_a_pa_model_is_shown_with_its_baselines_and_the_measured_amplifier() -> None:
    error, amplifier = score_tables(of_pa())
    assert error.header == ["", "one gain", "gmp", "this run", "95 % interval"]
    assert rows_of(error)["NMSE [dB]"] == ["-19.00", "-38.00", "-40.00", "-40.20 .. -39.70"]
    assert rows_of(error)["NMSE, OpenDPD's legacy [dB]"] == ["", "", "-39.50", ""]
    assert "NMSE, loops ignored [dB]" not in rows_of(error)
    assert amplifier.header == ["", "measured", "this run", "difference"]
    assert rows_of(amplifier)["ACLR worse side [dBc]"] == ["-26.00", "-26.50", "-0.50"]
    assert rows_of(amplifier)["AM/AM spread [dB]"] == ["0.050", "0.050", "+0.000"]
    assert error.header[error.main] == amplifier.header[amplifier.main] == "this run"


def test_a_score_that_no_model_has_takes_no_row_and_its_reason_is_shown() -> None:
    report = of_dpd()
    (table, _) = score_tables(report)
    assert "EVM [dB]" not in rows_of(table)
    assert dict(facts_of_scores(report))["EVM"] == "none: no complete OFDM symbol"
    report["splits"]["val"]["linearity"] |= {"evm_db": -40.0, "evm_percent": 1.0, "evm_symbols": 5}
    (table, _) = score_tables(report)
    assert rows_of(table)["EVM [dB]"] == ["-", "-", "-40.00", ""]
    told = dict(facts_of_scores(report))["EVM"]
    assert told.startswith("val: 1 %, from 5 known OFDM symbols")
    assert "test: none" in told


def test_zero_has_no_minus_sign() -> None:
    report = of_dpd()
    report["splits"]["val"]["linearity"]["intervals"]["power_change_db"] = [-0.02, -0.001]
    (table, _) = score_tables(report)
    assert rows_of(table)["output power over target [dB]"] == ["0.00", "0.00", "0.00", "-0.02 .. 0.00"]


def test_cross_model_validation_has_a_column_and_the_difference() -> None:
    report = of_dpd(through=THROUGH)
    tables = score_tables(report)
    assert len(tables) == 2
    assert tables[1].header == ["", "none", "gmp", "this run", "95 % interval", "cross-model", "change"]
    assert rows_of(tables[1])["NMSE [dB]"] == ["-19.00", "-38.00", "-42.00", "-42.20 .. -41.70", "-38.50", "+3.50"]
    told = dict(facts_of_scores(report))["cross-model"]
    assert "runs/judge (NMSE val -39.00 dB, test -39.50 dB)" in told
    assert "another kind" not in told
    same = copy.deepcopy(THROUGH)
    same["pa"]["same_kind"] = True
    assert "prefer another kind" in dict(facts_of_scores(of_dpd(through=same)))["cross-model"]


def test_bands_window_and_convention_are_in_one_line() -> None:
    told = dict(facts_of_scores(of_pa()))
    assert told["ACLR"] == (
        "opendpd-spectral-v2: -140..-100 and 100..140 over the strongest carrier, -20..20 MHz; Welch, Hann; "
        "--format json has general-v1 too"
    )
    assert "not comparable with an EVM" in told["spectral EVM"]


def test_without_a_bandwidth_the_reason_replaces_the_aclr() -> None:
    report = of_pa()
    report["splits"]["test"]["linearity"] |= {"aclr_convention": None, "aclr": {}, "spectral_evm_db": None,
                                               "missing": {"general-v1": "no bandwidth stated"}}  # fmt: skip
    told = dict(facts_of_scores(report))
    assert told["ACLR"] == "none: no bandwidth stated"
    assert "spectral EVM" not in told


def test_what_a_measurement_may_show_is_the_sum_of_both_errors() -> None:
    told = dict(facts_of_scores(of_dpd()))["measured"]
    assert "val -37.5 dB, test -37.9 dB" in told  # 10^-4.1 + 10^-4.0, and 10^-4.2 + 10^-4.0
    assert "measured" not in dict(facts_of_scores(of_pa()))


def test_a_missing_part_is_a_key_error() -> None:
    report = of_dpd()
    del report["baselines"]["gmp"]
    with pytest.raises(KeyError):
        score_tables(report)


def test_the_score_that_counts_stands_above_the_cold_one() -> None:
    report = of_pa()
    report["splits"]["test"]["with_past"] = {"nmse_db": -42.0, "linearity": scores(-42.0)}
    error, _ = score_tables(report)
    assert rows_of(error)["NMSE [dB]"][2] == "-42.00"
    assert rows_of(error)["NMSE, cold start [dB]"][2] == "-40.00"
    assert "silence" in dict(facts_of_scores(report))["cold start"]
    assert "cold start" not in dict(facts_of_scores(of_pa()))


def test_the_leakage_of_the_signal_itself_is_a_column_with_its_caveat() -> None:
    own = {"aclr_left_dbc": -45.0, "aclr_right_dbc": -44.0, "aclr_worse_dbc": -44.0, "caveat": "it is the signal"}
    pa, dpd = of_pa(), of_dpd()
    pa["amplifier"]["test"]["wanted"] = own
    dpd["splits"]["val"]["wanted"] = dpd["splits"]["test"]["wanted"] = own
    for report, name in ((pa, "input"), (dpd, "wanted")):
        table = score_tables(report)[-1]
        assert table.header[1] == name
        assert rows_of(table)["ACLR worse side [dBc]"][0] == "-44.00"
        assert table.header[table.main] == "this run"
    assert dict(facts_of_scores(dpd))["warning"] == "val, test: it is the signal"
