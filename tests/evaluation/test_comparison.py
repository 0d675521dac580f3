"""Runs side by side: what compares stands together, scored as an evaluation of each would."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dpdrun.data.sources import load_capture
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.evaluation.comparison import INPUT, MEASURED, WANTED, Run, compare_runs
from dpdrun.training.job import load_run


def run_of(path: Path) -> Run:
    model, plan, folder = load_run(path)
    return Run(path.name, folder, model, plan)


def test_scores_are_those_of_an_evaluation(dpd_runs: Path) -> None:
    names = ["pa", "other", "least", "network"]
    groups = compare_runs([run_of(dpd_runs / name) for name in names], "test")
    assert [[row["run"] for row in group.rows] for group in groups] == [["pa", "other"], ["least", "network"]]
    for group in groups:
        for row in group.rows:
            model, plan, folder = load_run(dpd_runs / row["run"])
            report = evaluate_with_plots(model, plan, load_capture(plan.recipe.data), ("test",)).report
            own = report["splits"]["test"]["linearity"]
            for figure in ("nmse_db", "in_band_error_db", "aclr_worse_dbc", "intervals"):
                assert row["linearity"][figure] == own[figure]
            for cost in ("model", "parameters", "macs_per_sample", "lookahead"):
                assert row[cost] == report[cost]
            before = folder.read_json(folder.report)
            assert (row["seconds"], row["steps"]) == (before["seconds"], before["steps"])
    pa, dpd = groups
    assert pa.about["task"] == "pa"
    assert "pa" not in pa.about
    assert list(pa.baselines) == [INPUT, MEASURED, "one complex gain", "gmp, least squares"]
    assert dpd.about["pa"]["path"] == str(dpd_runs / "pa")
    assert list(dpd.baselines) == [WANTED, "no predistortion", "gmp, least squares"]
    assert dpd.plot.simulated
    assert not pa.plot.simulated


def test_the_best_run_is_drawn_last(dpd_runs: Path) -> None:
    (group,) = compare_runs([run_of(dpd_runs / name) for name in ("least", "network")], "val")
    scores = {row["run"]: row["linearity"]["nmse_db"] for row in group.rows}
    assert [trace.name for trace in group.plot.traces] == [
        "no predistortion",
        *sorted(scores, key=lambda n: -scores[n]),
    ]


def test_one_reference_for_all(dpd_runs: Path) -> None:
    runs = [run_of(dpd_runs / name) for name in ("least", "network")]
    (own,), (through,) = compare_runs(runs, "test"), compare_runs(runs, "test", dpd_runs / "other")
    assert through.about["pa"]["path"] == str(dpd_runs / "other")
    for before, after in zip(own.rows, through.rows, strict=True):
        assert before["linearity"]["nmse_db"] != after["linearity"]["nmse_db"]
    with pytest.raises(RunError, match="least was trained through this PA model"):
        compare_runs(runs, "test", dpd_runs / "pa")


def test_other_samples_are_another_group(dpd_runs: Path) -> None:
    groups = compare_runs([run_of(dpd_runs / name) for name in ("pa", "elsewhere", "other")], "test")
    assert [[row["run"] for row in group.rows] for group in groups] == [["pa", "other"], ["elsewhere"]]


def test_a_capture_that_has_changed_is_noticed(dpd_runs: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(dpd_runs / "pa", tmp_path / "pa"))
    text = (path / "plan.json").read_text().replace("capture.npz", "changed.npz")
    (path / "plan.json").write_text(text)
    groups = compare_runs([run_of(path), run_of(dpd_runs / "elsewhere")], "test")
    assert [group.changed for group in groups] == [["pa"]]


def test_a_missing_pa_model_is_reported_with_its_run(dpd_runs: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(dpd_runs / "least", tmp_path / "least"))
    (path / "plan.json").write_text(
        (path / "plan.json").read_text().replace(str(dpd_runs / "pa"), str(tmp_path / "gone"))
    )
    with pytest.raises(RunError, match=r"least: .*gone: no such run folder"):
        compare_runs([run_of(path)], "test")
