"""`dpdrun recipe` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.recipe.loader import load_recipe
from dpdrun.recipe.reference import KINDS, schema_text

BAD = Path(__file__).parents[1] / "recipe" / "bad.yaml"
GRU = "task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\noptim: {lr: 1e-3}\n"


@pytest.fixture
def gru(tmp_path: Path) -> Path:
    path = tmp_path / "gru.yaml"
    path.write_text(GRU)
    return path


def test_check_says_ok_in_one_line(gru: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "check", str(gru)])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{gru}: ok: gru (hidden 8) on synthetic/mild; ")
    assert result.stdout.endswith(" values left to the rules\n")
    assert result.stdout.count("\n") == 1


def test_check_counts_what_is_left_to_the_rules(gru: Path) -> None:
    def autos(*arguments: str) -> int:
        result = CliRunner().invoke(app, ["recipe", "check", str(gru), *arguments])
        return int(result.stdout.partition("; ")[2].split()[0])

    assert autos("--set", "optim.lr=auto") == autos() + 1 == autos("--set", "optim.eps=1e-8") + 2


def test_check_reports_all_problems_of_all_files_and_exits_2(gru: Path, tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    result = CliRunner().invoke(app, ["recipe", "check", str(BAD), str(gru), str(missing)])
    assert result.exit_code == 2
    assert f"{gru}: ok" in result.stdout
    assert "error:" in result.stderr
    assert f"{BAD}:7:3: unknown key optim.warm_up; did you mean 'warmup'?" in result.stderr
    assert f"{BAD}:6:7: optim.lr" in result.stderr
    assert f"{missing}: no such file" in result.stderr
    assert "\x1b[" not in result.stderr


def test_check_takes_overrides(gru: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "check", str(gru), "--set", "optim.lr=fast", "--set", "model.hidden=0"])
    assert result.exit_code == 2
    assert "--set optim.lr=fast: optim.lr: expected" in result.stderr
    assert "--set model.hidden=0: model.hidden: expected a whole number of at least 1; got 0" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_new_prints_a_recipe_that_checks(kind: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "new", "--kind", kind])
    assert result.exit_code == 0, result.output
    path = tmp_path / "new.yaml"
    path.write_text(result.stdout)
    assert load_recipe(path).recipe.model.kind == kind
    assert CliRunner().invoke(app, ["recipe", "check", str(path)]).exit_code == 0


def test_new_takes_flags_and_overrides_and_does_not_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    arguments = ["recipe", "new", "-o", str(path), "--d-model", "24", "--heads", "3", "--window", "16"]
    arguments += ["--source", "my data.csv", "--set", "optim.warmup=5%"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    recipe = load_recipe(path).recipe
    assert recipe.model.kind == "transformer"
    assert (recipe.model.d_model, recipe.model.heads, recipe.model.window) == (24, 3, 16)
    assert recipe.data.source == "my data.csv"
    assert str(recipe.optim.warmup) == "5%"

    path.write_text("mine")
    result = CliRunner().invoke(app, ["recipe", "new", "-o", str(path)])
    assert result.exit_code == 2
    assert "exists already; --force replaces it" in result.stderr
    assert path.read_text() == "mine"
    assert CliRunner().invoke(app, ["recipe", "new", "-o", str(path), "--force"]).exit_code == 0
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--d-model", "31"], "model.heads 2 does not divide model.d_model 31"),
        (["--kind", "gru", "--d-model", "8"], "model.kind gru has no d_model"),
        (["-o", "no/such/folder/r.yaml"], "cannot be written: No such file or directory"),
    ],
)
def test_new_refuses_what_cannot_be(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["recipe", "new", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr


def test_new_is_coloured_on_a_terminal_and_the_same_text(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = CliRunner().invoke(app, ["recipe", "new"]).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    coloured = CliRunner().invoke(app, ["recipe", "new"]).stdout
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


def test_schema(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["recipe", "schema"])
    assert result.exit_code == 0
    assert result.stdout == schema_text()
    path = tmp_path / "schema.json"
    assert CliRunner().invoke(app, ["recipe", "schema", "-o", str(path)]).exit_code == 0
    assert json.loads(path.read_text())["title"] == "dpdrun recipe"


FAULTY = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 16, layers: 2, heads: 2, window: 32, dropout: 0.1}
optim:
  warmup: 500  # as in the note
train:
  max_steps: 1000
"""


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    return path


def lint(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["recipe", "check", "--lint", *map(str, arguments)])


