"""The walk-through of CONTRIBUTING.md works as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

# Enters the rule as its family file would, then asks what tests/test_catalogue.py asks of every rule.
PROGRAM = """
import sys
from dpdrun.rules import pages
from dpdrun.rules.plan import schedule
from dpdrun.rules.engine import HEADINGS, all_rules, evaluate_rules
before = set(all_rules())
exec(compile(sys.stdin.read(), schedule.__file__, "exec"), vars(schedule))
(code,) = set(all_rules()) - before
rule = all_rules()[code]
assert tuple(pages.page_sections(rule)) == ("", *HEADINGS)
fired, silent = evaluate_rules([rule], rule.fires())[0], evaluate_rules([rule], rule.silent())[0]
(finding,) = fired.findings
assert finding.advice and rule.about and finding.fix == "unsafe"
assert silent.silent == [code]
again = rule.fires().with_patch(finding.patch)
assert evaluate_rules([rule], again)[0].silent == [code], "the patch settles the finding"
print(code)
"""


def test_example_of_a_rule_is_a_rule() -> None:
    blocks = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) == 2
    rule, test = blocks
    done = subprocess.run([sys.executable, "-c", PROGRAM], input=rule, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f'"{done.stdout.strip()}" in checked(' in test


def test_files_that_it_names_exist() -> None:
    named = [name for name in re.findall(r"`((?:dpdrun|tests|docs)/[\w/]+\.\w+)`", TEXT) if "<" not in name]
    assert len(named) > 3
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_each_make_target_has_one_recipe_and_those_that_pages_name_exist() -> None:
    rules = re.findall(r"^([a-z][\w-]*):.*\n\t", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert [target for target in rules if rules.count(target) > 1] == []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    named = {each for page in pages for each in re.findall(r"`make ([a-z][\w-]*)", page.read_text(encoding="utf-8"))}
    assert len(named) > 20
    assert named - set(rules) == set()
