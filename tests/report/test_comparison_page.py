"""A comparison as files, from real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpdrun.errors import RunError
from dpdrun.evaluation.comparison import Run, compare_runs
from dpdrun.report.comparison_page import save_comparison
from dpdrun.training.job import load_run


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
