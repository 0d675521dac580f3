"""`dpdrun runs` as a user types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.commands.runs import SortKey
from dpdrun.run.folder import RunFolder
from dpdrun.run.heartbeat import Heartbeat
from dpdrun.run.scores import chosen


def runs(*arguments: Any, columns: int = 100, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["runs", *map(str, arguments)], env={"COLUMNS": str(columns)}, input=answer)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """Runs: one that is finished, one interrupted, one damaged, and a folder that is none."""
    place = tmp_path / "runs"
    for name in ("done", "stopped", "broken"):
        shutil.copytree(finished, place / name)
    for name in ("report.json", "model.safetensors", "heartbeat.json"):
        (place / "stopped" / name).unlink()
    (place / "broken" / "plan.json").write_text('{"recipe": 3}')
    (place / "notes").mkdir()
    (place / "notes" / "mine.txt").write_text("mine")
    return place


def listed(place: Path, *arguments: Any) -> dict[str, dict[str, Any]]:
    result = runs("list", place, *arguments, "--format", "json")
    assert result.exit_code == 0, result.output
    return {Path(run["path"]).name: run for run in json.loads(result.stdout)["runs"]}


def test_list_has_state_settings_and_scores(folder: Path) -> None:
    found = listed(folder)
    assert {name: run["state"] for name, run in found.items()} == {
        "done": "finished", "stopped": "unfinished", "broken": "damaged",
    }  # fmt: skip
    report = json.loads((folder / "done" / "report.json").read_text())
    done = found["done"]
    assert done["nmse_db"]["test"] == chosen(report["splits"]["test"])["nmse_db"]
    assert (done["parameters"], done["step"], done["total_steps"]) == (report["parameters"], 8, 8)
    assert (done["settings"]["model.d_model"], done["settings"]["train.frame"]) == (8, 32)
    assert found["stopped"]["nmse_db"].keys() == {"val"}
    assert "plan.json" in found["broken"]["note"] or "not the files of a run" in found["broken"]["note"]


@pytest.mark.parametrize("columns", [50, 80, 160])
def test_the_table_shows_every_run_at_any_width(columns: int, folder: Path) -> None:
    result = runs("list", folder, columns=columns)
    assert result.exit_code == 0, result.output
    for text in ("done", "stopped", "broken", "unfinished", "transformer 8"):
        assert text in result.stdout
    assert "notes" not in result.stdout
    assert ("started" in result.stdout) is (columns == 160)


@pytest.mark.parametrize("key", SortKey)
def test_what_is_unknown_is_sorted_last(key: SortKey, folder: Path) -> None:
    order = list(listed(folder, "--sort", key.value))
    assert len(order) == 3
    if key in (SortKey.test, SortKey.parameters, SortKey.time):
        assert order[0] == "done"


def test_runs_of_a_pipeline_are_listed_and_those_of_repairs_are_not(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "pipeline" / "pa")
    shutil.copytree(finished, tmp_path / "pipeline" / "pa" / "repairs" / "1" / "after-seed0")
    assert list(listed(tmp_path)) == ["pa"]


def test_a_folder_without_runs_and_one_that_does_not_exist(tmp_path: Path) -> None:
    assert runs("list", tmp_path).stdout == f"{tmp_path}: no runs in this folder\n"
    result = runs("list", tmp_path / "none")
    assert (result.exit_code, "no such folder" in result.stderr) == (2, True)


def test_show_has_the_plan_and_the_report(folder: Path) -> None:
    result = runs("show", folder / "done")
    assert result.exit_code == 0, result.output
    for text in ("finished, step 8 of 8", "set by rules", "set in the recipe", "gmp, least squares"):
        assert text in result.stdout
    assert "--resume" in runs("show", folder / "stopped").stdout
    content = json.loads(runs("show", folder / "done", "--format", "json").stdout)
    assert content["report"] == json.loads((folder / "done" / "report.json").read_text())
    assert content["run"] == listed(folder)["done"]
    damaged = runs("show", folder / "broken")
    assert (damaged.exit_code, "Traceback" in damaged.output) == (2, False)


def test_remove_leaves_the_others(folder: Path) -> None:
    result = runs("remove", folder / "done", folder / "stopped", "--yes")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == ["broken", "notes"]


def test_remove_asks_and_without_a_terminal_removes_nothing(folder: Path) -> None:
    result = runs("remove", folder / "done", answer="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert (folder / "done" / "plan.json").is_file()


@pytest.mark.parametrize(
    ("name", "why"), [("notes", "not a run folder"), ("none", "no such run"), ("broken", "damaged")]
)
def test_remove_refuses_what_is_no_run_before_it_removes_any(name: str, why: str, folder: Path) -> None:
    result = runs("remove", folder / "done", folder / name, "--yes")
    assert result.exit_code == 2
    assert why in result.stderr
    assert (folder / "done" / "plan.json").is_file()


def test_remove_refuses_the_folder_of_runs_and_a_link(folder: Path, tmp_path: Path) -> None:
    assert "not a run folder" in runs("remove", folder, "--yes").stderr
    (tmp_path / "link").symlink_to(folder / "done")
    assert "symlink" in runs("remove", tmp_path / "link", "--yes").stderr
    assert (folder / "done" / "plan.json").is_file()


def test_remove_keeps_files_that_dpdrun_did_not_write(folder: Path) -> None:
    (folder / "done" / "mine.txt").write_text("mine")
    result = runs("remove", folder / "done", "--yes")
    assert result.exit_code == 0
    assert "kept in it: mine.txt" in result.stdout
    assert [path.name for path in (folder / "done").iterdir()] == ["mine.txt"]


def test_remove_refuses_a_run_with_a_recent_heartbeat(folder: Path) -> None:
    Heartbeat(RunFolder(folder / "stopped"), 8).beat("training", 3)
    result = runs("remove", folder / "stopped", "--yes")
    assert result.exit_code == 2
    assert "a process is training in this folder; its last heartbeat" in result.stderr
    assert (folder / "stopped" / "plan.json").is_file()
    assert listed(folder)["stopped"]["state"] == "running"


def test_remove_refuses_a_run_that_another_process_holds(folder: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dpdrun.run.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(folder / "done")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert listed(folder)["done"]["state"] == "running"
        result = runs("remove", folder / "done", "--yes")
        holder.communicate()
    assert result.exit_code == 2
    assert "a process is training in this folder" in result.stderr
    assert (folder / "done" / "model.safetensors").is_file()


def test_removing_a_pa_model_warns_about_its_predistorters(dpd_runs: Path) -> None:
    result = runs("remove", dpd_runs / "pa")  # without a terminal: nothing is removed
    assert result.exit_code == 2
    for name in ("least", "network"):
        assert f"{dpd_runs / name} was trained through {dpd_runs / 'pa'}" in result.stderr
    assert str(dpd_runs / "other") not in result.stderr


def test_a_pa_model_that_others_need_is_removed_only_with_them(dpd_runs: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(dpd_runs, tmp_path / "copied")
    for plan in copied.glob("*/plan.json"):  # each names the PA run by its path
        plan.write_text(plan.read_text().replace(str(dpd_runs), str(copied)))
    result = runs("remove", copied / "pa", "--yes")
    assert result.exit_code == 2
    assert "needs it; nothing was removed: name both" in result.stderr
    assert (copied / "pa" / "model.safetensors").is_file()
    together = runs("remove", *(each.parent for each in copied.glob("*/plan.json")), "--yes")
    assert together.exit_code == 0, together.output
    assert not (copied / "pa").exists()
