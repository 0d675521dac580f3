"""The code of docs/plugins.md works as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from dpdrun import Capture
from dpdrun.errors import DataError
from dpdrun.plugins.check import check_file
from dpdrun.recipe.plugins import load_files
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
def test_the_format_that_the_page_shows_reads_a_file(tmp_path: Path) -> None:
    [text] = [block for block in BLOCKS if "FORMATS" in block]
    path = tmp_path / "lab.py"
    path.write_text(text, encoding="utf-8")
    assert [check.passed for check in check_file(path)] == [True]
    samples = np.random.default_rng(0).standard_normal((2000, 4)).astype("<f4")
    (tmp_path / "a.lab").write_bytes(b'LAB1{"rate": 1e6}\n' + samples.tobytes())
    capture = Capture.load(tmp_path / "a.lab")
    assert (capture.sample_rate_hz, len(capture.train.x)) == (1e6, 1180)
    assert capture.train.y[0] == samples[0, 2] + 1j * samples[0, 3]


@pytest.mark.usefixtures("plugin_registry")
@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ('{"a": samples[:, :2], "b": samples[:, 2:]}', "which signal is the input.*There are:\n  a: 400 .*\n  b: 400"),
        ('{"input": samples[:, :2], "output": "text"}', r"lab.py, sha256 .*: read returned output as <U4, not numbers"),
        ('{"input": [1, [2]]}', "read returned input as no array of numbers"),
        ('{"sample_rate_hz": 1}', "read returned no signal: sample_rate_hz; it has to return input and output"),
        ("samples", "read returned a ndarray, not a dictionary"),
    ],
)
def test_what_a_format_returns_is_named(tmp_path: Path, returned: str, message: str) -> None:
    [text] = [block for block in BLOCKS if "FORMATS" in block]
    path = tmp_path / "lab.py"
    path.write_text(re.sub(r"return \{.*", f"return {returned}", text), encoding="utf-8")
    load_files([path])
    (tmp_path / "a.lab").write_bytes(b'LAB1{"rate": 1e6}\n' + bytes(6400))
    with pytest.raises(DataError, match=message):
        Capture.load(tmp_path / "a.lab")


@pytest.mark.usefixtures("plugin_registry")
def test_a_rule_whose_patch_nobody_applies_has_a_page(tmp_path: Path) -> None:
    [text] = [block for block in BLOCKS if "@check" in block]
    path = tmp_path / "shown.py"
    path.write_text(text.replace('    fix="unsafe",\n', ""), encoding="utf-8")
    assert [str(check) for check in check_file(path) if not check.passed] == []
    assert "With the change that it advises:" in example_text(find_rule("LB101"))
