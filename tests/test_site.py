"""The documentation site: it builds in strict mode, and a link or an anchor that leads nowhere ends the build."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(root: Path, out: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("material", reason="needs pip install -e '.[docs]'")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(root / "mkdocs.yml")]
    return subprocess.run([*words, "--site-dir", str(out)], capture_output=True, text=True, check=False)


def test_the_site_builds_and_nothing_in_it_comes_from_elsewhere(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "tutorial.html").read_text(encoding="utf-8")
    assert "data inspect my_pa.mat" in page
    assert not re.findall(r'(?:src|href)="(https?://[^"]+\.(?:js|css|woff2?))"', page)


@pytest.mark.parametrize("link", ["nowhere.md", "glossary.md#nothing"])
def test_a_link_that_leads_nowhere_ends_the_build(link: str, tmp_path: Path) -> None:
    for name in ("mkdocs.yml", ".ci"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "glossary.md", tmp_path / "docs")
    config = (tmp_path / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:\n  - Home")[0]
    (tmp_path / "mkdocs.yml").write_text(config, encoding="utf-8")
    glossary = (tmp_path / "docs" / "glossary.md").read_text(encoding="utf-8")
    (tmp_path / "docs" / "glossary.md").write_text(re.sub(r"\]\([a-z]+\.md[^)]*\)", "](glossary.md)", glossary))
    assert build(tmp_path, tmp_path / "out").returncode == 0
    (tmp_path / "docs" / "index.md").write_text(f"[this]({link})")
    done = build(tmp_path, tmp_path / "out")
    assert done.returncode != 0
    assert link in done.stderr


def test_files_of_the_repository_name_the_same_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
