"""Epochs, scorings and checkpoints: enough of each, and never more than the run holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules.advice import derive
from dpdrun.rules.facts.plan import PlanFacts
from dpdrun.rules.plan import length


@pytest.mark.parametrize("kind", ["transformer", "gru"])
def test_epochs_give_the_steps_that_were_needed(kind: str) -> None:
    facts = derive(
        PlanFacts(kind=kind, d_model=16, hidden=8, window=32, layers=2, conv=4, samples=58_980), "measured"
    ).facts
    assert facts.total_steps == pytest.approx(length.TARGET_STEPS[kind], rel=0.01)


def test_max_steps_leaves_epochs_open() -> None:
    advice = derive(PlanFacts(kind="gru", hidden=8, samples=58_980, max_steps=77), "measured")
    assert advice.facts.epochs is None
    assert advice.facts.total_steps == 77


@given(st.integers(1, 10**6))
def test_scorings_and_checkpoints_fit_the_run(total: int) -> None:
    facts = derive(PlanFacts(kind="gru", hidden=8, max_steps=total), "measured").facts
    assert facts.eval_every is not None
    assert facts.checkpoint_every is not None
    assert 1 <= facts.eval_every <= total
    assert total / facts.eval_every <= length.EVALUATIONS
    assert facts.eval_every >= min(total, length.LEAST_BETWEEN_EVALUATIONS)
    assert facts.checkpoint_every < total
    assert facts.checkpoint_every == 0 or total / facts.checkpoint_every <= length.CHECKPOINTS
