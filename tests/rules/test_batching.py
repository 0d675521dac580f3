"""Frames, burn-in and batch: how they fit together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules import batching
from dpdrun.rules.advice import derive
from dpdrun.rules.facts import PlanFacts


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
        assert facts.frame >= batching.FRAME_PER_UNSCORED * facts.burn_in


@pytest.mark.parametrize(("kind", "rules", "batch"), [("transformer", "note", 256), ("gru", "note", 256)])
def test_batch_of_the_note(kind: str, rules: str, batch: int) -> None:
    assert derive(PlanFacts(kind=kind), rules).facts.batch == batch


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_batch_of_our_sweeps_is_smaller(kind: str) -> None:
    batch = derive(PlanFacts(kind=kind, d_model=16, hidden=16), "measured").facts.batch
    assert batch is not None
    assert batch < batching.NOTE_BATCH


def test_batch_of_a_width_that_was_not_trained_is_the_notes() -> None:
    assert derive(PlanFacts(kind="transformer", d_model=512), "measured").facts.batch == batching.NOTE_BATCH
