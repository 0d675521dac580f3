"""An evaluation on the terminal, from real runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from dpdrun.data.sources import load_capture
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.evaluation.cross_model import add_cross_model_scores, load_reference_pa, score_with_reference
from dpdrun.report.scores_panel import evaluation_panel, floor_cells
from dpdrun.training.job import load_run


def shown(report: dict[str, Any], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, _environ={})
    console.print(evaluation_panel(report, width=width), highlight=False)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= min(width, 110)
    return " ".join(text.replace("\u2502", " ").split())


def report_of(run: Path, other: Path | None = None) -> dict[str, Any]:
    model, plan, folder = load_run(run)
    capture = load_capture(plan.recipe.data)
    found = evaluate_with_plots(model, plan, capture)
    if other is None:
        return found.report | {key: folder.read_json(folder.report)[key] for key in ("seconds", "steps")}
    verdict = score_with_reference(model, plan, capture, ("val", "test"), load_reference_pa(other, capture), found)
    return add_cross_model_scores(found, verdict)[0]


@pytest.mark.parametrize("width", [80, 120])
def test_a_pa_model(dpd_runs: Path, width: int) -> None:
    report = report_of(dpd_runs / "pa")
    text = shown(report, width)
    assert "gmp PA model on" in text
    for split in ("val", "test"):
        assert f"{split}, error against the measured output" in text
        score = report["splits"][split]
        interval = score["linearity"]["intervals"].get("nmse_db")  # a short part has none
        between = "" if interval is None else " {:.2f} .. {:.2f}".format(*interval)
        assert f"{score['nmse_db']:.2f}{between}" in text
        wanted, measured = (report["amplifier"][split][name]["aclr_worse_dbc"] for name in ("wanted", "measured"))
        assert f"ACLR worse side [dBc] {wanted:.2f} {measured:.2f}" in text
    assert "noise floor NMSE [dB] left, test caveat" in text
    assert "repeats unknown the input does" in text
    assert "least squares in" in text


@pytest.mark.parametrize("weight", [0.0, 1e38])
def test_an_output_that_is_silent_or_not_finite(dpd_runs: Path, weight: float) -> None:
    model, plan, _ = load_run(dpd_runs / "pa")
    for each in model.parameters():
        torch.nn.init.constant_(each, weight)
    report = evaluate_with_plots(model, plan, load_capture(plan.recipe.data), ("val",)).report
    assert "the output is silent or not finite" in shown(report, 120)


@pytest.mark.parametrize("width", [80, 120])
def test_a_predistorter_with_cross_model_validation(dpd_runs: Path, width: int) -> None:
    text = shown(report_of(dpd_runs / "network", dpd_runs / "other"), width)
    assert "transformer predistorter on" in text
    interval, change = (" 95 % interval", " change") if width == 120 else ("", "")  # no room for them in 80 columns
    assert f"wanted none gmp this run{interval} cross-model{change} NMSE [dB]" in text
    assert "\u2026" not in text.partition("PA model")[0], "a number is complete"
    assert "these scores are simulated through it" in text
    assert "noise floor" not in text


def test_a_floor_is_a_number_a_bound_or_unknown() -> None:
    nothing = dict.fromkeys(("nmse_db", "at_most_db", "left_db", "left_at_least_db"))
    assert floor_cells(nothing) == ("unknown", "")
    assert floor_cells(nothing | {"nmse_db": -42.0, "left_db": 1.5}) == ("-42.00", "1.50")
    assert floor_cells(nothing | {"at_most_db": -42.0, "left_at_least_db": 1.5}) == ("<= -42.00", ">= 1.50")
