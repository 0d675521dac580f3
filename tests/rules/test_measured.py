"""The measured rules: validity boxes, what happens outside them, and how lengths fit together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpdrun.rules import batching, learning_rate, length
from dpdrun.rules.advice import Opinion, derive
from dpdrun.rules.facts import PlanFacts


def measured(**facts: object) -> dict[str, Opinion]:
    return derive(PlanFacts(**facts), "measured").opinions  # type: ignore[arg-type]


LOW, HIGH = learning_rate.MEASURED_WIDTHS


@pytest.mark.parametrize("d_model", [LOW, 16, 32, HIGH])
def test_measured_widths_have_a_measured_rate_inside_its_range(d_model: int) -> None:
    lr = measured(kind="transformer", d_model=d_model)["optim.lr"]
    assert (lr.rule, lr.evidence) == ("LR010", "measured")
    assert lr.detail["low"] <= lr.value <= lr.detail["high"]
    assert lr.value > learning_rate.NOTE_SMALL_LR


@pytest.mark.parametrize(
    ("d_model", "lr"), [(LOW - 1, 3e-4), (HIGH + 1, 3e-4), (511, 3e-4), (512, 1e-4), (1024, 7.1e-5)]
)
def test_unmeasured_widths_have_the_notes_rate(d_model: int, lr: float) -> None:
    opinion = measured(kind="transformer", d_model=d_model)["optim.lr"]
    assert (opinion.value, opinion.rule, opinion.evidence) == (lr, "LR001", "cited")


def test_bands_cover_the_box_and_rates_fall_with_width() -> None:
    tops = [band[0] for band in learning_rate.MEASURED_BANDS]
    rates = [band[1] for band in learning_rate.MEASURED_BANDS]
    assert tops == sorted(tops)
    assert tops[-1] == HIGH
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(("hidden", "code"), [(7, "LR002"), (8, "LR011"), (32, "LR011"), (33, "LR002")])
def test_grus_have_their_own_rates(hidden: int, code: str) -> None:
    assert measured(kind="gru", hidden=hidden)["optim.lr"].rule == code


def test_a_given_value_is_left_alone() -> None:
    advice = derive(PlanFacts(kind="transformer", d_model=32, lr=1.0, batch=3), "measured")
    assert "optim.lr" not in advice.opinions
    assert (advice.facts.lr, advice.facts.batch) == (1.0, 3)


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
        assert facts.frame >= batching.FRAME_PER_BURN_IN * facts.burn_in


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
