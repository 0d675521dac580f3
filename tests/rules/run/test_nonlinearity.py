"""Rules on the nonlinearity of a prediction, from plain facts; on signals: test_signal_faults.py."""

from __future__ import annotations

from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_signal

CUT: dict[str, Any] = {"clipped_samples": 267, "clip_level": 1.5}
LEVELS: dict[str, Any] = {"target_gain_db": (1.0, 0.0), "model_gain_db": (0.5, 0.5), "gain_nmse_db": -19.0}
LINEAR: dict[str, Any] = {"linear_nmse_db": -22.0, "polynomial_nmse_db": -40.0, "nonlinear_share": 0.1}
STATIC: dict[str, Any] = {"polynomial_nmse_db": -40.0, "target_spread_db": -30.0, "model_spread_db": -45.0}


def found(**facts: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_signal(**facts), about="signal").findings}


def skipped(**facts: Any) -> dict[str, str]:
    return {skip.code: skip.reason for skip in diagnose_facts(example_signal(**facts), about="signal").skipped}


@pytest.mark.parametrize(("short", "fires"), [(0.85, True), (0.05, False), (-1.0, False)])
def test_cut_peaks_are_those_that_the_target_exceeds(short: float, fires: bool) -> None:
    assert ("SG207" in found(**CUT, clip_short_db=short)) is fires


@pytest.mark.parametrize(("share", "severity"), [(0.49, None), (0.51, "warning"), (0.91, "error")])
def test_share_of_the_gain_by_level(share: float, severity: str | None) -> None:
    finding = found(**LEVELS, level_share=share).get("SG208")
    assert (finding and finding.severity) == severity
    if finding:
        assert "varies by 1.00 dB in the target and by 0.00 dB in the prediction" in finding.message


def test_message_gives_the_phase_where_it_is_known() -> None:
    """Some amplifiers turn by 20 degrees where their gain moves by 0.2 dB."""
    turned = {"target_gain_deg": (0.0, 18.4), "model_gain_deg": (3.0, 3.5)}
    message = found(**LEVELS, level_share=0.8, **turned)["SG208"].message
    assert "1.00 dB and 18.4 degrees in the target and by 0.00 dB and 0.5 degrees in the prediction" in message


@pytest.mark.parametrize(
    ("model", "patch"),
    [
        ({"features": "iq", "embedding": "linear"}, {"model.features": "envelope"}),
        ({"features": "envelope", "embedding": "layernorm_mlp"}, {"model.embedding": "linear"}),
        ({"features": "envelope", "embedding": "linear"}, {}),  # what is there already is no advice
        ({"features": "iq"}, {"model.features": "envelope"}),  # a GRU
        ({}, {}),  # files
    ],
)
def test_patch_is_what_the_recipe_lacks(model: dict[str, Any], patch: dict[str, str]) -> None:
    assert found(**LEVELS, level_share=0.8, **model)["SG208"].patch == patch
    assert found(**LINEAR, judged_nmse_db=-22.0, **model)["SG209"].patch == patch


def test_unlike_signals_have_no_gain_to_compare() -> None:
    assert "hardly resembles" in skipped(**{**LEVELS, "gain_nmse_db": -0.5}, level_share=0.9)["SG208"]


@pytest.mark.parametrize(
    ("now", "share", "fires"), [(-22.5, 0.1, True), (-23.5, 0.1, False), (-22.5, 0.6, False), (-10.0, 0.0, True)]
)
def test_linear_prediction(now: float, share: float, fires: bool) -> None:
    assert ("SG209" in found(**{**LINEAR, "nonlinear_share": share}, judged_nmse_db=now)) is fires


@pytest.mark.parametrize("facts", [{"polynomial_nmse_db": -22.5}, {"nonlinear_share": None}])
def test_linear_target_says_nothing_of_the_model(facts: dict[str, Any]) -> None:
    assert "too linear" in skipped(**{**LINEAR, **facts}, judged_nmse_db=-20.0)["SG209"]


def test_level_goes_before_linear_and_linear_before_memory() -> None:
    assert set(found(**LEVELS, **LINEAR, level_share=0.8, judged_nmse_db=-20.0)) == {"SG208"}
    assert set(found(**STATIC, linear_nmse_db=-22.0, nonlinear_share=0.1, judged_nmse_db=-22.0)) == {"SG209"}


@pytest.mark.parametrize(
    ("facts", "fires"),
    [
        ({}, True),
        ({"model_spread_db": -35.0}, False),
        ({"judged_nmse_db": -33.0}, False),
        ({"polynomial_nmse_db": -32.0}, False),
    ],
)
def test_prediction_without_memory(facts: dict[str, Any], fires: bool) -> None:
    assert ("SG210" in found(**{**STATIC, "judged_nmse_db": -30.0, **facts})) is fires


@pytest.mark.parametrize(
    ("facts", "fires"),
    [
        ({"gain_db": -0.6}, True),
        ({"gain_db": 0.2}, False),
        ({"gain_db": 0.1, "judged_nmse_db": -30.0, "gain_nmse_db": -45.0}, True),
    ],
)
def test_wanted_gain(facts: dict[str, Any], fires: bool) -> None:
    said = found(wanted_gain_db=12.0, **facts)
    assert ("SG211" in said) is fires
    assert "SG206" not in said, "one finding for one wrong gain"
