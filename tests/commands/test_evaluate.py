"""`dpdrun evaluate` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.commands.evaluate import COSTS


def evaluate(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "80"})


def report_of(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "report.json").read_text())
    return content


def test_json_is_the_score_part_of_the_report(finished: Path) -> None:
    result = evaluate(finished, "--format", "json")
    assert result.exit_code == 0, result.output
    report = report_of(finished)
    content = json.loads(result.stdout)
    for key in COSTS:
        report.pop(key, None)
    report["environment"]["date"] = content["environment"]["date"]
    assert content == report


def test_the_table_has_the_scores_of_the_report_and_the_times_of_the_run(finished: Path) -> None:
    result = evaluate(finished)
    assert result.exit_code == 0, result.output
    report = report_of(finished)
    for split in ("val", "test"):
        assert f"{report['splits'][split]['nmse_db']:.2f}" in result.stdout
        assert f"{split}, error against the measured output" in result.stdout
    assert "8 steps in" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_parts_are_chosen_by_name_and_scored_once(finished: Path) -> None:
    result = evaluate(finished, "--split", "train", "--split", "val", "--split", "train", "--format", "json")
    report = json.loads(result.stdout)
    assert list(report["splits"]) == ["train", "val"]
    assert report["splits"]["val"] == report_of(finished)["splits"]["val"]


def test_a_running_run_is_scored_by_its_best_model_without_times(run: Path) -> None:
    (run / "report.json").unlink()
    (run / "model.safetensors").unlink()
    result = evaluate(run)
    assert result.exit_code == 0, result.output
    assert "this run" in result.stdout
    assert "training" not in result.stdout


def test_a_changed_capture_is_reported(run: Path, tmp_path: Path) -> None:
    plan = json.loads((run / "plan.json").read_text())
    with np.load(plan["recipe"]["data"]["source"]) as archive:
        np.savez(tmp_path / "other.npz", x=archive["x"], y=1.1 * archive["y"])
    plan["recipe"]["data"]["source"] = str(tmp_path / "other.npz")
    (run / "plan.json").write_text(json.dumps(plan))
    result = evaluate(run, "--format", "json")
    assert result.exit_code == 0
    assert "has changed since this run was trained" in result.stderr
    assert json.loads(result.stdout)["capture"]["name"].endswith("other.npz")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda run: (run / "plan.json").unlink(), "plan.json: missing; the run cannot be read without it"),
        (lambda run: (run / "plan.json").write_text("{"), "not valid JSON"),
        (lambda run: (run / "model.safetensors").write_bytes(b"x" * 99), "damaged or not a safetensors file"),
    ],
)
def test_a_damaged_run_exits_2(damage: Any, why: str, run: Path) -> None:
    damage(run)
    result = evaluate(run)
    assert result.exit_code == 2
    assert why in result.stderr
    assert "Traceback" not in result.output


def test_a_run_that_is_not_there(tmp_path: Path) -> None:
    result = evaluate(tmp_path / "none")
    assert result.exit_code == 2
    assert "no such run folder" in result.stderr
