"""What the page of `dpdrun auto` says of the simulation."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.report.auto_page import trust


def scores(nmse_db: float, aclr_dbc: float | None) -> dict[str, Any]:
    linearity = {} if aclr_dbc is None else {"aclr_worse_dbc": aclr_dbc}
    return {"splits": {"test": {"nmse_db": nmse_db, "linearity": linearity}}, "pa": {"nmse_db": {"test": -39.0}}}


@pytest.mark.parametrize(
    ("own", "judged", "said"),
    [
        (scores(-48.6, -45.2), scores(-48.0, -44.4), "agree, NMSE -48.6 dB and ACLR -45.2 dBc through"),
        (scores(-48.6, -45.2), scores(-38.6, -44.4), "differ, NMSE -48.6 dB and ACLR -45.2 dBc through"),
        (scores(-48.6, -45.2), scores(-48.0, -40.0), "differ"),
        (scores(-48.6, None), scores(-48.0, None), "agree, NMSE -48.6 dB through"),
    ],
)
def test_pa_models_agree_in_both_figures_or_differ(own: dict[str, Any], judged: dict[str, Any], said: str) -> None:
    text = trust(own, judged, "gru")
    assert f"PA models {said}" in text
    assert "independent one (gru, its own error -39.0 dB)" in text
