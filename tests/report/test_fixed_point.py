"""The cost of a run in fixed point, on the terminal."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from dpdrun.report.fixed_point import fixed_point_panel

SETTINGS = {"weights": 12, "activations": 14, "port": 16}
SCORES = {"nmse_db": -40.0, "in_band_error_db": -44.0, "evm_db": None, "aclr_worse_dbc": -45.5}


def rendered(report: dict[str, Any]) -> str:
    console = Console(width=90, record=True, file=StringIO())
    console.print(fixed_point_panel(SETTINGS, report))
    return console.export_text()


def report(**changes: Any) -> dict[str, Any]:
    return {
        "change_db": -55.25,
        "scores": {"float": SCORES, "fixed": SCORES | {"nmse_db": -39.5}},
        "saturated": {},
        "fine_tuning": None,
        "accumulator": {"bits": {"mixed": 37}, "widest": "mixed", "largest_seen_bits": {"mixed": 33}},
        "cost": {
            "multiplications": 1234,
            "divisions": 0,
            "square_roots": 1,
            "table_lookups": 0,
            "weight_bytes": 2345,
            "state_bytes": 56,
        },
    } | changes


def test_scores_stand_next_to_those_of_the_run() -> None:
    text = rendered(report())
    assert "NMSE [dB] -40.00 -39.50 +0.50" in " ".join(text.split())
    assert "EVM" not in text
    assert "mixed: 37 bits by bound, 33 seen" in text
    assert "no word of the validation split" in text
    assert "1,234 multiplications, 1 square roots" in text
    assert "weights and tables 2,345 bytes, state 56" in text


def test_clipped_tensors_are_named_worst_first() -> None:
    text = rendered(report(saturated={"power": [1, 99], "cube": [20, 99]}, scores=None))
    assert "cube 20 of 99, power 1 of 99" in text
    assert "PA model of this predistorter is not at hand" in text


def test_fine_tuning_that_did_not_help_says_so() -> None:
    better = rendered(report(fine_tuning={"steps": 200, "before_db": -45.0, "after_db": -54.0}))
    assert "200 steps, -45.0 -> -54.0 dB of change " in better
    assert "not taken" in rendered(report(fine_tuning={"steps": 200, "before_db": -45.0, "after_db": -44.0}))
