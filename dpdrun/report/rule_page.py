"""The page of a rule, or of a field of the recipe, on the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from dpdrun.recipe.describe import FieldDoc, text_of
from dpdrun.report.layout import facts_grid
from dpdrun.rules.engine import HEADINGS, Rule
from dpdrun.rules.pages import PURPOSE_TITLES, declaration_of, page_sections


def rule_view(rule: Rule) -> RenderableType:
    """Return everything about one rule."""
    facts = facts_grid({**declaration_of(rule), "code": rule.location}.items())
    parts: list[RenderableType] = [Text(f"{rule.code} {rule.slug}", "bold"), Text(rule.summary), "", facts]
    sections = page_sections(rule)
    for heading in HEADINGS:
        parts += ["", Text(heading, "bold cyan"), Markdown(sections[heading])]
    return Group(*parts)


def field_view(docs: list[FieldDoc], rules: list[Rule]) -> RenderableType:
    """Return a recipe field with its documentation, and the rules that set or check it."""
    parts: list[RenderableType] = [Text(docs[0].key, "bold")]
    for doc in docs:
        kind = f" (model kind {doc.kind})" if doc.kind and len(docs) > 1 else ""
        parts.append(Text(f"{doc.description}{kind}"))
        default = "required" if doc.required else f"default {text_of(doc.default)}"
        parts.append(Text(f"{doc.expected}; {default}", "dim"))
    setting = [rule for rule in rules if rule.sets]
    parts += ["", Text("set by" if setting else "no rule sets it", "bold")]
    parts += [_listed(setting)] if setting else []
    if checking := [rule for rule in rules if not rule.sets]:
        parts += ["", Text("checked by", "bold"), _listed(checking)]
    return Group(*parts)


def _listed(rules: list[Rule]) -> Table:
    table = Table.grid(padding=(0, 2))
    for rule in rules:
        table.add_row(Text(rule.code, "bold"), rule.profile, rule.evidence, Text(rule.summary))
    return table


def catalogue_view(rules: Iterable[Rule]) -> RenderableType:
    """Return all rules by purpose, one per line."""
    rules = list(rules)
    parts: list[RenderableType] = []
    for purpose, title in PURPOSE_TITLES.items():
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        for rule in rules:
            if rule.purpose == purpose:
                table.add_row(Text(rule.code, "bold"), Text(rule.summary))
        parts += ["", Text(title, "bold cyan"), table]
    return Group(
        *parts[1:],
        "",
        Text("dpdrun explain CODE shows a rule; dpdrun explain optim.lr shows the rules of a field", "dim"),
    )
