"""What the shell completes, as the scripts of `dpdrun --install-completion` ask for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dpdrun.commands import app

ASK = """
import sys
sys.argv = ["dpdrun"]
from dpdrun.commands import app
try:
    app(prog_name="dpdrun")
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


def completed(line: str) -> list[str]:
    """Return what bash offers at the end of a line."""
    position = len(line.split()) - (0 if line.endswith(" ") else 1)
    environment = {"_DPDRUN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(position)}
    return CliRunner().invoke(app, [], prog_name="dpdrun", env=environment).stdout.split()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a run, a recipe and a capture."""
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "plan.json").write_text("{}")
    for name in ("mine.yaml", "mine.csv", "mine.txt"):
        (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "offered"), [
    ("dpdrun explain LR00", ["LR001", "LR002"]),
    ("dpdrun explain optim.lr", ["optim.lr", "optim.lr_end"]),
    ("dpdrun data pull APA_200MHz_", ["APA_200MHz_b"]),
    ("dpdrun data pull syn", []),
    ("dpdrun data inspect m", ["mine.csv"]),
    ("dpdrun recommend --data synthetic/h", ["synthetic/hard"]),
    ("dpdrun train --set train.devi", ["train.device="]),
    ("dpdrun train --set train.device=c", ["train.device=cpu", "train.device=cuda"]),
    ("dpdrun train quickstart_", ["quickstart_gmp", "quickstart_gru"]),
    ("dpdrun train m", ["mine.yaml"]),
    ("dpdrun recipe copy pipe", ["pipeline"]),
    ("dpdrun diagnose runs/", ["runs/mine"]),
    ("dpdrun compare runs/mine r", ["runs/mine", "runs/"]),
    ("dpdrun runs remove runs/m", ["runs/mine"]),
    ("dpdrun data inspect none/", []),
])  # fmt: skip
def test_words_that_can_follow(line: str, offered: list[str], folder: Path) -> None:
    assert completed(line) == offered


def test_completion_does_not_wait_for_torch(folder: Path) -> None:
    environment = {"_DPDRUN_COMPLETE": "complete_bash", "COMP_WORDS": "dpdrun train --set optim.", "COMP_CWORD": "3"}
    done = subprocess.run([sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("optim.lr=")
    assert done.stderr.splitlines()[-1] == "False"
