"""The board: a row from a plug-in, the way that docs/board.md describes, and a predistorter through two judges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.board import run
from benchmarks.board.add import add
from benchmarks.board.entries import found_in
from benchmarks.board.table import dpd_tables, pa_tables
from dpdrun.recipe import plugins
from dpdrun.recipe.loader import load_text
from dpdrun.run.folder import RunFolder
from dpdrun.training import job

PLUGIN = '''
from typing import Literal
from torch import nn
from dpdrun.plugins import Field, Section

class Config(Section):
    """One complex tap."""
    kind: Literal["board_tap"] = Field(description="which model to train")

class Model(nn.Module):
    context = 0
    def __init__(self, config):
        super().__init__()
        self.tap = nn.Linear(2, 2, bias=False)
    def forward(self, x):
        return self.tap(x)
'''
RECIPE = """\
task: pa
data: {{source: {source}, sample_rate_hz: 1e6, bandwidth_hz: 2.2e5}}
model: {{kind: board_tap}}
optim: {{lr: 1e-2}}
train: {{max_steps: 2, batch_size: 4, frame: 32, burn_in: 0, seed: {seed}}}
"""


@pytest.mark.usefixtures("plugin_registry", "fit_gmp_once")
def test_a_plug_in_becomes_a_row_with_its_seeds(
    dpd_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, board = tmp_path / "board_tap.py", tmp_path / "board"
    plugin.write_text(PLUGIN)
    with monkeypatch.context() as patch:  # as in a process of its own, which `dpdrun train` is
        patch.setattr(plugins, "_ENTRIES", {group: dict(names) for group, names in plugins._ENTRIES.items()})
        patch.setattr(plugins, "_FILES", {})
        plugins.load_files([plugin])
        for seed in (0, 1):
            text = RECIPE.format(source=dpd_runs / "capture.npz", seed=seed)
            job.train(load_text(text, tmp_path / "recipe.yaml"), tmp_path / f"tap-seed{seed}")
    for seed in (0, 1):
        add(tmp_path / f"tap-seed{seed}", plugin_files=[plugin], board=board)
    files = sorted(path.relative_to(board).as_posix() for path in board.rglob("*") if path.is_file())
    kept = [
        f"entries/tap-seed{n}/{file}" for n in (0, 1) for file in ("entry.json", "model.safetensors", "recipe.yaml")
    ]
    assert files == [*kept, "plugins/board_tap.py"]

    entries = found_in([board / "entries"])
    results = run.score_all(entries, board).results
    (row,) = [line for line in pa_tables(results, entries, []).splitlines() if line.startswith("| tap")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["tap", "4", "4"]
    assert cells[5] == "2", "seeds"
    report = RunFolder(tmp_path / "tap-seed1").read_json(tmp_path / "tap-seed1" / "report.json")
    scored = results["tap-seed1"]
    assert scored["test_nmse_db"] == pytest.approx(report["splits"]["test"]["with_past"]["nmse_db"], abs=1e-3)
    assert scored["as_published_db"] == pytest.approx(report["splits"]["test"]["nmse_db"], abs=1e-3)
    assert cells[8] == "", "too few samples for an interval"


@pytest.mark.usefixtures("fit_gmp_once")
def test_a_predistorter_is_scored_through_each_judge_without_its_own_pa_model(dpd_runs: Path, tmp_path: Path) -> None:
    for name in ("pa", "other", "least"):
        add(dpd_runs / name, board=tmp_path)
    source = str(dpd_runs / "capture.npz")
    (tmp_path / run.JUDGES).write_text(json.dumps({source: ["other-seed0", "pa-seed0"]}))
    assert "pa: given" in (tmp_path / "entries" / "least-seed0" / "recipe.yaml").read_text()

    entries = found_in([tmp_path / "entries"])
    results = run.score_all(entries, tmp_path).results
    judges = results["least-seed0"]["judges"]
    assert {name: each["trained_through"] for name, each in judges.items()} == {"other-seed0": False, "pa-seed0": True}
    own = json.loads((dpd_runs / "least" / "report.json").read_text())["splits"]["test"]["with_past"]
    for name in ("nmse_db", "in_band_db", "aclr_worse_db"):
        assert judges["pa-seed0"]["test"][name] == pytest.approx(own[name], abs=1e-3)
    assert all(each["test"]["nmse_db"] < each["without"]["nmse_db"] - 3 for each in judges.values())
    text = dpd_tables(results, entries, [])
    assert text.count("| least |") == 1
    assert "pa-seed0" in text
    assert text.count("trained through it") == 1, "of the predistorter, not of the row without one"


@pytest.mark.usefixtures("fit_gmp_once")
def test_only_what_changed_is_scored_again(dpd_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add(dpd_runs / "pa", board=tmp_path)
    add(dpd_runs / "other", board=tmp_path)
    run.score_all(found_in([tmp_path / "entries"]), tmp_path)
    add(dpd_runs / "other", name="pa", board=tmp_path)  # other weights under the name
    capsys.readouterr()
    run.score_all(found_in([tmp_path / "entries"]), tmp_path)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["pa-seed0"]
    (entry, _) = found_in([tmp_path / "entries"])
    assert run.score_all([entry], tmp_path).results.keys() == {entry.name}, "what is no entry any more is dropped"


@pytest.mark.usefixtures("fit_gmp_once")
def test_an_entry_without_its_capture_is_left_out_and_keeps_its_scores(
    dpd_runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = add(dpd_runs / "pa", board=tmp_path)
    kept = run.score_all([entry], tmp_path).results["pa-seed0"]
    recipe = entry.folder / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("capture.npz", "nowhere.npz"))
    (again,) = found_in([tmp_path / "entries"])
    assert run.score_all([again], tmp_path).results["pa-seed0"] == kept
    assert "pa-seed0: left out" in capsys.readouterr().err


def test_committed_entries_are_small_and_have_current_scores() -> None:
    entries = found_in([*run.STUDIES, run.BOARD / "entries"])
    results = json.loads((run.BOARD / run.RESULTS).read_text())
    assert len(entries) > 15
    for entry in entries:
        assert entry.weights.stat().st_size < 100_000, entry.name
        assert run.is_current(results.get(entry.name), entry, run.judges_of(run.BOARD, entry)), (
            f"{entry.name}: make board"
        )
    assert set(results) == {entry.name for entry in entries}
