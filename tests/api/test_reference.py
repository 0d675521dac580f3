"""docs/api.md: written from the docstrings, and exactly the public names. And the types of those names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dpdrun
from dpdrun.api import reference

SCRIPT = Path(__file__).parent / "typed_script.py"


def test_the_public_names_are_the_documented_ones() -> None:
    assert sorted(reference.documented()) == sorted(dpdrun.__all__)
    assert len(set(reference.documented())) == len(reference.documented())


def test_the_page_is_current() -> None:
    assert reference.PAGE.read_text(encoding="utf-8") == reference.page(), "docs/api.md is out of date: run make docs"


def test_every_name_has_a_heading_a_signature_and_its_errors() -> None:
    page = reference.page()
    for name in reference.FUNCTIONS:
        assert f"\n### {name}\n\n```python\n{name}(" in page
        assert "Raises" in (getattr(dpdrun, name).__doc__ or "") or "errors as" in getattr(dpdrun, name).__doc__
    for name in ("Run.predict", "Predistorter.predistort", "Capture.from_arrays", "Scores.nmse_db", "Plot.save"):
        assert f"\n#### {name}\n" in page
    assert "- `verdict`: the worst severity" in page  # of the class that Diagnosis is made of
    assert "sample_rate_hz: float,\n" in page
    assert "overrides: Overrides = ()," in page


def test_the_script_uses_every_public_name() -> None:
    text = SCRIPT.read_text(encoding="utf-8")
    assert [name for name in dpdrun.__all__ if f"dpdrun.{name}" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize(("change", "errors"), [(("", ""), 0), (('"psd", split="val"', '"psd", split="both"'), 1)])
def test_a_users_script_passes_mypy_strict(change: tuple[str, str], errors: int, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.read_text(encoding="utf-8").replace(*change, 1), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == errors, done.stdout
