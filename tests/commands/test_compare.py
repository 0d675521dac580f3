"""`dpdrun compare` as a user types it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.commands.compare import SortKey
from dpdrun.report.comparison import SORTS


def compare(*arguments: Any, columns: int = 80) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], env={"COLUMNS": str(columns)})


def rows_of(result: Result) -> list[list[dict[str, Any]]]:
    assert result.exit_code == 0, result.output
    return [group["runs"] for group in json.loads(result.stdout)["groups"]]


def test_predistorters_of_one_amplifier_share_a_table(dpd_runs: Path) -> None:
    result = compare(dpd_runs / "least", dpd_runs / "network", columns=140)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    for text in ("predistorters on", "simulated through", "no predistortion", "least", "network", "MAC/"):
        assert text in result.stdout
    (rows,) = rows_of(compare(dpd_runs / "least", dpd_runs / "network", "--format", "json"))
    for row in rows:
        report = json.loads((dpd_runs / row["run"] / "report.json").read_text())
        assert row["linearity"]["nmse_db"] == pytest.approx(report["splits"]["test"]["nmse_db"], abs=1e-6)
        assert (row["parameters"], row["steps"]) == (report["parameters"], report["steps"])


def test_what_does_not_compare_is_reported_and_kept_separate(dpd_runs: Path) -> None:
    result = compare(dpd_runs / "pa", dpd_runs / "least", dpd_runs / "elsewhere")
    assert result.exit_code == 0, result.output
    assert "not all comparable: 3 separate tables" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize("key", ["nmse", "parameters", "time"])
def test_rows_are_sorted(key: str, dpd_runs: Path) -> None:
    (rows,) = rows_of(compare(dpd_runs / "pa", dpd_runs / "other", "--sort", key, "--format", "json"))
    values = [{"nmse": row["linearity"]["nmse_db"], "parameters": row["parameters"], "time": row["seconds"]}[key]
              for row in rows]  # fmt: skip
    assert values == sorted(values)


def test_every_column_of_numbers_can_be_sorted_by() -> None:
    assert tuple(SortKey) == SORTS


def test_a_run_given_twice_counts_once_and_equal_names_are_disambiguated(dpd_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(dpd_runs / "pa", tmp_path / "pa")
    (rows,) = rows_of(compare(dpd_runs / "pa", dpd_runs / "pa", tmp_path / "pa", "--format", "json"))
    assert [row["run"] for row in rows] == [str(dpd_runs / "pa"), str(tmp_path / "pa")]


def test_markdown_and_csv_have_the_same_runs(dpd_runs: Path) -> None:
    runs = (dpd_runs / "least", dpd_runs / "network")
    table = list(csv.DictReader(io.StringIO(compare(*runs, "--format", "csv", "--split", "val").stdout)))
    assert [row["run"] for row in table] == ["least", "network"]
    assert {row["split"] for row in table} == {"val"}
    markdown = compare(*runs, "--format", "markdown", "--split", "val").stdout
    for row in table:
        assert f"| {row['run']} |" in markdown
        assert f"{float(row['nmse']):.2f}" in markdown


def test_save_writes_scores_and_a_page(dpd_runs: Path, tmp_path: Path) -> None:
    result = compare(dpd_runs / "least", dpd_runs / "network", "--output", tmp_path / "out", "--format", "json")
    assert result.exit_code == 0, result.output
    saved, shown = json.loads((tmp_path / "out" / "scores.json").read_text()), json.loads(result.stdout)
    assert saved | {"environment": None} == shown | {"environment": None}  # which has the time
    assert "network" in (tmp_path / "out" / "report.html").read_text()
    assert list((tmp_path / "out").glob("*.png"))


def test_an_output_that_cannot_be_written_is_refused_before_the_work(dpd_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = compare(dpd_runs / "none", "--output", tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert f"{tmp_path / 'file' / 'out'}: cannot write: Not a directory" in result.stderr


def test_what_is_no_run_exits_2_and_is_named(dpd_runs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, why in ((tmp_path / "none", "no such run folder"), (tmp_path / "empty", "not a run folder")):
        result = compare(dpd_runs / "pa", path)
        assert result.exit_code == 2
        assert f"{path}: {why}" in result.stderr
        assert "Traceback" not in result.output
    shutil.copytree(dpd_runs / "network", tmp_path / "young")
    for name in ("model.safetensors", "report.json", "checkpoints/best.safetensors"):
        (tmp_path / "young" / name).unlink()
    result = compare(tmp_path / "young")
    assert result.exit_code == 2
    assert "has no model yet" in result.stderr


def test_an_unfinished_run_does_not_stop_the_comparison(dpd_runs: Path, tmp_path: Path) -> None:
    for name in ("young", "halfway"):
        shutil.copytree(dpd_runs / "network", tmp_path / name)
        (tmp_path / name / "report.json").unlink()
        (tmp_path / name / "model.safetensors").unlink()
    (tmp_path / "young" / "checkpoints" / "best.safetensors").unlink()
    result = compare(tmp_path / "young", tmp_path / "halfway", dpd_runs / "least", "--format", "json")
    (rows,) = rows_of(result)
    assert [row["run"] for row in rows] == ["halfway", "least"]
    assert f"{tmp_path / 'young'}: this run is unfinished; left out" in result.stderr
    assert f"{tmp_path / 'halfway'}: this run is unfinished; scored with its best weights so far" in result.stderr


def test_the_settings_that_differ_are_shown_and_no_others(dpd_runs: Path) -> None:
    result = compare(dpd_runs / "pa", dpd_runs / "other", "--format", "json")
    (rows,) = rows_of(result)
    assert [row["settings"] for row in rows] == [
        {"model.order": 4, "model.delays": 2, "model.cross": 0},
        {"model.order": 6, "model.delays": 3, "model.cross": 1},
    ]
    assert "model.order=6 model.delays=3 model.cross=1" in compare(dpd_runs / "pa", dpd_runs / "other").stdout
    table = csv.DictReader(io.StringIO(compare(dpd_runs / "pa", dpd_runs / "other", "--format", "csv").stdout))
    assert [row["model.order"] for row in table] == ["4", "6"]
    assert "settings that differ" not in compare(dpd_runs / "pa").stdout
