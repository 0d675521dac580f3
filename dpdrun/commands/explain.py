"""`dpdrun explain`: the page of a rule, what sets a field of the recipe, or a page of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.commands._completion import complete_rule_or_field
from dpdrun.commands._options import FormatOption, PluginOption, TextFormat, load_plugins, print_json
from dpdrun.commands._output import say
from dpdrun.errors import DpdrunError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dpdrun.recipe.describe import FieldDoc
    from dpdrun.rules.engine import Rule

    Found = Rule | tuple[list[FieldDoc], list[Rule]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("explain")(explain)


def explain(
    what: Annotated[
        str | None,
        typer.Argument(
            autocompletion=complete_rule_or_field,
            metavar="[CODE|FIELD|PAGE]",
            help="A rule such as LR001, a field such as optim.lr, or a page such as docs/data.md.",
            show_default="list all rules",
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="List all rules, the default without CODE or FIELD.")] = False,
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """Explain a rule, show which rules set or check a field of the recipe, or show a page of the documentation."""
    load_plugins(plugin)
    if what is not None and every:
        raise DpdrunError(f"give {what} or --all, not both")
    if what is not None and what.startswith("docs/"):
        if format_ is TextFormat.json:
            raise DpdrunError(f"{what} is a page of text: omit --format json")
        _show_page(what)
        return
    found = None if what is None else _find(what)
    if format_ is TextFormat.json:
        print_json(_content(found))
    else:
        from dpdrun.report.terminal import Terminal

        Terminal().print(_view(found), highlight=False)


def _show_page(name: str) -> None:
    from rich.markdown import Markdown

    from dpdrun.report.documentation import page
    from dpdrun.report.terminal import Terminal

    text, console = page(name), Terminal()
    if console.is_terminal:
        console.print(Markdown(text))
    else:
        say(text, exact=True)


def _content(found: Found | None) -> dict[str, Any]:
    from dpdrun.rules.pages import catalogue_json, field_json, to_json

    if found is None:
        return catalogue_json()
    return field_json(*found) if isinstance(found, tuple) else to_json(found)


def _view(found: Found | None) -> RenderableType:
    from dpdrun.report.rule_page import catalogue_view, field_view, rule_view
    from dpdrun.rules.engine import all_rules

    if found is None:
        return catalogue_view(all_rules().values())
    return field_view(*found) if isinstance(found, tuple) else rule_view(found)


def _find(what: str) -> Found:
    """Return a rule by code or slug, or a field with the rules that set or check it.

    Raises:
        CatalogueError: it is neither.
    """
    from dpdrun.rules.engine import CatalogueError, all_rules, find_rule

    if what.upper() in all_rules():
        return find_rule(what)  # without the schema of recipes, which takes longer than the rest
    from dpdrun.recipe import plugins
    from dpdrun.recipe.describe import field_docs

    plugins.entries("models")  # of installed packages too
    docs = [doc for doc in field_docs() if what in (doc.key, doc.name)]
    if docs:
        key = docs[0].key
        rules = [rule for rule in all_rules().values() if rule.sets == key or key in rule.about]
        return [doc for doc in docs if doc.key == key], rules
    if "." not in what:
        return find_rule(what)
    import difflib

    near = difflib.get_close_matches(what, [doc.key for doc in field_docs()], n=2)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    if what.startswith("model."):
        hint += "; a field of a plug-in needs --plugin FILE.py"
    raise CatalogueError(f"no field of the recipe is called {what!r}{hint} (docs/recipe.md lists them all)")
