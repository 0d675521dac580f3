"""Batches: what they are, and those of the note's size."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dpdrun.rules.advice import derive
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import batching


@pytest.mark.parametrize(("kind", "rules", "batch"), [("transformer", "note", 256), ("gru", "note", 256)])
def test_batch_of_the_note(kind: str, rules: str, batch: int) -> None:
    assert derive(PlanFacts(kind=kind), rules).facts.batch == batch


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_batch_of_our_sweeps_is_smaller(kind: str) -> None:
    batch = derive(PlanFacts(kind=kind, d_model=16, hidden=16), "measured").facts.batch
    assert batch is not None
    assert batch < batching.NOTE_BATCH


def test_a_batch_that_is_more_than_a_pass_says_so() -> None:
    """The note counts overlapping frames; ours do not overlap."""
    known = derive(PlanFacts(kind="transformer", d_model=512, frames=100), "note").opinions["train.batch_size"]
    assert known.value == 256
    assert "2.6 passes of 100 frames" in known.why
    enough = derive(PlanFacts(kind="transformer", d_model=512, frames=256), "note").opinions["train.batch_size"]
    assert "passes" not in enough.why


def test_full_attention_has_the_notes_batch() -> None:
    assert derive(PlanFacts(kind="transformer", d_model=16, window=math.inf), "measured").facts.batch == 256


def test_batch_of_a_width_that_was_not_trained_is_the_notes() -> None:
    assert derive(PlanFacts(kind="transformer", d_model=512), "measured").facts.batch == batching.NOTE_BATCH


@pytest.mark.parametrize(
    ("facts", "flagged"),
    [
        ({"batch": 256}, True),
        ({"batch": 255}, False),
        ({"batch": 1024, "frame": None}, True),
        ({"batch": 256, "d_model": 512}, False),
        ({"batch": 256, "window": math.inf}, False),
    ],
)
def test_a_batch_as_if_frames_overlapped(facts: dict[str, Any], flagged: bool) -> None:
    base: dict[str, Any] = {"kind": "transformer", "d_model": 16, "layers": 2, "window": 32, "frame": 256}
    found = {f.code: f for f in derive(PlanFacts(**(base | facts)), "measured").warnings}
    assert ("BT102" in found) is flagged
    if flagged:
        assert (found["BT102"].severity, found["BT102"].fix) == ("info", "none")
        assert f"8 frames in {facts['batch'] // 8} times the steps" in found["BT102"].advice
    assert "BT102" not in {f.code for f in derive(PlanFacts(**(base | facts)), "note").warnings}
