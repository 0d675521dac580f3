"""Whatever a command raises: one message, an exit code, no traceback."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from dpdrun import commands
from dpdrun.errors import DpdrunError


def failing(error: BaseException) -> Any:
    def fail() -> None:
        raise error

    app = commands.build_app()
    app.command("fail")(fail)
    return CliRunner().invoke(app, ["fail"])


def test_a_bug_is_one_line_and_a_file_with_its_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    result = failing(KeyError("a\x1b[31m"))
    assert result.exit_code == 70
    assert len(result.stderr.splitlines()) == 1
    assert "Traceback" not in result.output
    assert "SECURITY.md" in result.stderr
    named = re.search(r"its traceback is in (\S+):", result.stderr)
    assert named is not None
    trace = Path(named[1]).read_text()
    assert "Traceback (most recent call last)" in trace
    assert "raise error" in trace
    assert "\x1b" not in trace + result.output


def test_a_bug_is_told_where_no_file_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    result = failing(ZeroDivisionError("division by zero"))
    assert result.exit_code == 70
    assert result.stderr.startswith("error: a bug in dpdrun: ZeroDivisionError: division by zero; its traceback cannot")


def test_an_error_of_the_system_exits_2() -> None:
    result = failing(PermissionError(13, "Permission denied", "x.csv"))
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert result.stderr.startswith("error: x.csv: Permission denied; ")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("name the recipe:\n  dpdrun train NAME", "error: name the recipe:\n  dpdrun train NAME\n"),
        ("r.yaml:3:5: no such field\n  3 | x", "error:\nr.yaml:3:5: no such field\n  3 | x\n"),
        ("no such run", "error: no such run\n"),
    ],
)
def test_a_heading_is_on_the_line_of_the_word_error_and_a_place_begins_its_own(text: str, shown: str) -> None:
    assert failing(DpdrunError(text)).stderr == shown


def test_wrong_usage_shows_no_control_characters() -> None:
    result = CliRunner().invoke(commands.app, ["train", "--no\x1b[31m\u202e"])
    assert result.exit_code == 2
    assert "--no\\x1b[31m\\u202e" in result.stderr
    assert not {"\x1b", "\u202e"} & set(result.output)


def test_typer_exits_pass() -> None:
    assert failing(typer.Exit(3)).exit_code == 3
