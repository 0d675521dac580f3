"""Every file of a run and every `--format json` is as docs/schemas describes it, with nothing that is not described."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from tests.json_documents import as_documented

OUTPUTS = [
    ("recommend", "recommend small.yaml"),
    ("recommend", "recommend followed.yaml"),
    ("recommend", "recommend --data capture.npz --sample-rate-hz 1e6 --model gmp"),
    ("recommend_overview", "recommend"),
    ("lint", "lint small.yaml followed.yaml --fail-on error"),
    ("findings", "diagnose run"),
    ("findings", "diagnose log.csv"),
    ("findings", "diagnose --prediction p.npy --target y.npy"),
    ("explain_rules", "explain"),
    ("explain_rule", "explain LR010"),
    ("explain_field", "explain optim.lr"),
    ("data_list", "data list"),
    ("inspection", "data inspect capture.npz --sample-rate-hz 1e6"),
    ("alignment", "data align capture.npz -o aligned.npz --sample-rate-hz 1e6"),
    ("recipe_list", "recipe list"),
    ("runs_list", "runs list ."),
    ("runs_show", "runs show run"),
    ("plugins_list", "plugins list"),
    ("plugins_check", "plugins check gmp"),
    ("import", "import 'python main.py --dataset_name APA_200MHz --step train_pa'"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, recipe_file: Path, finished: Path) -> Path:
    """A folder with a capture, recipes, runs, a log and a prediction."""
    import numpy as np

    from tests.commands.conftest import TWO_ROUNDS

    place = tmp_path_factory.mktemp("json")
    for name in ("run", "again"):
        shutil.copytree(finished, place / name)
    for path in (recipe_file, recipe_file.parent / "capture.npz"):
        shutil.copy(path, place)
    (place / "followed.yaml").write_text(TWO_ROUNDS)
    (place / "log.csv").write_text("step,loss\n" + "".join(f"{n},{1 / n}\n" for n in range(1, 60)))
    y = np.load(place / "capture.npz")["y"]
    np.save(place / "y.npy", y)
    np.save(place / "p.npy", 1.1 * y)
    return place


@pytest.mark.parametrize(("name", "words"), OUTPUTS)
def test_output(name: str, words: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    monkeypatch.chdir(place)
    result = CliRunner().invoke(app, [*shlex.split(words), "--format", "json"])
    assert result.exit_code in (0, 1), result.output
    content = as_documented(name, json.loads(result.stdout))
    assert content["schema_version"] == 1
    assert content["environment"]["host"]


def test_files_of_a_run(place: Path) -> None:
    for content in (
        as_documented("plan", json.loads((place / "run" / "plan.json").read_text())),
        as_documented("audit", json.loads((place / "run" / "audit.json").read_text())),
        as_documented("findings", json.loads((place / "run" / "findings.json").read_text())),
        report := as_documented("report", json.loads((place / "run" / "report.json").read_text())),
    ):
        assert content["environment"]["date"]
    as_documented("heartbeat", json.loads((place / "run" / "heartbeat.json").read_text()))
    lines = [json.loads(line) for line in (place / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {as_documented("metrics", line)["kind"] for line in lines} >= {"step", "eval"}
    assert report["device"] in ("cpu", "cuda")
    assert report["threads"] >= 1


def test_files_of_predistorters(dpd_runs: Path) -> None:
    for run in ("pa", "least", "network"):
        for name in ("plan", "report"):
            as_documented(name, json.loads((dpd_runs / run / f"{name}.json").read_text()))
    for line in (dpd_runs / "network" / "metrics.jsonl").read_text().splitlines():
        as_documented("metrics", json.loads(line))
    result = CliRunner().invoke(
        app, ["evaluate", str(dpd_runs / "network"), "--through", str(dpd_runs / "other"), "--format", "json"]
    )
    assert as_documented("report", json.loads(result.stdout))["through"]["pa"]["model"] == "gmp"


def test_saved_scores(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)  # figures take ten times as long
    printed = CliRunner().invoke(app, ["evaluate", "run", "--output", "saved", "--format", "json"]).stdout
    as_documented("report", json.loads(printed))
    as_documented("scores", json.loads(Path("saved/scores.json").read_text()))
    printed = CliRunner().invoke(app, ["compare", "run", "again", "--output", "compared", "--format", "json"]).stdout
    as_documented("comparison", json.loads(printed))
    as_documented("comparison", json.loads(Path("compared/scores.json").read_text()))
