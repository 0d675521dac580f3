"""`dpdrun lint`: findings with their lines, exit codes, and fixes."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from dpdrun.commands import app
from dpdrun.errors import RunError
from dpdrun.rules.engine import all_rules

BAD = Path(__file__).parents[1] / "recipe" / "bad.yaml"
FAULTY = """\
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 16, layers: 2, heads: 2, window: 32, dropout: 0.1}
optim:
  warmup: 500  # as in the note
train:
  max_steps: 1000
"""


FIXABLE = """\
# my amplifier
task: pa
data: {source: synthetic/mild}
model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32, dropout: 0.1}  # from a book
optim:
  lr: 2e-2  # found by hand
  weight_decay: 1e-5
train:
  max_steps: 2000
"""


@pytest.fixture
def fixable(tmp_path: Path) -> Path:
    """A recipe with one safe fix and one that changes what is trained."""
    path = tmp_path / "fixable.yaml"
    path.write_text(FIXABLE, encoding="utf-8")
    return path


@pytest.fixture
def gru(tmp_path: Path) -> Path:
    path = tmp_path / "gru.yaml"
    path.write_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\n")
    return path


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    return path


def lint(*arguments: str | Path, width: str = "400") -> Result:
    return CliRunner(env={"COLUMNS": width}).invoke(app, ["lint", *map(str, arguments)])


def test_lint_gives_place_code_severity_help_and_fix(faulty: Path) -> None:
    result = lint(faulty)
    assert result.exit_code == 0, "warnings are no errors"
    lines = result.stdout.splitlines()
    assert lines[0].startswith(
        f"{faulty}:3:74: warning RG103 dropout_above_the_error: model.dropout 0.1 adds noise of -10 dB"
    )
    assert f"{faulty}:5:3: warning WU101 warmup_over_a_tenth: the warmup is 500 of 1000 steps, 50% (limit 10%)" in lines
    assert "  advice: set optim.warmup to 5% (50 steps)" in lines
    assert "  unsafe fix: optim.warmup: 5%" in lines
    assert lines[-1].startswith(f"2 warnings; dpdrun lint {faulty} --fix fixes 0, --fix --unsafe-fixes fixes 2")
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


def test_diff_shows_and_writes_nothing(fixable: Path) -> None:
    safe, every = lint(fixable, "--diff"), lint(fixable, "--diff", "--unsafe-fixes")
    assert (safe.exit_code, every.exit_code) == (0, 0)
    assert [line for line in safe.stdout.splitlines() if line[:1] in "+-"][2:] == [
        "-  weight_decay: 1e-5",
        "+  weight_decay: off",
    ]
    assert "+model: {kind: transformer, d_model: 32, layers: 2, heads: 4, window: 32, dropout: off}" in every.stdout
    assert fixable.read_text(encoding="utf-8") == FIXABLE


def test_fixes_that_follow_from_others_are_announced(followed: Path) -> None:
    later = "after these fixes: info WU104 warmup_shorter_than_adams_memory: the warmup has 150 steps"
    assert later in lint(followed).stdout
    (content,) = json.loads(lint(followed, "--format", "json").stdout)["files"]
    assert [(each["code"], each["patch"]) for each in content["after_fixes"]] == [("WU104", {"optim.beta2": 0.986})]
    diff = lint(followed, "--diff", "--unsafe-fixes")
    assert later in diff.stderr
    assert "after these" not in diff.stdout, "the diff can be applied as it is"
    assert "beta2: 0.986" in diff.stdout
    assert later not in lint(followed, "--diff").stderr
    assert later in lint(followed, "--fix", "--unsafe-fixes").stderr
    (content,) = json.loads(lint(followed, "--format", "json").stdout)["files"]
    assert [finding["fix"] for finding in content["findings"]] == ["none"]
    assert content["after_fixes"] == []


def test_fix_writes_safe_fixes_and_lints_the_result(fixable: Path) -> None:
    result = lint(fixable, "--fix", "--format", "json")
    assert result.exit_code == 0, result.output
    assert result.stderr == f"{fixable}: written, 1 fixed (RG101)\n"
    (content,) = json.loads(result.stdout)["files"]
    assert [finding["code"] for finding in content["findings"]] == ["RG103"]
    assert fixable.read_text(encoding="utf-8") == FIXABLE.replace("1e-5", "off")
    assert lint(fixable, "--fix").stderr == f"{fixable}: nothing to fix\n"
    assert lint(fixable, "--diff").stdout == ""


def test_unsafe_fixes_go_with_fix(fixable: Path) -> None:
    result = lint(fixable, "--fix", "--unsafe-fixes")
    assert result.exit_code == 0, result.output
    assert fixable.read_text(encoding="utf-8") == FIXABLE.replace("1e-5", "off").replace(
        "dropout: 0.1}  # from", "dropout: off}  # dropout was 0.1: from"
    )


def test_fix_follows_a_link_and_keeps_line_ends(tmp_path: Path) -> None:
    path, link = tmp_path / "real.yaml", tmp_path / "link.yaml"
    path.write_bytes(FIXABLE.replace("\n", "\r\n").encode())
    link.symlink_to(path)
    assert lint(link, "--fix").exit_code == 0
    assert link.is_symlink()
    assert path.read_bytes() == FIXABLE.replace("1e-5", "off").replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--unsafe-fixes",), "--unsafe-fixes needs --fix or --diff"),
        (("--fix", "--set", "train.seed=1"), "omit --set"),
        (("--diff", "--set", "train.seed=1"), "omit --set"),
    ],
)
def test_fixes_that_cannot_be(fixable: Path, arguments: tuple[str, ...], message: str) -> None:
    result = lint(fixable, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert fixable.read_text(encoding="utf-8") == FIXABLE


def test_several_recipes_are_fixed_at_once(fixable: Path, gru: Path) -> None:
    result = lint(fixable, gru, BAD, "--fix", "--unsafe-fixes", "--fail-on", "info")
    assert result.exit_code == 2, "one of them is no recipe"
    assert "weight_decay: off" in fixable.read_text(encoding="utf-8")
    assert f"{gru}: nothing to fix" in result.stderr
    assert f"{BAD}:7:3: unknown key optim.warm_up" in result.stderr


def test_fix_that_cannot_be_written_leaves_the_recipe(fixable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, text: str) -> None:
        raise RunError(f"{path}: cannot write: No space left on device")

    monkeypatch.setattr("dpdrun.run.files.write_text", full)
    result = lint(fixable, "--fix")
    assert result.exit_code == 2
    assert "No space left on device" in result.stderr
    assert fixable.read_text(encoding="utf-8") == FIXABLE


def test_a_rule_with_a_bug_is_named(faulty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its silence would read as its approval."""
    rule = all_rules()["TL101"]

    @functools.wraps(rule.function)
    def fail(*_facts: object, **_more: object) -> None:
        raise AttributeError("no such fact")

    monkeypatch.setitem(rule.__dict__, "function", fail)
    result = CliRunner().invoke(app, ["lint", str(faulty)])
    assert "note: rule TL101 failed: AttributeError('no such fact'); please report it\n" in result.stderr


def test_a_diff_without_changes_says_so(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("task: pa\ndata: {source: synthetic/mild}\nmodel: {kind: gru, hidden: 8}\n")
    result = CliRunner().invoke(app, ["lint", str(path), "--diff"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{path}: no finding has a fix that applies here\n"
