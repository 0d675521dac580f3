"""Options and formats of earlier versions; and one word for one thing over all commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app
from dpdrun.commands._renamed import current_spelling
from dpdrun.errors import DpdrunError

CLI = (Path(__file__).parents[1] / "golden" / "cli.txt").read_text()


@pytest.mark.parametrize(
    ("typed", "now"),
    [
        ("evaluate runs/x --save=pages", "evaluate runs/x --output=pages"),
        ("recommend a.yaml --out b.yaml --format table", "recommend a.yaml --output b.yaml --format text"),
        ("diagnose runs/x --format=rich", "diagnose runs/x --format=text"),
        ("data inspect a.mat --input x --output y", "data inspect a.mat --input-signal x --output-signal y"),
        ("diagnose --prediction p --target y --input x", "diagnose --prediction p --target y --input x"),
        ("recommend --data a.mat --output b.yaml", "recommend --data a.mat --output b.yaml"),
        ("import -- python main.py --out x", "import -- python main.py --out x"),
        ("sweep show --format table", "sweep show --format text"),
        ("diagnose table", "diagnose table"),
    ],
)
def test_current_spelling(typed: str, now: str) -> None:
    assert shlex.join(current_spelling(shlex.split(typed))) == now


@pytest.mark.parametrize("typed", ["data align a.mat -o b.npz --output rx", "recommend --data a.mat --output=rx"])
def test_the_name_of_a_signal_is_not_written_to(typed: str) -> None:
    with pytest.raises(DpdrunError, match=r"--output rx: .* a signal: --output-signal"):
        current_spelling(typed.split())
    assert CliRunner().invoke(app, typed.split()).exit_code == 2


def test_old_formats_print_the_same() -> None:
    texts = [CliRunner().invoke(app, ["data", "list", *words]).stdout for words in ([], ["--format", "table"])]
    assert texts[0] == texts[1] != ""


def test_one_name_for_the_file_to_write_and_for_text() -> None:
    assert "--out\n" not in CLI
    assert "--save" not in CLI
    formats = re.findall(r"--format (\S+)", CLI)
    assert len(formats) > 15
    assert all(each.startswith("text") and "json" in each for each in formats)
    assert "-o\n" not in CLI
    assert CLI.count("-o --output\n") >= 12
