"""The notebooks of docs/tutorials: executed (slow), and as they are in the repository."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def outputs_of(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [output for cell in cells for output in cell.get("outputs", ())]


def test_there_is_a_notebook_for_each_purpose() -> None:
    names = [path.stem for path in NOTEBOOKS]
    assert names == ["bring_your_own_network", "own_capture_to_predistorter", "read_a_training_curve"]
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in names if f"({name}.ipynb)" not in index] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_with_its_outputs(path: Path) -> None:
    outputs = outputs_of(path)
    assert len(outputs) >= 4, "run make tutorials"
    assert [output for output in outputs if output["output_type"] == "error"] == []
    assert path.stat().st_size < 400_000
    views = [output for output in outputs if output["output_type"] == "display_data"]
    assert len(views) <= 3  # one live view for each training, however many steps it has


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    command = [sys.executable, str(FOLDER / "execute.py"), "--check", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stdout + done.stderr
