"""`dpdrun plugins`: list, check and begin plug-ins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._options import (
    ForceOption,
    FormatOption,
    PluginOption,
    TextFormat,
    argument,
    load_plugins,
    option,
    print_json,
)
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_FINDINGS

if TYPE_CHECKING:
    from dpdrun.plugins.check import Check

plugins_app = typer.Typer(no_args_is_help=True, help="List, check and create plug-ins: own models, losses, formats.")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(plugins_app, name="plugins")


@plugins_app.command("list")
def list_plugins(plugin: PluginOption = None, format_: FormatOption = TextFormat.text) -> None:
    """List what recipes can name: what dpdrun brings, installed plug-ins, and those of --plugin."""
    load_plugins(plugin)
    from dpdrun.recipe.plugins import GROUPS, PluginError, find, names

    rows = []
    for group in GROUPS:
        for name in names(group):
            try:
                entry = find(group, name)
                origin = None if entry is None else entry.origin
                problem = None
            except PluginError as error:
                origin, problem = None, str(error)
            rows.append(
                {
                    "group": group,
                    "name": name,
                    "plugin": origin.name if origin else None if problem else "dpdrun",
                    "version": origin.version if origin else None,
                    "path": origin.path if origin else None,
                    "sha256": origin.sha256 if origin else None,
                    "problem": problem,
                }
            )
    if format_ is TextFormat.json:
        print_json({"plugins": rows})
        return
    for row in rows:
        source = " ".join(str(row[key]) for key in ("plugin", "version", "path") if row[key])
        say(f"{row['group']:10}  {row['name']:16}  {source or 'broken: ' + str(row['problem'])}")


@plugins_app.command("check")
def check(
    what: Annotated[str, argument(metavar="NAME|FILE.py", help="A kind, loss, optimizer, format or rule; or a file.")],
    settings: Annotated[
        list[str] | None, option("--set", metavar="KEY=VALUE", help="Value of a field that has no default.")
    ] = None,
    plugin: PluginOption = None,
    format_: FormatOption = TextFormat.text,
) -> None:
    """Check a plug-in against its contract, and say in words what fails; exit 1 if something does."""
    load_plugins(plugin)
    from dpdrun.plugins.check import check_file, check_name

    is_file = what.endswith(".py")
    checks = check_file(Path(what), settings or []) if is_file else check_name(what, settings or [])
    failed = [each for each in checks if not each.passed]
    if format_ is TextFormat.json:
        print_json({"passed": not failed, "checks": [each.to_json() for each in checks]})
    else:
        _show(checks, len(failed))
    if failed:
        raise typer.Exit(EXIT_FINDINGS)


def _show(checks: list[Check], failed: int) -> None:
    shown = ""
    for each in checks:
        title = f"{each.group}: {each.name}"
        if title != shown:
            say(title)
            shown = title
        say(f"  {each}")
    say(f"{failed} of {len(checks)} checks failed" if failed else f"{len(checks)} checks passed")


@plugins_app.command("new")
def new(
    name: Annotated[str, argument(help="Name of the new kind, as a recipe writes it.")],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")] = Path(),
    state: Annotated[
        bool, typer.Option("--state", help="A model that keeps its own state, such as a recurrent network.")
    ] = False,
    force: ForceOption = False,
) -> None:
    """Write a kind of model that works, its test and a recipe, ready to edit (docs/plugins.md)."""
    from dpdrun.plugins.scaffold import write_plugin

    paths = write_plugin(name, out, state=state, force=force)
    say(f"written: {', '.join(map(str, paths))}", err=True)
    say(f"check it:  dpdrun plugins check {paths[0]}\ntrain it:  dpdrun train {paths[2]} --plugin {paths[0]}")
