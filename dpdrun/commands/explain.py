"""`dpdrun explain`: the page of a rule, or what sets a field of the recipe."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from dpdrun.recipe.describe import FieldDoc
    from dpdrun.rules.catalogue import Rule


class Format(enum.StrEnum):
    """How to print."""

    rich = "rich"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    what: Annotated[
        str,
        typer.Argument(
            metavar="CODE|FIELD", help="A rule such as LR001, or a field such as optim.lr.", show_default=False
        ),
    ],
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.rich,
) -> None:
    """Why a rule says what it says, or which rules set a field of the recipe."""
    from rich.console import Console

    from dpdrun.report.rule_page import field_view, rule_view
    from dpdrun.rules.pages import to_json

    found = _find(what)
    if not isinstance(found, tuple):
        if format_ is Format.json:
            typer.echo(json.dumps(to_json(found), indent=2))
        else:
            Console().print(rule_view(found), highlight=False)
        return
    docs, rules = found
    if format_ is Format.json:
        from dpdrun.recipe.describe import text_of

        content = {
            "field": docs[0].key,
            "description": docs[0].description,
            "takes": docs[0].expected,
            "default": None if docs[0].required else text_of(docs[0].default),
            "rules": [to_json(rule) for rule in rules],
        }
        typer.echo(json.dumps(content, indent=2))
    else:
        Console().print(field_view(docs, rules), highlight=False)


def _find(what: str) -> Rule | tuple[list[FieldDoc], list[Rule]]:
    """A rule by code or slug, or a field with the rules that set it. Raises CatalogueError when it is neither."""
    from dpdrun.recipe.describe import field_docs
    from dpdrun.rules.catalogue import CatalogueError, all_rules, find_rule

    docs = [doc for doc in field_docs() if what in (doc.key, doc.name)]
    if docs:
        key = docs[0].key
        return [doc for doc in docs if doc.key == key], [rule for rule in all_rules().values() if rule.sets == key]
    if "." not in what:
        return find_rule(what)
    import difflib

    near = difflib.get_close_matches(what, [doc.key for doc in field_docs()], n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise CatalogueError(f"no field of the recipe is called {what!r}{hint} (docs/recipe.md lists them all)")
