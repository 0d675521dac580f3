"""The files of an evaluation and of a comparison, from real runs."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest

from dpdrun.data.sources import load_capture
from dpdrun.errors import RunError
from dpdrun.evaluation.assessment import evaluate_with_plots
from dpdrun.evaluation.comparison import Run, compare_runs
from dpdrun.report.scores_page import curves, result_sentence, save_comparison, save_evaluation, write_scores
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
    assert content["environment"]["host"]
    page = (folder / "report.html").read_text()
    sentence = result_sentence(found.report)
    assert f'<p class="summary">{html.escape(sentence)}</p>' in page
    assert sentence.startswith("The model reproduces the test split" if name == "pa" else "Predistorted, test split")
    assert f"{found.report['splits']['test']['nmse_db']:.2f}".replace("-", "") in page
    assert ("Noise floor of the amplifier" in page) == (name == "pa")


def test_the_page_has_every_run_and_nothing_from_elsewhere(dpd_runs: Path, tmp_path: Path) -> None:
    runs = []
    for name in ("least", "network"):
        model, plan, folder = load_run(dpd_runs / name)
        runs.append(Run(name, folder, model, plan))
    groups = compare_runs(runs, "test")
    content = [group.to_json() for group in groups]
    folders = {name: dpd_runs / name for name in ("least", "network")}
    scenes = [group.plot for group in groups]
    written = save_comparison(tmp_path / "new" / "out", content, scenes, folders)
    assert {path.name for path in written} >= {"scores.json", "report.html", "psd-test.png", "training.png"}
    assert all(path.stat().st_size for path in written)
    page = (tmp_path / "new" / "out" / "report.html").read_text()
    for text in ("least", "network", "no predistortion", "predistorters on"):
        assert text in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert json.loads((tmp_path / "new" / "out" / "scores.json").read_text())["groups"][0]["task"] == "dpd"
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file"):
        save_comparison(tmp_path / "file", content, scenes, folders)


def test_a_least_squares_fit_has_no_curve(dpd_runs: Path) -> None:
    found = curves([dpd_runs / "pa", dpd_runs / "network"])
    assert list(found) == ["network"]
    assert found["network"].steps
    assert list(curves([dpd_runs / "network"], ["mine"])) == ["mine"]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="folder: cannot write"):
        write_scores(tmp_path / "file" / "folder", {})
