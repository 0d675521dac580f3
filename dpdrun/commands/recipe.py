"""`dpdrun recipe`: the recipes of the package, checks, a new one, the JSON Schema for editors."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_recipe, complete_shipped
from dpdrun.commands._options import (
    BandwidthOption,
    ForceOption,
    FormatOption,
    PluginOption,
    SampleRateOption,
    SetOption,
    TextFormat,
    argument,
    load_plugins,
    option,
    print_json,
    refuse_existing,
    stated_rates,
    write_recipe,
)
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.recipe.loader import Loaded

recipe_app = typer.Typer(no_args_is_help=True, help="List, copy, check and create recipes; write their JSON Schema.")

OutputOption = Annotated[
    Path | None, typer.Option("-o", "--output", help="File to write.", show_default="standard output")
]


Task = StrEnum("Task", "pa dpd")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(recipe_app, name="recipe")


@recipe_app.command("list")
def list_recipes(
    format_: FormatOption = TextFormat.text,
) -> None:
    """List the recipes of the package; `dpdrun train NAME` trains one."""
    from dpdrun.recipe.shipped import shipped

    if format_ is TextFormat.json:
        recipes = [{"name": each.name, "path": str(each.path), "about": each.about} for each in shipped()]
        print_json({"recipes": recipes})
        return
    from dpdrun.report.layout import facts_grid
    from dpdrun.report.terminal import Terminal

    Terminal(highlight=False).print(facts_grid((each.name, each.about) for each in shipped()))


@recipe_app.command("copy")
def copy(
    name: Annotated[str, argument(help="A recipe of `dpdrun recipe list`.", autocompletion=complete_shipped)],
    out: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.", show_default="NAME.yaml")] = None,
    force: ForceOption = False,
) -> None:
    """Copy a recipe of the package to a new file, ready to edit."""
    from dpdrun.recipe.shipped import SUFFIX, by_name

    recipe = by_name(name)
    write_recipe(out or Path(f"{recipe.name}{SUFFIX}"), recipe.copied(), force)


@recipe_app.command("check")
def check(
    files: Annotated[list[Path], argument(metavar="FILE", help="Recipes.", autocompletion=complete_recipe)],
    sets: SetOption = None,
    plugin: PluginOption = None,
) -> None:
    """Report every problem in recipes, with its line; exit 2 if there is one. `dpdrun lint` checks the settings."""
    load_plugins(plugin)
    from dpdrun.pipeline.document import is_pipeline, load_pipeline
    from dpdrun.recipe.loader import load_recipe

    problems = []
    for file in files:
        try:
            if is_pipeline(file):
                steps = load_pipeline(file, sets or []).steps
                say(f"{file}: ok: pipeline of {', '.join(step.name for step in steps)}")
                continue
            loaded = load_recipe(file, sets or [])
        except RecipeError as error:
            problems.append(str(error))
        else:
            say(f"{file}: ok: {_summary(loaded)}")
    if problems:
        raise RecipeError("\n".join(dict.fromkeys(problems)))


def _summary(loaded: Loaded) -> str:
    from dpdrun.recipe.conflicts import values_of
    from dpdrun.recipe.describe import field_docs
    from dpdrun.recipe.fields import AUTO

    kind, values = loaded.recipe.model.kind, values_of(loaded.recipe)
    size = [
        f"{doc.name} {values[doc.key]}"
        for doc in field_docs()
        if doc.kind == kind and doc.name != "kind" and (doc.required or values[doc.key] != doc.default)
    ]
    model = f"{kind} ({', '.join(size)})" if size else kind
    if kind == "gmp":
        return f"{model} on {loaded.recipe.data.source}"
    autos = sum(value == AUTO for key, value in values.items() if key.startswith(("optim.", "train.")))
    return f"{model} on {loaded.recipe.data.source}; {autos} values set by rules"


@recipe_app.command("new")
def new(
    out: OutputOption = None,
    kind: Annotated[
        str, typer.Option(metavar="KIND", help="Kind of model: transformer, gru, gmp or one of a plug-in.")
    ] = "transformer",
    task: Annotated[Task, typer.Option(help="Model of an amplifier, or predistorter.")] = Task.pa,
    pa: Annotated[str | None, option(help="Run of the PA model that a predistorter is trained through.")] = None,
    source: Annotated[str | None, option(help="Capture to train on.")] = None,
    sample_rate_hz: SampleRateOption = None,
    bandwidth_hz: BandwidthOption = None,
    d_model: Annotated[int | None, option(help="Width of a transformer.")] = None,
    layers: Annotated[int | None, option(help="Number of layers.")] = None,
    heads: Annotated[int | None, option(help="Attention heads of a transformer.")] = None,
    window: Annotated[str | None, option(help="Attention span in samples, or full.")] = None,
    hidden: Annotated[int | None, option(help="Units per layer of a GRU.")] = None,
    sets: SetOption = None,
    force: ForceOption = False,
    plugin: PluginOption = None,
) -> None:
    """Write a recipe with every field and its meaning, ready to edit."""
    load_plugins(plugin)
    from dpdrun.recipe import plugins
    from dpdrun.recipe.conflicts import values_of
    from dpdrun.recipe.loader import load_text
    from dpdrun.recipe.reference import template

    rates = stated_rates(sample_rate_hz=sample_rate_hz, bandwidth_hz=bandwidth_hz)
    flags = {
        "task": task.value,
        "pa": pa,
        "data.source": source,
        **{f"data.{name}": value for name, value in rates.items()},
        "model.d_model": d_model,
        "model.layers": layers,
        "model.heads": heads,
        "model.window": window,
        "model.hidden": hidden,
    }
    overrides = [f"{key}={value}" for key, value in flags.items() if value is not None] + (sets or [])
    plugins.find("models", kind)  # of an installed package
    recipe = load_text(template(kind), "new recipe", overrides).recipe
    text = template(recipe.model.kind, values_of(recipe))
    _write(text, out, force, "yaml")
    if out is not None:
        with_plugin = "".join(f" --plugin {file}" for file in plugin or ())
        say(f"{out}: written; edit it, then run: dpdrun train {out}{with_plugin}")


@recipe_app.command("schema")
def schema(
    out: OutputOption = None,
    force: ForceOption = False,
    plugin: PluginOption = None,
) -> None:
    """Write the JSON Schema of recipes, for completion and validation in an editor."""
    load_plugins(plugin)
    from dpdrun.recipe import plugins
    from dpdrun.recipe.reference import schema_text

    plugins.entries("models")  # of installed packages too
    _write(schema_text(), out, force, "json")
    if out is not None:
        say(f"{out}: written; start a recipe with the line: # yaml-language-server: $schema={out}")


def _write(text: str, out: Path | None, force: bool, language: str) -> None:
    """Write to a file, or to standard output: coloured on a terminal, unchanged in a pipe."""
    from dpdrun.report.terminal import Terminal

    if out is None:
        console = Terminal()
        if console.is_terminal:
            from rich.syntax import Syntax

            console.print(Syntax(text, language, background_color="default"), soft_wrap=True)
        else:
            say(text, nl=False, exact=True)
        return
    refuse_existing(out, force)
    from dpdrun.run.files import unwritable

    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise unwritable(out, error) from None
