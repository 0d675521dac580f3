"""`dpdrun diagnose`: logs of other programs, formats, files and charts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.rules.examples import example_run

RUN = example_run(norm=lambda t: 0.1 * 10**t, loss=0.1)


def run(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["diagnose", *arguments])


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "log.csv"
    rows = [f"{s},{RUN.loss[i]},{RUN.grad_norm[i]},{RUN.lr[i]}" for i, s in enumerate(RUN.step)]
    path.write_text("step,loss,grad_norm,lr\n" + "\n".join(rows) + "\n")
    return str(path)


def test_a_log_of_another_program(log: str) -> None:
    result = run(log)
    assert result.exit_code == 0
    assert "read as CSV: step, loss, grad_norm, lr" in result.output
    assert "warning GN201 gradient_norm_climbs: the gradient norm grows" in result.output
    assert "needs clip_norm" not in result.output
    listed = run(log, "-v").output
    assert "needs clip_norm: the log has no such column" in listed
    assert "needs lr_planned: the log has no such column" in listed
    assert run(log, "--fail-on", "warning").exit_code == 1
    assert run(log, "--fail-on", "error").exit_code == 0


def test_map_switches_rules_on(log: str) -> None:
    skipped = json.loads(run(log, "--format", "json").output)["skipped"]
    assert "CL201" in [skip["code"] for skip in skipped]
    result = json.loads(run(log, "--map", "clip_norm=0.01", "--map", "total_steps=400", "--format", "json").output)
    assert "CL201" in [finding["code"] for finding in result["findings"]]
    assert result["log"]["columns"]["clip_norm"] == "0.01 (given)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--map", "loss=nothing"], "log.csv:1: no column 'nothing' (--map loss=nothing)"),
        (["--map", "speed=loss"], "--map speed=...: unknown"),
        (["-o", "."], "this is a folder"),
        (["--plot", "x.jpg"], "cannot draw .jpg"),
    ],
)
def test_bad_input_exits_2_with_a_message(log: str, arguments: list[str], message: str) -> None:
    result = run(log, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    ("name", "start"),
    [("x.html", "<!DOCTYPE html>"), ("x.md", "## dpdrun diagnose"), ("x.json", "{"), ("x.txt", "/")],
)
def test_suffix_of_the_file_is_the_format(log: str, tmp_path: Path, name: str, start: str) -> None:
    path = tmp_path / name
    result = run(log, "-o", str(path))
    assert result.exit_code == 0
    assert result.stdout == ""
    assert f"written: {path}" in result.stderr
    text = path.read_text()
    assert text.startswith(start)
    assert "GN201" in text
    assert "\x1b" not in text


def test_a_file_of_sarif_is_refused(log: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["diagnose", log, "-o", str(tmp_path / "a.sarif")])
    assert result.exit_code == 2
    assert "SARIF is not written any more; use .json" in result.stderr
    assert not list(tmp_path.glob("*.sarif"))


def test_format_wins_over_suffix_and_goes_to_stdout(log: str, tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    run(log, "-o", str(path), "--format", "json")
    assert json.loads(path.read_text())["schema_version"] == 1
    assert json.loads(run(log, "--format", "json").stdout)["healthy"]
    assert run(log, "--format", "html").stdout.rstrip().endswith("</html>")
    assert run(log, "--format", "markdown").stdout.startswith("## ")


def test_plot(log: str, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    assert run(log, "--plot", str(path)).exit_code == 0
    assert path.read_bytes().startswith(b"\x89PNG")


def test_map_is_not_for_a_run_folder(finished: Path) -> None:
    result = run(str(finished), "--map", "loss=x")
    assert result.exit_code == 2
    assert "omit --map" in result.stderr
    paths = (finished / "metrics.jsonl", finished)
    one, other = (json.loads(run(str(path), "--format", "json").output) for path in paths)
    assert one | {"environment": None} == other | {"environment": None}  # which has the time


def test_a_log_on_standard_input() -> None:
    pasted = "".join(f"iter {i}: loss {3.0 - i / 100}, time 9.10ms, mfu 12.30%\n" for i in range(20))
    result = CliRunner().invoke(app, ["diagnose", "-", "--format", "json"], input=pasted)
    content = json.loads(result.stdout)
    assert (content["log"]["program"], content["log"]["path"]) == ("nanogpt", "standard input")
    wrong = CliRunner().invoke(app, ["diagnose", "-"], input="hello\n")
    assert wrong.exit_code == 2
    assert "standard input: no training numbers found" in wrong.output
    assert CliRunner().invoke(app, ["diagnose", "-", "--follow"], input=pasted).exit_code == 2


def test_too_little_to_judge_says_what_would_help(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json"
    history = [{"step": step, "loss": 2.0, "learning_rate": 1e-5, "epoch": 0.1} for step in (10, 20)]
    path.write_text(json.dumps({"log_history": history, "max_steps": 20, "global_step": 20}))
    result = run(str(path), "--fail-on", "warning")
    assert result.exit_code == 0
    assert (
        "too little to judge: what would help most is more lines with a loss: there are 2, 8 are needed (lower "
        "logging_steps); finished after 20 steps" in " ".join(result.output.split())
    )
    assert json.loads(run(str(path), "--format", "json").output)["verdict"] == "too little to judge"
