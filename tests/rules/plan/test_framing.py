"""Frames and burn-in: how they fit together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules.advice import derive
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import framing


def test_full_attention_has_no_burn_in() -> None:
    facts = derive(
        PlanFacts(kind="transformer", d_model=32, layers=2, window=math.inf, samples=50_000), "measured"
    ).facts
    assert facts.burn_in == 0


@given(
    samples=st.integers(2, 10**6),
    layers=st.integers(1, 8),
    window=st.integers(1, 300),
    frame=st.none() | st.integers(2, 2000),
)
def test_frame_always_leaves_samples_for_the_loss(samples: int, layers: int, window: int, frame: int | None) -> None:
    start = PlanFacts(kind="transformer", d_model=8, layers=layers, window=window, conv=4, samples=samples, frame=frame)
    facts = derive(start, "measured").facts
    assert facts.burn_in is not None
    assert facts.frame is not None
    assert facts.frame >= 2
    assert 0 <= facts.burn_in < facts.frame
    assert facts.frame == frame or facts.frame <= max(2, samples)
    if frame is None and samples >= 10**5:
        assert facts.burn_in == facts.context
        assert facts.frame >= framing.FRAME_PER_UNSCORED * facts.burn_in


@pytest.mark.parametrize(("epochs", "max_steps"), [(50.0, None), (None, 2000)])
def test_longer_frames_keep_the_length_of_the_run(epochs: float | None, max_steps: int | None) -> None:
    facts = {"window": 100, "frame": 128, "samples": 60_000, "epochs": epochs, "max_steps": max_steps, "batch": 8}
    before = derive(PlanFacts(kind="transformer", d_model=8, layers=2, conv=4, **facts), "measured").facts  # type: ignore[arg-type]
    after = before.with_patch(checked(**facts)["FR101"].patch)
    assert after.frame is not None
    assert after.frame > 128
    assert before.total_steps is not None
    assert after.total_steps == pytest.approx(before.total_steps, rel=0.02)


def checked(**facts: object) -> dict[str, Finding]:
    base: dict[str, object] = {"kind": "transformer", "d_model": 8, "layers": 2, "window": 32, "conv": 4}
    advice = derive(PlanFacts(**(base | facts)), "measured")  # type: ignore[arg-type]
    return {finding.code: finding for finding in advice.warnings if finding.code.startswith("FR")}


@pytest.mark.parametrize(("frame", "flagged"), [(65, True), (66, False)])
def test_frame_against_a_receptive_field_of_65(frame: int, flagged: bool) -> None:
    assert ("FR101" in checked(frame=frame, burn_in=32)) is flagged


def test_full_attention_has_no_receptive_field_to_compare() -> None:
    assert checked(window=math.inf, frame=16, burn_in=0) == {}


@pytest.mark.parametrize(
    ("frame", "burn_in", "flagged"),
    [(256, 0, True), (261, 0, False), (256, 2, False), (128, 64, False), (100, None, True), (512, 65, False)],
)
def test_a_quarter_of_the_loss_may_lack_context(frame: int, burn_in: int | None, flagged: bool) -> None:
    assert ("FR102" in checked(frame=frame, burn_in=burn_in)) is flagged


def test_burn_in_alone_where_the_frame_is_long_enough() -> None:
    assert checked(frame=256, burn_in=0)["FR102"].patch == {"train.burn_in": 65}
    assert checked(frame=128, burn_in=0)["FR102"].patch == {"train.frame": 256, "train.burn_in": 65}


def test_short_frame_becomes_three_times_the_receptive_field() -> None:
    finding = checked(layers=4, window=64, frame=200, burn_in=0, samples=58_980)["FR101"]
    assert finding.patch["train.frame"] == 1024
    assert finding.patch["train.burn_in"] == 255


def test_record_that_is_too_short_has_no_patch() -> None:
    finding = checked(frame=60, burn_in=0, samples=400)["FR101"]
    assert (finding.patch, finding.fix) == ({}, "none")
    assert "smaller model.window" in finding.advice


@given(
    layers=st.integers(1, 8),
    window=st.integers(1, 200),
    frame=st.integers(2, 3000),
    burn=st.integers(0, 3000),
    samples=st.none() | st.integers(300, 10**6),
)
def test_advised_frame_and_burn_in_settle_the_matter(
    layers: int, window: int, frame: int, burn: int, samples: int | None
) -> None:
    facts: dict[str, object] = {"layers": layers, "window": window, "frame": frame, "burn_in": min(burn, frame - 1)}
    for finding in checked(**facts, samples=samples).values():
        changed = {key.removeprefix("train."): value for key, value in finding.patch.items()}
        assert not changed or checked(**(facts | changed), samples=samples) == {}


@pytest.mark.parametrize(("burn_in", "flagged"), [(0, True), (1, False), (64, False)])
def test_state_of_a_gru_settles_before_the_loss(burn_in: int, flagged: bool) -> None:
    found = derive(PlanFacts(kind="gru", hidden=8, frame=100, burn_in=burn_in), "measured").warnings
    assert [(f.code, f.severity, f.patch) for f in found] == (
        [("FR103", "info", {"train.burn_in": 50})] if flagged else []
    )


def test_burn_in_names_only_the_sizes_that_are_missing() -> None:
    known = derive(PlanFacts(kind="transformer", d_model=16, layers=2), "measured")
    assert {s.code: s.reason for s in known.skipped}["FR001"] == "needs model.window (--window)"
    none = derive(PlanFacts(kind="transformer", d_model=16), "measured")
    assert {s.code: s.reason for s in none.skipped}["FR001"] == (
        "needs model.layers (--layers) and model.window (--window)"
    )
