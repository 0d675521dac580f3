"""`dpdrun diagnose`: verdict, findings, chart, JSON and exit codes."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.diagnosis import follow
from dpdrun.plan.plan import make_plan
from dpdrun.recipe.schema import Recipe
from dpdrun.report.chart import DASH, DOT
from dpdrun.rules.examples import example_run
from dpdrun.rules.facts.run import RunFacts
from dpdrun.run.folder import RunFolder
from dpdrun.run.metrics import MetricsWriter
from tests.json_documents import as_documented

HEALTHY = example_run(eval_step=[400], eval_nmse_db=[-38.0])
WARNING = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)
ERROR = example_run(realised=1e-5)


def folder(path: Path, run: RunFacts) -> str:
    content = {
        "task": "pa",
        "data": {"source": "synthetic/mild"},
        "model": {"kind": "transformer", "d_model": 32, "layers": 2, "heads": 4, "window": 32},
        "train": {"max_steps": run.total_steps},
        "optim": {"warmup": run.warmup_steps},
    }
    this = RunFolder.create(path)
    this.write_json(this.plan, make_plan(Recipe.model_validate(content), 58_980).to_json())
    writer = MetricsWriter(this.metrics)
    for i, step in enumerate(run.step):
        names = ("lr", "lr_planned", "loss", "grad_norm", "clip_norm", "clipped")
        writer.write({"kind": "step", "step": step} | {name: getattr(run, name)[i] for name in names})
    for step, value in zip(run.eval_step, run.eval_nmse_db, strict=True):
        writer.write({"kind": "eval", "step": step, "val_nmse_db": value})
    writer.close()
    return str(path)


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["diagnose", *arguments])


def test_healthy_run(tmp_path: Path) -> None:
    result = run(folder(tmp_path / "run", HEALTHY))
    assert result.exit_code == 0
    first = result.output.splitlines()[0]
    assert first.endswith("run: healthy: 1 info; 400 of 400 steps, best validation NMSE -38.00 dB")
    assert "checked, no finding: " in result.output
    assert "CL201" not in result.output
    assert "CL201 clip_saturated" in run(str(tmp_path / "run"), "-v").output
    assert "; not checked: " in result.output
    checked, _, rest = run(str(tmp_path / "run"), "-v").output.partition("\nnot checked:")
    assert "DM202" not in checked
    assert "DM202" in rest
    assert "needs the gmp baseline" in rest


def test_finding_has_code_number_advice_and_patch(tmp_path: Path) -> None:
    output = run(folder(tmp_path / "run", WARNING)).output
    assert "warning GN201 gradient_norm_climbs: the gradient norm grows" in output
    assert "advice: lower optim.lr from" in output
    assert "recipe: optim.lr: " in output


def test_chart_shows_norms_clip_and_onset(tmp_path: Path) -> None:
    output = run(folder(tmp_path / "run", WARNING)).output
    assert DOT in output
    assert DASH * 20 in output
    assert "^GN201" in output


def test_json(tmp_path: Path) -> None:
    content = json.loads(run(folder(tmp_path / "run", ERROR), "--format", "json").output)
    assert content["verdict"] == "error"
    assert content["findings"][0]["code"] == "SC201"


@pytest.mark.parametrize(
    ("facts", "fail_on", "code"),
    [
        (HEALTHY, "warning", 0),
        (WARNING, "warning", 1),
        (WARNING, "error", 0),
        (ERROR, "warning", 1),
        (ERROR, "error", 1),
    ],
)
def test_exit_code_is_opt_in(tmp_path: Path, facts: RunFacts, fail_on: str, code: int) -> None:
    path = folder(tmp_path / "run", facts)
    assert run(path, "--fail-on", fail_on).exit_code == code
    assert run(path, "--fail-on", fail_on, "--format", "json").exit_code == code
    assert run(path).exit_code == 0


def test_run_without_steps(tmp_path: Path) -> None:
    result = run(folder(tmp_path / "run", RunFacts(total_steps=100, warmup_steps=5)))
    assert result.exit_code == 0
    assert "no optimizer step was logged" in result.output


def test_not_a_run(tmp_path: Path) -> None:
    result = run(str(tmp_path))
    assert result.exit_code == 2
    assert "not a run folder" in result.output


def test_fix_writes_a_recipe_and_rerun_decides(recipe_file: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    noisy = ("--set", "model.dropout=0.2", "--set", "train.max_steps=30", "--set", "train.eval_every=30")
    assert CliRunner().invoke(app, ["train", str(recipe_file), "--run-dir", str(run), *noisy]).exit_code == 0
    written = CliRunner().invoke(app, ["diagnose", str(run), "--fix"])
    assert written.exit_code == 0, written.output
    repaired = run / "repairs" / "1" / "recipe.yaml"
    assert "dropout: off" in repaired.read_text()
    assert f"dpdrun train {repaired}" in written.output.replace("\n", " ")
    proven = CliRunner().invoke(app, ["diagnose", str(run), "--fix", "--rerun", "--seeds", "1"])
    assert proven.exit_code == 0, proven.output
    outcome = json.loads((run / "repairs" / "1" / "comparison.json").read_text())
    as_documented("repair", outcome)
    assert outcome["codes"]
    assert outcome["kept"] is (outcome["gain_db"] > 0)
    assert ("kept:" if outcome["kept"] else "rejected:") in proven.output


def test_fix_needs_a_run(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("step,loss\n" + "".join(f"{i},{1 / i}\n" for i in range(1, 50)))
    result = CliRunner().invoke(app, ["diagnose", str(log), "--fix"])
    assert result.exit_code == 2
    assert "--fix needs a run folder" in result.output


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log that has reached its 400 steps."""
    path = tmp_path / "log.csv"
    rows = [f"{s},{WARNING.loss[i]},{WARNING.grad_norm[i]},{WARNING.lr[i]}" for i, s in enumerate(WARNING.step)]
    path.write_text("step,loss,grad_norm,lr\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize(("logged", "starts"), [(True, "## dpdrun diagnose"), (False, None)])
def test_following_exits_130_on_ctrl_c_and_still_writes(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: bool, starts: str | None
) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    if not logged:
        log.write_text("")
    out = tmp_path / "out.md"
    monkeypatch.setattr(follow, "follow", partial(follow.follow, sleep=sleep))
    result = run(str(log), "--follow", "-o", str(out))
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    assert out.is_file() == logged
    assert starts is None or out.read_text().startswith(starts)
    assert ("nothing was logged yet" in result.stderr) == (not logged)


def test_following_ends_with_the_log_and_then_applies_the_gate(log: Path) -> None:
    result = run(str(log), "--follow", "--map", "total_steps=400", "--fail-on", "warning")
    assert result.exit_code == 1
    assert "GN201" in result.stdout
    assert run("--follow").exit_code == 2


def test_without_a_run_those_at_hand_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "a" / "plan.json").write_text("{}")
    result = CliRunner().invoke(app, ["diagnose"])
    assert result.exit_code == 2
    assert "dpdrun diagnose runs/a" in result.stderr
    assert "runs/b" not in result.stderr
