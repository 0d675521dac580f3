"""The measured learning rates: their validity boxes, and what answers outside them."""

from __future__ import annotations

import pytest

from dpdrun.rules import learning_rate, sources
from dpdrun.rules.advice import Opinion, derive
from dpdrun.rules.facts import PlanFacts


def measured(**facts: object) -> dict[str, Opinion]:
    return derive(PlanFacts(**facts), "measured").opinions  # type: ignore[arg-type]


LOW, HIGH = sources.MEASURED_WIDTHS


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


def test_log_midpoint_has_two_digits() -> None:
    assert learning_rate.log_midpoint(5e-5, 1e-4) == 7.1e-5
    assert learning_rate.log_midpoint(1e-3, 1e-1) == 1e-2