def test_lint_gives_place_code_severity_help_and_fix(faulty: Path) -> None:
    result = lint(faulty)
    assert result.exit_code == 0, "warnings are no errors"
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"{faulty}:3:74: warning RG103 ")
    assert ": model.dropout 0.1 is noise of -10 dB" in lines[0]
    (warmup,) = [line for line in lines if line.startswith(f"{faulty}:5:3: warning WU101 ")]
    assert warmup.endswith(": the warmup is 500 of 1000 steps, 50% (limit 10%)")
    assert "  advice: set optim.warmup to 5% (50 steps)" in lines
    assert "  unsafe fix: optim.warmup: 5%" in lines
    assert lines[-1].startswith(f"2 warnings; dpdrun recommend {faulty} --fix fixes 0, with --unsafe-fixes 2")
    assert faulty.read_text() == FAULTY


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), 0),
        (("--fail-on", "warning"), 1),
        (("--fail-on", "error"), 0),
        (("--set", "optim.warmup=1000"), 1),
        (("--set", "optim.warmup=1000", "--fail-on", "error"), 1),
        (("--set", "optim.warmup=5%", "--set", "model.dropout=off", "--fail-on", "info"), 0),
        (("--set", "optim.warmup=5%", "--set", "train.precision=bf16", "--set", "model.dropout=off"), 0),
        (
            ("--set", "optim.warmup=5%", "--set", "train.precision=bf16", "--set", "model.dropout=off",
             "--fail-on", "info"), 1,
        ),
    ],
)  # fmt: skip
def test_lint_exits_by_the_worst_severity(faulty: Path, arguments: tuple[str, ...], code: int) -> None:
    result = lint(faulty, *arguments)
    assert result.exit_code == code, result.output


def test_lint_of_what_is_no_recipe_exits_2_and_still_lints_the_rest(faulty: Path, tmp_path: Path) -> None:
    result = lint(BAD, faulty, tmp_path / "missing.yaml", "--fail-on", "warning")
    assert result.exit_code == 2
    assert "WU101" in result.stdout
    assert f"{BAD}:7:3: unknown key optim.warm_up" in result.stderr
    assert "no such file" in result.stderr


def test_lint_as_json(faulty: Path, gru: Path) -> None:
    content = json.loads(lint(faulty, gru, "--format", "json").stdout)
    assert content["schema_version"] == 1
    assert [file["path"] for file in content["files"]] == [str(faulty), str(gru)]
    found = {finding["code"]: finding for finding in content["files"][0]["findings"]}
    assert found["WU101"]["line"] == 5
    assert found["WU101"]["column"] == 3
    assert found["WU101"]["patch"] == {"optim.warmup": "5%"}
    assert content["files"][0]["after_fixes"] == []
    assert content["files"][1]["findings"] == []


def test_lint_without_the_data_judges_what_it_can(faulty: Path) -> None:
    text = FAULTY.replace("synthetic/mild", "nowhere.csv")
    faulty.write_text(text)
    assert "WU101" in lint(faulty).stdout
    faulty.write_text(text.replace("max_steps: 1000", "epochs: 10"))
    skipped = json.loads(lint(faulty, "--format", "json").stdout)["files"][0]["skipped"]
    assert {"code": "WU101", "reason": "needs the length of the run"} in skipped


def test_lint_reads_the_data_that_are_there(faulty: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=3000) + 1j * rng.normal(size=3000)
    np.savez(tmp_path / "capture.npz", x=x, y=2.0 * x, sample_rate_hz=1e6)
    text = FAULTY.replace("synthetic/mild", str(tmp_path / "capture.npz"))
    faulty.write_text(text.replace("max_steps: 1000", "epochs: 100"))
    assert "the warmup is 500 of" in lint(faulty).stdout


def test_lint_fetches_nothing(faulty: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dpdrun.data.formats import opendpd_wheel

    def refuse() -> Path:
        raise AssertionError("a linter has nothing to download")

    monkeypatch.setattr(opendpd_wheel, "wheel_path", lambda: tmp_path / "none.whl")
    monkeypatch.setattr(opendpd_wheel, "fetch_wheel", refuse)
    faulty.write_text(FAULTY.replace("synthetic/mild", "opendpd/APA_200MHz"))
    assert "WU101" in lint(faulty).stdout


@pytest.mark.parametrize("flag", [("--format", "json"), ("--fail-on", "error")])
def test_flags_of_the_linter_need_it(gru: Path, flag: tuple[str, str]) -> None:
    result = CliRunner().invoke(app, ["recipe", "check", str(gru), *flag])
    assert result.exit_code == 2
    assert "use them with --lint" in result.stderr
