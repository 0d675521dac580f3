"""Rule pages: written whole, stale ones removed, and the index complete."""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.rules import pages
from dpdrun.rules.engine import all_rules, find_rule
from dpdrun.rules.regret import groups_of


def test_write_replaces_stale_pages(tmp_path: Path) -> None:
    (tmp_path / "XX001.md").write_text("gone", encoding="utf-8")
    written = pages.write(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in written)
    assert len(written) == len(all_rules()) + 1


def test_index_links_every_rule() -> None:
    text = pages.index()
    assert all(f"[{code}]({code}.md)" in text for code in all_rules())


def test_page_holds_what_the_rule_declares() -> None:
    text = pages.page(find_rule("LR010"))
    assert "optim.lr" in text
    assert "docs/results.md#regret" in text
    assert "kind transformer; d_model 8 to" in text


def test_page_says_what_the_rule_is_worth() -> None:
    worth = groups_of("optim.schedule")["transformer"][0]
    assert worth.median_db > 1.0
    assert f"Transformer, constant schedule: {worth.median_db:+.2f} dB" in pages.page(find_rule("SC010"))
    assert pages.to_json(find_rule("SC010"))["worth"]["transformer"][0]["median_db"] == worth.median_db
    assert pages.worth_of_rule(find_rule("MD103"))
    assert pages.worth_of_rule(find_rule("MD101")) == {}, "a check of something else"
    assert pages.worth_of_rule(find_rule("SC201")) == {}, "a diagnosis"


def test_json_of_every_rule_is_json() -> None:
    rules = all_rules()
    assert rules
    for rule in rules.values():
        assert json.loads(json.dumps(pages.to_json(rule), allow_nan=False))["code"] == rule.code
