"""The examples on the pages: lines of a recipe that can be pasted, and the real message."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from dpdrun.recipe.describe import field_docs
from dpdrun.rules.engine import Rule, all_rules, find_rule
from dpdrun.rules.page_examples import example_of, example_text

RULES = list(all_rules().values())
FIELDS = {doc.key for doc in field_docs()}


def leaves(tree: dict[str, Any], above: str = "") -> set[str]:
    found: set[str] = set()
    for name, value in tree.items():
        found |= leaves(value, f"{above}{name}.") if isinstance(value, dict) else {above + name}
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_example_has_the_message_and_lines_that_the_schema_knows(rule: Rule) -> None:
    text, finding = example_text(rule), example_of(rule)
    assert finding.message in text
    blocks = [yaml.safe_load(block) or {} for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    keys = [leaves(block) for block in blocks]
    assert set().union(*keys) <= FIELDS | {"model.kind"}
    if finding.patch:
        assert set(finding.patch) <= keys[-1], "the patch is what comes last"
    assert "\nNo finding " in text or "\nDoes not apply " in text


def test_example_of_a_check_is_a_recipe_before_and_after() -> None:
    text = example_text(find_rule("OP101"))
    before, after = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert yaml.safe_load(before) == {
        "model": {"kind": "transformer"}, "optim": {"beta2": 0.999}, "train": {"max_steps": 500},
    }  # fmt: skip
    assert yaml.safe_load(after) == {"optim": {"beta2": example_of(find_rule("OP101")).patch["optim.beta2"]}}
    assert "unsafe: changes what is trained" in text
    assert text.endswith("No finding with `optim.beta2: 0.95`.")


def test_example_of_a_derive_rule_gives_its_reason() -> None:
    assert "beta1: 0.9  # PyTorch's default" in example_text(find_rule("OP001"))


def test_example_of_a_diagnosis_names_the_facts_that_matter() -> None:
    text = example_text(find_rule("CL201"))
    assert text.startswith("A run with `norm` 3 and `clip_norm` 1.")
    assert text.endswith("No finding for a run with `norm` 0.5.")
    assert "`norm` 0.3 (12 in 1 of 400 steps)" in example_text(find_rule("SK201"))
