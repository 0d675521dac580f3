"""The page of a rule, or of a field of the recipe, on the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from dpdrun.recipe.describe import FieldDoc, text_of
from dpdrun.rules.catalogue import HEADINGS, Rule
from dpdrun.rules.pages import declaration_of, sections_of


def rule_view(rule: Rule) -> RenderableType:
    """Everything about one rule."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, text in {**declaration_of(rule), "code": rule.location}.items():
        facts.add_row(name, Text(text))
    parts: list[RenderableType] = [Text(f"{rule.code} {rule.slug}", "bold"), Text(rule.summary), "", facts]
    sections = sections_of(rule)
    for heading in HEADINGS:
        parts += ["", Text(heading, "bold cyan"), Markdown(sections[heading])]
    return Group(*parts)


def field_view(docs: list[FieldDoc], rules: list[Rule]) -> RenderableType:
    """A recipe field, by its documentation, and the rules that set or check it."""
    parts: list[RenderableType] = [Text(docs[0].key, "bold")]
    for doc in docs:
        kind = f" (model kind {doc.kind})" if doc.kind and len(docs) > 1 else ""
        parts.append(Text(f"{doc.description}{kind}"))
        default = "required" if doc.required else f"default {text_of(doc.default)}"
        parts.append(Text(f"{doc.expected}; {default}", "dim"))
    table = Table.grid(padding=(0, 2))
    for rule in rules:
        table.add_row(Text(rule.code, "bold"), rule.profile, rule.evidence, Text(rule.summary))
    parts += ["", Text("set by" if rules else "no rule sets it", "bold"), table]
    return Group(*parts)
