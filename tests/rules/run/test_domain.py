"""Validation NMSE against one complex gain, a GMP, and the noise."""

from __future__ import annotations

from typing import Any

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.words import PLUG_IN


def findings(**run: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_run(**run)).findings}


def scored(*values: float, **run: Any) -> dict[str, Finding]:
    steps = [100 * (i + 1) for i in range(len(values))]
    return findings(eval_step=steps, eval_nmse_db=list(values), **run)


def test_worse_than_one_complex_gain_is_an_error() -> None:
    found = scored(1.5, -7.1, one_tap_db=-19.7, gmp_db=-38.0)
    assert found["DM201"].severity == "error"
    assert "DM202" not in found  # said already
    assert "DM201" not in scored(1.5, -19.8, one_tap_db=-19.7)


def test_first_steps_are_skipped() -> None:
    assert "DM201" not in scored(1.5, one_tap_db=-19.7, steps=100, total=1001)
    assert "DM201" in scored(1.5, one_tap_db=-19.7, steps=100, total=1000)


def test_worse_than_gmp_is_a_warning_when_finished() -> None:
    assert scored(-30.0, -36.0, gmp_db=-38.0)["DM202"].severity == "warning"
    assert "dpdrun recommend" in scored(-30.0, -36.0, gmp_db=-38.0)["DM202"].advice
    assert "dpdrun probe" in scored(-30.0, -36.0, gmp_db=-38.0, kind=PLUG_IN)["DM202"].advice
    assert "DM202" not in scored(-30.0, -36.0, gmp_db=-38.0, steps=400, total=800)
    assert "DM202" not in scored(-30.0, -37.95, gmp_db=-38.0)  # noise


def test_at_the_noise_floor_names_the_step() -> None:
    finding = scored(-30.0, -39.6, -39.9, floor_db=-40.0)["DM203"]
    assert (finding.severity, finding.step) == ("info", 200)
    assert "DM203" not in scored(-30.0, -38.4, floor_db=-40.0)


def test_a_predistorter_is_not_healthy_by_one_number_alone() -> None:
    better = {"NMSE": (-20.0, -38.0), "ACLR left": (-31.9, -48.0)}
    assert "DM204" not in findings(linearized=better)
    assert "DM204" not in findings()
    found = findings(linearized=better | {"ACLR right": (-31.7, -31.7)})["DM204"]
    assert found.severity == "warning"
    assert "ACLR right -31.70 against -31.70" in found.message
    assert "NMSE" not in found.message


def test_an_ideal_input_is_better_than_the_pa_model_is_accurate() -> None:
    found = findings(ilc_db=-33.4, pa_db=-39.7)["DM205"]
    assert found.severity == "warning"
    assert "a network if the PA model is a gmp" in (found.advice or "")
    assert "DM205" not in findings(ilc_db=-39.9, pa_db=-35.4)
    assert "DM205" not in findings(pa_db=-35.4)  # of another learning


def test_where_nothing_explains_the_output_it_is_the_data() -> None:
    found = scored(0.2, -0.4, one_tap_db=-0.1, gmp_db=-0.3)["DM201"]
    assert "dpdrun data align" in (found.advice or "")
    assert "model." not in (found.advice or "")
    assert "data align SOURCE" not in (scored(0.2, -5.0, one_tap_db=-19.7, gmp_db=-38.0)["DM201"].advice or "")


def test_advice_does_not_name_what_is_set() -> None:
    asked = scored(1.5, -7.1, one_tap_db=-19.7, gmp_db=-38.0)["DM201"].advice or ""
    assert "model.features: envelope" in asked
    kept = {"model.window": "32", "model.positions": "relative", "model.embedding": "linear",
            "model.features": "envelope", "model.skip": "on"}  # fmt: skip
    advice = scored(1.5, -7.1, one_tap_db=-19.7, gmp_db=-38.0, settings=kept)["DM201"].advice or ""
    assert "model." not in advice
    assert "learning rate" in advice
