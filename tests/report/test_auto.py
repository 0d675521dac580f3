"""What the terminal and the page of `dpdrun auto` say about a predistorter that is behind."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.report.auto import shortfalls


def content(nmse_db: float, aclr_dbc: float) -> dict[str, Any]:
    """Content of auto.json on the validation split: a gmp of -40 dB and -45 dBc, -20 dB and -32 dBc without."""

    def report(nmse: float, aclr: float) -> dict[str, Any]:
        scores = {"nmse_db": nmse, "in_band_error_db": None, "aclr_worse_dbc": aclr}
        none = {"nmse_db": -20.0, "in_band_error_db": None, "aclr_worse_dbc": -32.0}
        return {"splits": {"val": {"linearity": scores}}, "baselines": {"one_tap": {"val": {"linearity": none}}}}

    size = {"parameters": 500, "macs_per_sample": 700}
    return {
        "scores": {"own": {"dpd_gmp": report(-40.0, -45.0), "dpd": report(nmse_db, aclr_dbc)}},
        "steps": {"dpd_gmp": {"parameters": 1488, "macs_per_sample": 1584}, "dpd": size},
    }


@pytest.mark.parametrize(
    ("nmse_db", "aclr_dbc", "said"), [(-42.0, -47.0, ""), (-42.0, -43.5, "ACLR worse side by 1.5 dB")]
)
def test_a_better_gmp_is_named_with_what_helps(nmse_db: float, aclr_dbc: float, said: str) -> None:
    found = shortfalls(content(nmse_db, aclr_dbc))
    assert bool(found) == bool(said)
    assert all(said in each and "--minutes" in each and "1,488 parameters" in each for each in found)


def test_worse_than_no_predistortion_comes_first() -> None:
    first, second = shortfalls(content(-19.0, -25.0))
    assert first.startswith("Do not use this predistorter")
    assert ": NMSE by 1.0 dB, ACLR worse side by 7.0 dB" in first
    assert second.startswith("The gmp")
