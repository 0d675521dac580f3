"""The files of an evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpdrun.data.sources import load_capture
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.report.scores_page import curves, save_evaluation, write_scores
from dpdrun.training.job import load_run


@pytest.mark.parametrize("name", ["pa", "network"])
def test_scores_page_and_figures_are_written(dpd_runs: Path, tmp_path: Path, name: str) -> None:
    model, plan, _ = load_run(dpd_runs / name)
    found = evaluate_with_plots(model, plan, load_capture(plan.recipe.data), ("test",))
    folder = tmp_path / "new" / "folder"
    written = save_evaluation(folder, dpd_runs / name, found.report, found.plots)
    assert {path.name for path in written} >= {"scores.json", "report.html", "psd-test.png", "gain-test.png"}
    assert all(path.stat().st_size for path in written)
    content = json.loads((folder / "scores.json").read_text())
    assert content["splits"]["test"]["nmse_db"] == found.report["splits"]["test"]["nmse_db"]
    page = (folder / "report.html").read_text()
    assert f"{found.report['splits']['test']['nmse_db']:.2f}".replace("-", "") in page
    assert ("Noise floor of the amplifier" in page) == (name == "pa")


def test_a_least_squares_fit_has_no_curve(dpd_runs: Path) -> None:
    found = curves([dpd_runs / "pa", dpd_runs / "network"])
    assert list(found) == ["network"]
    assert found["network"].steps
    assert list(curves([dpd_runs / "network"], ["mine"])) == ["mine"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the folder"):
        write_scores(tmp_path / "file" / "folder", {})
