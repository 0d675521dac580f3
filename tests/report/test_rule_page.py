"""The page of a rule and of a field on the terminal."""

from __future__ import annotations

from rich.console import Console, RenderableType

from dpdrun.recipe.describe import field_docs
from dpdrun.report.rule_page import field_view, rule_view
from dpdrun.rules.engine import HEADINGS, find_rule


def shown(view: RenderableType) -> str:
    console = Console(width=160, no_color=True)
    with console.capture() as capture:
        console.print(view, highlight=False)
    return capture.get()


def test_rule_has_declaration_and_sections() -> None:
    text = shown(rule_view(find_rule("LR010")))
    assert text.startswith("LR010 lr_by_measured_width")
    assert "measured (docs/results.md#regret)" in text
    assert all(heading in text for heading in HEADINGS)


def test_field_that_two_kinds_have() -> None:
    docs = [doc for doc in field_docs() if doc.key == "model.layers"]
    text = shown(field_view(docs, []))
    assert len(docs) == 2
    assert "(model kind transformer)" in text
    assert "(model kind gru)" in text
    assert "no rule sets it" in text
