"""Rules on where the error is and which repair it lacks, from plain facts; on signals: test_signal_faults.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dpdrun.diagnosis.diagnose import diagnose_facts
from dpdrun.rules.engine import Finding
from dpdrun.rules.examples import example_run, example_signal
from dpdrun.rules.facts.signal import SignalFacts
from dpdrun.rules.run.alignment import off_scale_db


def found(**facts: Any) -> dict[str, Finding]:
    return {finding.code: finding for finding in diagnose_facts(example_signal(**facts), about="signal").findings}


def test_sound_prediction_has_no_finding_and_every_rule_is_accounted_for() -> None:
    this = diagnose_facts(example_signal(), about="signal")
    assert this.findings == []
    assert len(this.healthy) + len(this.skipped) == 12


def test_run_without_facts_says_where_they_come_from() -> None:
    skipped = {skip.code: skip.reason for skip in diagnose_facts(example_run()).skipped}
    assert "report.json, or --prediction and --target" in skipped["SG202"]


@pytest.mark.parametrize(
    ("pieces", "severity"), [(-36.0, None), (-39.9, None), (-40.1, "warning"), (-43.9, "warning"), (-44.1, "error")]
)
def test_pieces_that_are_better_than_the_record(pieces: float, severity: str | None) -> None:
    finding = found(nmse_db=-38.0, pieces_nmse_db=pieces, frame=200).get("SG201")
    assert (finding and finding.severity) == severity
    if finding:
        assert finding.patch == {"train.eval_on": "frame"}
        assert "frames of 200" in finding.message


def test_full_attention_is_named_as_the_cause() -> None:
    facts: dict[str, Any] = {"nmse_db": -2.0, "pieces_nmse_db": -14.0, "frame": 200}
    assert "attends to the complete record" in found(**facts, full_attention=True)["SG201"].message
    assert "attends" not in found(**facts, full_attention=False)["SG201"].message


def test_pieces_go_before_the_rise() -> None:
    facts: dict[str, Any] = {"start_samples": 192, "rise_db": 20.0, "rise_z": 50.0}
    assert set(found(**facts)) == {"SG202"}
    assert set(found(**facts, nmse_db=-10.0, pieces_nmse_db=-20.0, frame=200)) == {"SG201"}


@pytest.mark.parametrize(("db", "z", "fires"), [(6.1, 6.1, True), (5.9, 60.0, False), (20.0, 5.9, False)])
def test_rise_needs_size_and_certainty(db: float, z: float, fires: bool) -> None:
    assert ("SG202" in found(start_samples=500, rise_db=db, rise_z=z)) is fires


EDGES: dict[str, Any] = {"period": 256, "period_edge": 16, "period_at": 0}


@pytest.mark.parametrize(
    ("db", "cost", "z", "fires"),
    [(6.1, 1.1, 6.1, True), (5.9, 3.0, 50.0, False), (20.0, 0.9, 50.0, False), (20.0, 3.0, 5.9, False)],
)
def test_repeating_error_needs_size_cost_and_certainty(db: float, cost: float, z: float, fires: bool) -> None:
    assert ("SG203" in found(**EDGES, period_db=db, period_cost_db=cost, period_z=z)) is fires


@pytest.mark.parametrize(
    ("piece", "full", "patch"),
    [
        (256, False, {"train.eval_on": "record"}),
        (256, True, {}),  # which would be worse on the record
        (None, None, {}),
        (100, False, {}),
    ],
)
def test_record_is_advised_to_models_that_can(piece: int | None, full: bool | None, patch: dict[str, str]) -> None:
    strength: dict[str, Any] = {"period_db": 20.0, "period_cost_db": 8.0, "period_z": 99.0}
    finding = found(**EDGES, **strength, piece=piece, full_attention=full)["SG203"]
    assert finding.patch == patch
    assert finding.fix == ("unsafe" if patch else "none")


@pytest.mark.parametrize(("lag", "severity", "word"), [(1.0, "error", "late"), (-0.2, "warning", "early")])
def test_shift(lag: float, severity: str, word: str) -> None:
    finding = found(lag_samples=lag, lag_nmse_db=-30.0, unshifted_nmse_db=-20.0)["SG204"]
    assert (finding.severity, f"{abs(lag):.2f} samples {word}" in finding.message) == (severity, True)
    assert "SG204" not in found(lag_samples=lag, lag_nmse_db=-22.9, unshifted_nmse_db=-20.0)
    assert "SG204" not in found(lag_samples=0.01, lag_nmse_db=-30.0, unshifted_nmse_db=-20.0)


@pytest.mark.parametrize(
    ("deg", "what"),
    [(3.0, "Q is negated"), (-178.0, "I is negated"), (90.0, "are swapped"), (-91.0, "are swapped")],
)
def test_angle_says_what_was_exchanged(deg: float, what: str) -> None:
    finding = found(mirrored=True, mirror_nmse_db=-30.0, mirror_deg=deg, gain_nmse_db=0.0)["SG205"]
    assert what in finding.message


def test_mirror_silences_what_follows_from_it() -> None:
    facts = {"mirrored": True, "mirror_nmse_db": -30.0, "mirror_deg": 0.0, "judged_nmse_db": 3.0, "gain_nmse_db": -0.1}
    shift = {"lag_samples": 1600.0, "lag_nmse_db": -5.0, "unshifted_nmse_db": 0.0}
    assert set(found(**facts, **shift)) == {"SG205"}


def test_shrinking_noise_is_no_scale() -> None:
    """p = y + e with e as strong as y: the best factor is 1/2 and gains 3 dB, none of it from a wrong scale."""
    half = SignalFacts(samples=1, nmse_db=0.0, judged_nmse_db=0.0, gain_nmse_db=-3.0103)
    assert off_scale_db(half) == pytest.approx(0.0, abs=1e-3)
    assert off_scale_db(SignalFacts(samples=1, nmse_db=0.0)) < -100


@pytest.mark.parametrize(("after", "severity"), [(-22.9, None), (-23.2, "warning"), (-30.5, "error")])
def test_scale(after: float, severity: str | None) -> None:
    finding = found(judged_nmse_db=-20.0, gain_nmse_db=after, gain_db=0.83, gain_deg=1.0).get("SG206")
    assert (finding and finding.severity) == severity
    if finding:
        assert "0.83 dB above" in finding.message
        assert "-0.83 dB" in finding.advice


EARLY: dict[str, Any] = {"lead_samples": 6, "present_nmse_db": -0.1, "ahead_nmse_db": -20.0}


@pytest.mark.parametrize(
    ("facts", "severity"),
    [
        ({"judged_nmse_db": -5.7}, "error"),
        ({"judged_nmse_db": -30.0}, "info"),  # it found a way around it
        ({"judged_nmse_db": -5.7, "lookahead": 5}, "error"),
        ({"judged_nmse_db": -5.7, "lookahead": 6}, None),
        ({"judged_nmse_db": -5.7, "present_nmse_db": -18.0}, None),
        ({"judged_nmse_db": -5.7, "lead_samples": None}, None),
    ],
)
def test_target_that_comes_before_its_input(facts: dict[str, Any], severity: str | None) -> None:
    finding = found(**{**EARLY, **facts}).get("SG212")
    assert (finding and finding.severity) == severity
    if finding:
        assert "the target leads the input by 6 samples" in finding.message
        assert "remove 6 samples from the start of the input" in finding.advice


def test_early_target_goes_before_what_follows_from_it() -> None:
    late = {"lag_samples": 0.5, "lag_nmse_db": -12.0, "unshifted_nmse_db": -5.0}
    linear = {"linear_nmse_db": -21.0, "polynomial_nmse_db": -38.0, "nonlinear_share": 0.0}
    assert set(found(**EARLY, **late, **linear, judged_nmse_db=-5.0)) == {"SG212"}


@pytest.mark.parametrize(
    ("kind", "full", "patch"), [("transformer", False, 6), ("transformer", True, None), ("gru", None, None)]
)
def test_lookahead_is_advised_to_models_that_have_it(kind: str, full: bool | None, patch: int | None) -> None:
    run = replace(example_signal(**EARLY, judged_nmse_db=-5.0, full_attention=full), kind=kind)
    (finding,) = (each for each in diagnose_facts(run, about="signal").findings if each.code == "SG212")
    assert finding.patch.get("model.lookahead") == patch
