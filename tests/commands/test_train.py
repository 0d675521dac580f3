"""`dpdrun train` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.run.metrics import read_metrics

ROOT = Path(__file__).parents[2]


def train(*arguments: Any) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)], env={"COLUMNS": "80"})


def contents(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def test_a_run_shows_its_way_and_its_report(recipe_file: Path, tmp_path: Path) -> None:
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.startswith("transformer of ") for line in lines)
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split("  ")[0] for line in steps] == ["step 4/8", "step 8/8"]
    assert any("this model" in line for line in lines)
    assert lines[-1] == f"run folder: {tmp_path / 'run'}"
    assert all(len(line) <= 80 for line in lines if line.startswith(("\u2502", "\u256d")))
    findings = json.loads((tmp_path / "run" / "findings.json").read_text())
    assert any(line.startswith(f"diagnosis: {findings['verdict']}; ") for line in lines)
    serious = [f for f in findings["findings"] if f["severity"] != "info"]
    assert all(any(line.startswith(f"{f['severity']} {f['code']} ") for line in lines) for f in serious)


WILD = ("optim.lr=3e-2", "optim.clip_norm=off", "optim.warmup=off", "train.max_steps=70", "train.eval_every=35")


@pytest.mark.parametrize("mode", ["warn", "stop", "adapt"])
def test_a_finding_warns_or_stops_or_is_answered(
    mode: str, recipe_file: Path, tmp_path: Path, runaway: Callable[[float], None]
) -> None:
    runaway(2e-2)
    sets = [part for value in (*WILD, f"train.on_finding={mode}") for part in ("--set", value)]
    result = train(recipe_file, "--run-dir", tmp_path / "run", *sets)
    lines = result.output.splitlines()
    told = [line for line in lines if line.startswith("step 50: error LR202 loss_above_its_start: the loss rose to")]
    assert len(told) == 1
    assert "; advice: lower optim.lr from 0.03 to " in told[0]
    assert result.exit_code == (1 if mode == "stop" else 0), result.output
    assert any("stopped after step 50 of 70 by train.on_finding: stop: LR202" in line for line in lines) is (
        mode == "stop"
    )
    assert any(line.startswith("note: adapted (1 of at most 3): LR202") for line in lines) is (mode == "adapt")


def test_the_default_folder_is_named_after_the_recipe_and_never_reused(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert train(recipe_file, "--set", "train.max_steps=1", "--set", "optim.warmup=off").exit_code == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["small", "small-2"]


@pytest.mark.usefixtures("patient_trackers")
def test_a_run_is_tracked_inside_its_folder(recipe_file: Path, tmp_path: Path) -> None:
    result = train(recipe_file, "--run-dir", tmp_path / "run", "--track", "tensorboard")
    assert result.exit_code == 0, result.output
    assert "note: tracked by tensorboard; to look: tensorboard --logdir" in result.stdout
    (events,) = (tmp_path / "run" / "tracking").rglob("*.tfevents.*")
    read = CliRunner().invoke(app, ["diagnose", str(events.parent), "--format", "json"])
    assert read.exit_code == 0, read.output
    assert json.loads(read.stdout)["verdict"] == "healthy"


def test_a_tracker_that_is_not_there_is_refused_before_anything_is_written(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpdrun.training import trackers

    monkeypatch.setattr(trackers, "find_spec", lambda _: None)
    result = train(recipe_file, "--run-dir", tmp_path / "run", "--track", "mlflow")
    assert result.exit_code == 2
    assert result.stderr == "error: tracking with mlflow needs its package: pip install 'dpdrun[mlflow]'\n"
    assert not (tmp_path / "run").exists()
    assert train(recipe_file, "--track", "paper").exit_code == 2


def test_a_dry_run_shows_the_plan_and_writes_nothing(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(recipe_file, "--dry-run", "--run-dir", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "set by rules" in result.stdout
    assert "optim.lr" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_needs_no_torch(recipe_file: Path) -> None:
    code = "import sys; from dpdrun.commands import app; app(standalone_mode=False); assert 'torch' not in sys.modules"
    result = subprocess.run(
        [sys.executable, "-c", code, "train", str(recipe_file), "--dry-run"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "optim.lr" in result.stdout


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["train", "dry run"])
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["MISSING"], "no such file"),
        (["--set", "optim.lr=fast"], "--set optim.lr=fast: optim.lr: expected"),
        (["--set", "optim.lr"], "write key=value"),
        (["--set", "train.frame=5000"], "--set train.frame=5000: train.frame 5000 is longer than the training split"),
        (["--set", "data.source=none.npz"], "none.npz"),
        (["--resume"], "--resume needs --run-dir"),
        (["--auto-resume"], "--auto-resume needs --run-dir"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_exits_2_with_a_reason_and_writes_nothing(
    arguments: list[str], why: str, dry: list[str], recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "none.yaml" if arguments == ["MISSING"] else recipe_file
    result = train(recipe, *(word for word in arguments if word != "MISSING"), *dry)
    assert result.exit_code == 2
    assert why in result.stderr
    assert result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["train", "dry run"])
def test_what_does_not_fit_the_data_is_shown_with_its_line(dry: list[str], recipe_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "long.yaml"
    path.write_text(recipe_file.read_text().replace("frame: 32", "frame: 5000"))
    result = train(path, *dry, "--run-dir", tmp_path / "run")
    assert result.exit_code == 2
    assert f"{path}:4:" in result.stderr
    assert "^" in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_a_run_dir_that_is_taken_is_left_alone(recipe_file: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    before = contents(tmp_path)
    for path, why in ((run, "--resume to continue"), (tmp_path / "file", "is a file"), (tmp_path, "not empty")):
        result = train(recipe_file, "--run-dir", path)
        assert result.exit_code == 2
        assert why in result.stderr
    assert contents(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_dir_without_permission(recipe_file: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 2
    assert "cannot write: Permission denied; make its folder writable" in result.stderr


def test_resume_of_a_finished_run_shows_its_report_and_changes_nothing(recipe_file: Path, run: Path) -> None:
    before = contents(run)
    result = train(recipe_file, "--run-dir", run, "--resume")
    assert result.exit_code == 0, result.output
    assert "this run is finished; nothing to resume" in result.stdout
    assert "this model" in result.stdout
    assert contents(run) == before


def test_resume_that_cannot_be_done(recipe_file: Path, run: Path, tmp_path: Path) -> None:
    changed = train(recipe_file, "--run-dir", run, "--resume", "--set", "optim.lr=1e-5")
    assert changed.exit_code == 2
    assert "optim.lr auto -> 0.00001" in changed.stderr or "optim.lr auto -> 1e-5" in changed.stderr
    nowhere = train(recipe_file, "--run-dir", tmp_path / "rum", "--resume")
    assert nowhere.exit_code == 2
    assert "no such run folder; runs in" in nowhere.stderr
    (run / "report.json").unlink()
    (run / "checkpoints" / "last.safetensors").unlink()
    without = train(recipe_file, "--run-dir", run, "--resume")
    assert without.exit_code == 2
    assert "nothing to resume from" in without.stderr


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Make Ctrl-C come when a step is shown."""

    def at(step: int) -> None:
        from dpdrun.report.console import TrainingView

        take = TrainingView.step

        def stepping(self: TrainingView, line: dict[str, Any]) -> None:
            take(self, line)
            if line["step"] == step:
                raise KeyboardInterrupt

        monkeypatch.setattr(TrainingView, "step", stepping)

    return at


