"""The code of docs/plugins.md works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dpdrun.plugins.check import check_file
from dpdrun.rules.engine import find_rule
from dpdrun.rules.page_examples import example_text

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.mark.usefixtures("plugin_registry")
@pytest.mark.parametrize("has", ["class Model", "@check"])
def test_what_the_page_shows_passes_its_check(tmp_path: Path, has: str) -> None:
    [text] = [block for block in BLOCKS if has in block]
    path = tmp_path / "shown.py"
    path.write_text(text, encoding="utf-8")
    checks = check_file(path)
    assert len(checks) >= 2
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.usefixtures("plugin_registry")
def test_a_rule_whose_patch_nobody_applies_has_a_page(tmp_path: Path) -> None:
    [text] = [block for block in BLOCKS if "@check" in block]
    path = tmp_path / "shown.py"
    path.write_text(text.replace('    fix="unsafe",\n', ""), encoding="utf-8")
    assert [str(check) for check in check_file(path) if not check.passed] == []
    assert "With the change that it advises:" in example_text(find_rule("LB101"))
