"""The report of a predistorter as text."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
from rich.console import Console

from dpdrun.dpd.objective import POWER_GATE_PENALTY_DB
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.loader import load_text
from dpdrun.report.console import TrainingView
from dpdrun.report.run_report import report_table

PLAN = make_plan(
    load_text("task: dpd\npa: runs/pa\ndata: {source: x}\nmodel: {kind: gru, hidden: 4}\ntrain: {max_steps: 9}").recipe,
    3000,
)


def figures(level: float) -> dict[str, Any]:
    sides = {"aclr_left_db": level - 1, "aclr_right_db": level, "aclr_worse_db": level}
    return {"nmse_db": level - 2, "in_band_db": level - 3, **sides, "power_db": 0.01, "holds_power": True,
            "objective_db": level}  # fmt: skip


def score(level: float) -> dict[str, Any]:
    return figures(level) | {"peak": 0.91, "papr_db": 11.5, "papr_x_db": 9.5, "gain_over_gmp_db": 1.0, "db_left": None}


REPORT: dict[str, Any] = {
    "model": "gru", "capture": {"name": "x"}, "parameters": 123, "macs_per_sample": 100, "lookahead": 4,
    "rules": {}, "simulated": True, "learning": "ilc", "gain": {"method": "peak", "value": 1.25}, "peak_limit": 0.95,
    "selected_by": "NMSE", "without_spectrum": None, "floor": {"nmse_db": None, "method": "", "caveat": ""},
    "pa": {"path": "runs/pa", "nmse_db": {"val": -40.29, "test": -40.31}, "gmp_nmse_db": {"val": -38.0, "test": -37.0},
           "weak": False},
    "splits": {"val": score(-50.0), "test": score(-51.0)},
    "baselines": {name: {"val": figures(at), "test": figures(at - 1)} for name, at in (("one_tap", -20), ("gmp", -40))},
}  # fmt: skip


def shown(report: dict[str, Any], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    console.print(report_table(report, PLAN), highlight=False)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    return " ".join(text.replace("│", " ").split())


def changed(**values: Any) -> dict[str, Any]:
    return copy.deepcopy(REPORT) | values


def test_figures_with_and_without_are_shown_together() -> None:
    text = shown(REPORT)
    assert "val val val test test test dB none gmp this none gmp this" in text
    assert "NMSE -22.00 -42.00 -52.00 -23.00 -43.00 -53.00" in text
    assert "in-band error -23.00 -43.00 -53.00" in text
    assert "ACLR worse side -20.00 -40.00 -50.00" in text


def test_the_conditions_of_a_score_are_shown() -> None:
    text = shown(REPORT)
    assert "gru predistorter on x" in text
    assert "runs/pa: NMSE val -40.29 dB, test -40.31 dB; these scores are simulated through it" in text
    assert "gain 1.25 (peak), peak limit 0.95; peak reached val 0.91, test 0.91" in text
    assert "val +0.01 dB, PAPR of the input 9.5 -> 11.5 dB" in text
    assert "look-ahead 4 samples" in text
    assert "OUTSIDE" not in text
    assert "WORSE" not in text


def test_a_weak_pa_and_lost_power_give_warnings() -> None:
    report = changed(peak_limit="inf", without_spectrum="no bandwidth")
    report["pa"]["weak"] = True
    report["splits"]["val"] |= {"power_db": -1.2, "holds_power": False}
    text = shown(report)
    assert "WORSE THAN A GMP (-38.00, -37.00 dB)" in text
    assert "val -1.20 dB" in text
    assert "OUTSIDE +-0.5 dB" in text
    assert "no peak limit" in text
    assert "selected by NMSE (no bandwidth)" in text


def test_figures_that_are_not_known_are_dashes() -> None:
    report = changed()
    for known in (report["splits"]["val"], report["baselines"]["gmp"]["val"], report["baselines"]["one_tap"]["val"]):
        known |= dict.fromkeys(("in_band_db", "aclr_left_db", "aclr_right_db", "aclr_worse_db"))
    assert "in-band error - - - -24.00" in shown(report)


def test_least_squares_shows_what_its_target_reached() -> None:
    report = changed(ilc={"train": {"iterations": 12, "nmse_db": -60.5, "ended": "target reached"}})
    assert "ilc train: -60.50 dB after 12 iterations" in shown(report)


@pytest.mark.parametrize(
    ("best", "text"), [(-45.5, "best  -45.50 dB"), (POWER_GATE_PENALTY_DB - 45.5, "best   none yet")]
)
def test_a_scoring_shows_objective_and_power(best: float, text: str) -> None:
    console = Console(file=io.StringIO(), width=200, color_system=None, _environ={})
    view = TrainingView(console, title="x", total_steps=9, samples_per_step=8, floor_db=None)
    view.evaluation(
        {"step": 3, "val_nmse_db": -40.0, "objective_db": -45.5, "power_db": -0.7, "best_db": best, "seconds": 1.0}
    )
    assert isinstance(console.file, io.StringIO)
    line = console.file.getvalue()
    assert "objective  -45.50 dB  power -0.70 dB" in line
    assert text in line
