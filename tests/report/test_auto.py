"""What the terminal and the page of `dpdrun auto` say about the gmp."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.report.auto import behind_the_gmp


def content(nmse_db: float, aclr_dbc: float) -> dict[str, Any]:
    """Content of auto.json with a gmp of -40 dB and -45 dBc on the validation split."""

    def report(nmse: float, aclr: float) -> dict[str, Any]:
        scores = {"nmse_db": nmse, "in_band_error_db": None, "aclr_worse_dbc": aclr}
        return {"splits": {"val": {"linearity": scores}}}

    size = {"parameters": 500, "macs_per_sample": 700}
    return {
        "scores": {"own": {"dpd_gmp": report(-40.0, -45.0), "dpd": report(nmse_db, aclr_dbc)}},
        "steps": {"dpd_gmp": {"parameters": 1488, "macs_per_sample": 1584}, "dpd": size},
    }


@pytest.mark.parametrize(
    ("nmse_db", "aclr_dbc", "said"), [(-42.0, -47.0, ""), (-42.0, -43.5, "ACLR worse side by 1.5 dB")]
)
def test_a_better_gmp_is_named_with_what_helps(nmse_db: float, aclr_dbc: float, said: str) -> None:
    found = behind_the_gmp(content(nmse_db, aclr_dbc))
    assert bool(found) == bool(said)
    assert all(said in each and "--minutes" in each and "1,488 parameters" in each for each in found)