def test_ctrl_c_shows_how_to_resume_and_resuming_works(
    recipe_file: Path, tmp_path: Path, interrupt: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(6)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    hint = result.stderr.splitlines()[-1].strip()
    assert hint == f"dpdrun train {tmp_path}/run/recipe.yaml --run-dir {tmp_path}/run --resume"
    monkeypatch.undo()
    resumed = CliRunner().invoke(app, hint.split()[1:])
    assert resumed.exit_code == 0, resumed.output
    assert "\nresumed: transformer of " in resumed.stdout
    assert [line["step"] for line in read_metrics(tmp_path / "run").steps] == list(range(1, 9))


def test_ctrl_c_before_a_checkpoint_says_so(
    recipe_file: Path, tmp_path: Path, interrupt: Callable[[int], None]
) -> None:
    interrupt(2)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 130
    assert "interrupted before the first checkpoint" in result.stderr


def test_auto_resume_starts_sets_aside_and_resumes(
    recipe_file: Path, tmp_path: Path, interrupt: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, old = tmp_path / "run", tmp_path / "run.old-1"
    for step, said in (
        (2, "transformer of "),
        (6, f"note: {run} ended before its first checkpoint and was renamed to {old}"),
        (8, "resumed: transformer of "),
    ):
        interrupt(step)
        result = train(recipe_file, "--run-dir", run, "--auto-resume")
        assert result.exit_code == 130, result.output
        assert any(line.startswith(said) for line in result.stdout.splitlines()), result.output
        assert ("resumed" in result.stdout) is (step == 8)
        monkeypatch.undo()
    assert [line["step"] for line in read_metrics(old).steps] == [1, 2]


def test_sigterm_outside_training_has_the_exit_code_that_says_again(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def load(*_: Any, **__: Any) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except Exception:
            raise AssertionError from None  # some imports take an Exception for a missing library

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("dpdrun.commands._training.train_and_show", load)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 75
    assert capfd.readouterr().err == "stopped by SIGTERM; nothing was written; give the same command again\n"
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_before_anything_is_written(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dpdrun.plan import prepare

    def wait(section: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "load_capture", wait)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 130
    assert result.stderr == "interrupted; nothing was written\n"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("presses", [1, 2])
def test_a_real_ctrl_c_saves_first_and_a_second_leaves_at_once(
    presses: int, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dpdrun.report.console import TrainingView

    take = TrainingView.step

    def stepping(self: TrainingView, line: dict[str, Any]) -> None:
        take(self, line)
        if line["step"] == 2:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingView, "step", stepping)
    result = train(recipe_file, "--run-dir", tmp_path / "run")
    assert result.exit_code == 130
    assert "Traceback" not in result.output
    saved = (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()
    assert saved is (presses == 1)
    assert ("after step 2 of 8; a checkpoint was written" in result.stderr) is saved
    assert (result.stderr.splitlines()[-1].strip().startswith("dpdrun train ")) is saved


def test_training_continues_when_its_output_is_closed(recipe_file: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        result = subprocess.run(
            [sys.executable, str(ROOT / "cli.py"), "train", str(recipe_file), "--run-dir", str(tmp_path / "run")],
            stdout=writer, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert result.stderr == f"output pipe closed; training continues in {tmp_path / 'run'}\n"
    assert result.returncode == 0
    assert (tmp_path / "run" / "report.json").is_file()
    assert (tmp_path / "run" / "findings.json").is_file()
    kept = (tmp_path / "run" / "output.log").read_text()
    assert kept.startswith(f"output pipe closed; training continues in {tmp_path / 'run'}\n")
    assert f"run folder: {tmp_path / 'run'}\n" in kept


@pytest.mark.parametrize("damaged", ["{}", '{"splits": 3}'])
def test_a_damaged_report_is_named(damaged: str, recipe_file: Path, run: Path) -> None:
    (run / "report.json").write_text(damaged)
    result = train(recipe_file, "--run-dir", run, "--resume")
    assert result.exit_code == 2
    assert "report.json is damaged" in result.stderr
    assert result.stdout == ""
    (run / "report.json").unlink()
    assert train(recipe_file, "--run-dir", run, "--resume").exit_code == 0  # as the message says


def test_a_gmp_is_fitted_and_reported(recipe_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "gmp.yaml"
    text = recipe_file.read_text()
    path.write_text(text[: text.index("model:")] + "model: {kind: gmp, order: 3, delays: 2, cross: 0}\n")
    result = train(path, "--run-dir", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert "a least-squares fit, without steps" in " ".join(result.stdout.split())
    assert "least squares in" in result.stdout
    assert "samples/s" not in result.stdout
    assert "diagnosis" not in result.stdout
    assert json.loads((tmp_path / "run" / "report.json").read_text())["steps"] == 0
    diagnosed = CliRunner().invoke(app, ["diagnose", str(tmp_path / "run")])
    assert diagnosed.exit_code == 0
    assert "a least-squares fit has no steps" in diagnosed.stdout


def test_without_a_recipe_those_at_hand_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("task: pa\n")
    result = CliRunner().invoke(app, ["train"])
    assert result.exit_code == 2
    assert "dpdrun train mine.yaml" in result.stderr
    assert "quickstart" in result.stderr


def test_a_dry_run_refuses_the_folders_that_training_refuses(recipe_file: Path, finished: Path) -> None:
    dry = train(recipe_file, "--run-dir", finished, "--dry-run")
    assert (dry.exit_code, dry.stderr) == (2, train(recipe_file, "--run-dir", finished).stderr)
    assert "there is a run in this folder" in dry.stderr


@pytest.mark.parametrize("form", ["-", "/dev/stdin", "pipe"])
def test_a_recipe_may_come_from_a_pipe(form: str, recipe_file: Path, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, recipe_file.read_bytes())
    os.close(writer)
    path = f"/dev/fd/{reader}" if form == "pipe" else form
    try:
        for more, code in ((["--dry-run"], 0), (["--processes", "2"], 2)):
            result = subprocess.run(
                [sys.executable, str(ROOT / "cli.py"), "train", path, *more], cwd=tmp_path, text=True,
                capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, pass_fds=[reader],
                stdin=subprocess.DEVNULL if form == "pipe" else reader,
            )  # fmt: skip
            assert result.returncode == code, result.stderr
            if code:
                assert "is empty" in result.stderr or "write it to a file to use --processes" in result.stderr
    finally:
        os.close(reader)
