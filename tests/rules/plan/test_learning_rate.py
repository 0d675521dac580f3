"""The measured learning rates: their validity boxes, and what answers outside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpdrun.rules import sources
from dpdrun.rules.advice import Opinion, derive
from dpdrun.rules.catalogue import find_rule
from dpdrun.rules.plan import learning_rate
from dpdrun.rules.plan_facts import PlanFacts


def measured(**facts: object) -> dict[str, Opinion]:
    return derive(PlanFacts(**facts), "measured").opinions  # type: ignore[arg-type]


ROOT = Path(__file__).parents[3]
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


def sweep(kind: str) -> dict[int, dict[float, float]]:
    """Validation NMSE [dB] by width and learning rate, from the results of the study."""
    content = json.loads((ROOT / "benchmarks" / "learning_rate" / "results.json").read_text(encoding="utf-8"))
    scores: dict[int, dict[float, float]] = {}
    for name, run in content.items():
        family, width, lr = name.split("/")
        if family == kind:
            assert run["steps"] == 1000
            scores.setdefault(int(width), {})[float(lr)] = run["val_nmse_db"]
    return scores


@pytest.mark.parametrize(
    ("kind", "rates", "box"),
    [
        ("transformer", learning_rate.TRANSFORMER_RATES, sources.MEASURED_WIDTHS),
        ("gru", learning_rate.GRU_RATES, find_rule("LR011").box["hidden"]),
    ],
)
def test_rates_are_those_of_the_sweep(kind: str, rates: dict[int, tuple[float, float]], box: tuple[int, int]) -> None:
    measured_nmse = sweep(kind)
    assert sorted(rates) == sorted(measured_nmse), "a width that was not measured, or one that no rule knows"
    assert (min(rates), max(rates)) == box
    for width, scores in measured_nmse.items():
        best = min(scores.values())
        tie = [lr for lr, score in scores.items() if score <= best + learning_rate.TIE_DB]
        assert rates[width] == (min(tie), max(tie)), f"{kind} of width {width}"


def test_note_is_many_db_above_the_best_rate_at_every_measured_width() -> None:
    """What LR001 says about its own limits."""
    gaps = [scores[learning_rate.NOTE_SMALL_LR] - min(scores.values()) for scores in sweep("transformer").values()]
    assert gaps
    assert min(gaps) > 6.0
    assert all(low >= 30 * learning_rate.NOTE_SMALL_LR for low, _ in learning_rate.TRANSFORMER_RATES.values())


@pytest.mark.parametrize(("d_model", "like"), [(11, 8), (12, 16), (22, 16), (23, 32), (45, 32), (46, 64)])
def test_nearest_measured_width_answers(d_model: int, like: int) -> None:
    opinion = measured(kind="transformer", d_model=d_model)["optim.lr"]
    assert opinion.value == learning_rate.TRANSFORMER_RATES[like][0]
    assert opinion.why.endswith(f"d_model {like}")


@pytest.mark.parametrize(
    ("hidden", "code"),
    [(7, "LR002"), (8, "LR012"), (22, "LR012"), (23, "LR011"), (24, "LR012"), (64, "LR012"), (65, "LR002")],
)
def test_grus_have_their_own_rates(hidden: int, code: str) -> None:
    assert measured(kind="gru", hidden=hidden)["optim.lr"].rule == code


def test_log_midpoint_has_two_digits() -> None:
    assert learning_rate.log_midpoint(5e-5, 1e-4) == 7.1e-5
    assert learning_rate.log_midpoint(1e-3, 1e-1) == 1e-2
