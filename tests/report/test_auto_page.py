"""What the page of `dpdrun auto` says of the simulation."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.report.auto_page import _target, _with_interval, trust
from dpdrun.report.figures.page import html_table
from dpdrun.report.scores import NMSE


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


def test_intervals_stand_below_their_numbers() -> None:
    assert (
        _with_interval(NMSE, {"nmse_db": -40.0, "intervals": {"nmse_db": [-41.0, -39.0]}})
        == "-40.00\n(-41.00 .. -39.00)"
    )
    assert 'class="number"' in html_table(
        "", ["NMSE"], [["-40.00\n(-41.00 .. -39.00)"], ["-24.09\n(-24.28 .. -23.90)"]]
    )


@pytest.mark.parametrize(
    ("fixed", "said"), [(None, "700: 680 multiply-accumulates (MACs) of weights and attention, 20 of"),
                        ({"settings": {"weights": 8, "activations": 8}, "cost": {"weight_bytes": 1, "state_bytes": 1}},
                         "700, without keys whose attention is 0")]
)  # fmt: skip
def test_multiplications_add_up(fixed: dict[str, Any] | None, said: str) -> None:
    size = {"tables": 1, "state": 2}
    exported = {"path": "dpd.c", "bytes": 1, "verified_samples": 1, "error": 0.0, "fixed": fixed,
                "c": {"multiplications_per_sample": 700, "bytes": size}}  # fmt: skip
    facts = dict(_target({"exported": exported, "steps": {"dpd": {"macs_per_sample": 680}}}))
    assert facts["multiplications per sample"].startswith(said)
