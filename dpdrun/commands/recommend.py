"""`dpdrun recommend`: which hyper-parameters to use, and why."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_capture, complete_recipe
from dpdrun.commands._data_flags import DATA_FIELDS, NONE_GIVEN, DataFlags, flag_of, takes_data_flags
from dpdrun.commands._flags import (
    KEYS,
    ask_user,
    facts_of,
    in_flags,
    overrides_of,
    recipe_of_flags,
    section_of,
    window,
)
from dpdrun.commands._options import (
    FailOn,
    FailOnOption,
    ForceOption,
    OutputOption,
    PluginOption,
    RecipeFormat,
    RecipeFormatOption,
    exit_on,
    load_plugins,
    option,
    print_json,
    refuse_existing,
    typed,
    write_recipe,
)
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.data.sizing import DataReading
    from dpdrun.plan.advise import JobAdvice
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.loader import Loaded
    from dpdrun.recipe.schema import DataSection


Kind = StrEnum("Kind", "transformer gru gmp")
Task = StrEnum("Task", "pa dpd")
RuleSet = StrEnum("RuleSet", "measured note")  # which rules to evaluate


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recommend")(takes_data_flags(recommend))


def recommend(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE", help="Recipe to fill in: every auto gets a value.", autocompletion=complete_recipe
        ),
    ] = None,
    model: Annotated[Kind | None, option(help="Kind of model.")] = None,
    task: Annotated[
        Task | None, typer.Option(help="Model an amplifier, or predistort it.", show_default="from the recipe, else pa")
    ] = None,
    pa: Annotated[
        Path | None, option(metavar="RUN", help="With --task dpd: the run of the PA model, whose capture is used.")
    ] = None,
    d_model: Annotated[int | None, option(min=1, help="Width of a transformer.")] = None,
    layers: Annotated[int | None, option(min=1, help="Number of layers.")] = None,
    heads: Annotated[int | None, option(min=1, help="Attention heads.")] = None,
    window: Annotated[
        str | None, option(metavar="N|full", parser=window, help="Attention span in samples, or full.")
    ] = None,
    hidden: Annotated[int | None, option(min=1, help="Units per layer of a GRU.")] = None,
    epochs: Annotated[float | None, option(help="Passes over the data.")] = None,
    samples: Annotated[int | None, option(min=1, help="Training frames per epoch, without --data.")] = None,
    batch_size: Annotated[int | None, option(min=1, help="Frames per optimizer step.")] = None,
    data: Annotated[
        str | None,
        option(metavar="SOURCE", help="Capture to derive the model sizes from.", autocompletion=complete_capture),
    ] = None,
    flags: DataFlags = NONE_GIVEN,
    rules: Annotated[
        RuleSet | None,
        typer.Option(
            help="Rules measured by dpdrun, or those of the founding Transformer note (docs/note.md).",
            show_default="from the recipe, else measured",
        ),
    ] = None,
    format_: RecipeFormatOption = RecipeFormat.text,
    out: OutputOption = None,
    force: ForceOption = False,
    fail_on: FailOnOption = FailOn.error,
    ask: Annotated[bool, typer.Option("--ask", help="Ask on the terminal for what is needed.")] = False,
    plugin: PluginOption = None,
) -> None:
    """Recommend hyper-parameters, each with its reason: from flags, a RECIPE, or data; without any, by width."""
    load_plugins(plugin)
    given = {name: value for name, value in locals().items() if name in KEYS and value is not None} | flags.given()
    dpd_data = _data_of_pa(task, pa, recipe, given)
    data = given.get("data")
    if ask:
        if recipe is not None:
            raise RecipeError("--ask describes a job without a recipe; omit one of them")
        samples = ask_user(given, samples)
        data = given.get("data")
    elif (
        recipe is None
        and samples is None
        and out is None
        and not given.keys() - {"rules"}
        and format_ is not RecipeFormat.yaml
    ):
        _overview(format_)
        return
    if samples is not None and data is not None:
        raise RecipeError("--samples and --data both set the amount of data; omit one of them")
    describing = [name for name in DATA_FIELDS if name in given]
    if describing and recipe is None and data is None:
        raise RecipeError(f"{flag_of(describing[0])} describes data; add --data SOURCE, or leave it out")
    refuse_existing(out, force)  # before anything is measured
    from dpdrun.plan.advise import advise, advise_on_recipe
    from dpdrun.plan.lint import RecipeFacts
    from dpdrun.recipe.loader import load_recipe

    wants_text = out is not None or format_ is RecipeFormat.yaml
    if recipe is not None:
        try:
            loaded = load_recipe(recipe, overrides_of(given))
        except RecipeError as error:
            raise in_flags(error, given) from None
        reading = _read(loaded.recipe.data, recipe) if data is not None else None
        advice = advise_on_recipe(loaded, RecipeFacts(samples, needed=True), data=reading)
        if wants_text and samples is not None:
            _refuse_epochs_of(samples, advice.recommendation, loaded)
        text = filled(advice.recommendation, loaded, out, "recommend") if wants_text else ""
    else:
        facts = facts_of(given, samples)
        reading, aligned = _read_aligned(dpd_data or section_of(given)) if data is not None else (None, False)
        given |= {"align": "auto"} if aligned else {}
        advice = advise(facts, "note" if rules is RuleSet.note else "measured", reading)
        dpd = None if dpd_data is None else (str(pa), dpd_data.model_dump(mode="json", exclude_defaults=True))
        text = recipe_of_flags(advice.recommendation, given, typed("recommend"), dpd) if wants_text else ""
    show(advice, text, format_, out, force, fail_on)


def _data_of_pa(
    task: Task | None, pa: Path | None, recipe: Path | None, given: dict[str, object]
) -> DataSection | None:  # fmt: skip
    """Return the `data` section of the PA run of `--task dpd`, which `given` then names; None without one."""
    if (task is Task.dpd) != (pa is not None):
        raise RecipeError(
            "--pa RUN belongs to --task dpd" if pa is not None
            else "--task dpd needs --pa RUN, the finished run of the PA model:\n  dpdrun recommend --task dpd --pa "
            "runs/pa --model transformer"
        )  # fmt: skip
    if pa is None:
        return None
    if recipe is not None or "data" in given or any(name in given for name in DATA_FIELDS):
        raise RecipeError("--task dpd takes the capture of the PA run; omit RECIPE, --data and its other flags")
    from dpdrun.plan.recorded import capture_section, plan_of
    from dpdrun.run.folder import RunFolder

    run = RunFolder.open(pa)
    plan = plan_of(run)
    if plan.recipe.task != "pa":
        raise RecipeError(f"--pa {pa}: this is a run of task {plan.recipe.task}; give the run of a PA model")
    section = capture_section(run, plan)
    given["data"] = str(section.source)
    say("note: these rules were measured on PA models; none was swept on predistorters", err=True)
    return section


def _overview(format_: RecipeFormat) -> None:
    """Show what the rules recommend by family and width, and how to get a plan."""
    from dpdrun.plan.overview import overview

    if format_ is RecipeFormat.json:
        print_json(overview().to_json())
        return
    from dpdrun.report.overview import overview_view
    from dpdrun.report.terminal import Terminal

    Terminal(highlight=False).print(overview_view(overview()))


def _read(section: DataSection, recipe: Path | None = None) -> DataReading:
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    with activity(Terminal(stderr=True), "recommend") as doing:
        doing("reading the capture")
        from dpdrun.data.sizing import read_sizes
        from dpdrun.data.sources import load_capture  # loads numpy

        capture = load_capture(section, recipe=recipe)
        doing("fitting memory depths")
        return read_sizes(capture)


def _read_aligned(section: DataSection) -> tuple[DataReading, bool]:
    """Return the sizes of a capture, aligned where input and output do not line up, and whether they are of that.

    Sizes of a record that does not line up are those of its delay, and a recipe with them trains badly.
    """
    from dpdrun.data.signal_path import REMEDY
    from dpdrun.recipe.fields import AUTO, OFF

    reading = _read(section)
    wrong = [warning for warning in reading.warnings if REMEDY in warning]
    if section.align != OFF or not wrong:
        return reading, False
    for warning in wrong:
        say(f"note: {warning.partition('; ')[0]}; aligned for these sizes (data.align: auto)", err=True)
    return _read(section.model_copy(update={"align": AUTO})), True


def _refuse_epochs_of(samples: int, this: Recommendation, loaded: Loaded) -> None:
    """Raise RecipeError where the length of the run follows from --samples, which no recipe holds."""
    from dpdrun.plan.recipe_writer import recipe_patch

    if {"train.epochs", "train.max_steps"} & set(recipe_patch(this, loaded.recipe)):
        raise RecipeError(
            f"a recipe cannot store --samples {samples}: with the data of {loaded.path} these epochs would be "
            "another number of steps; omit --samples, or set train.epochs"
        )


def filled(this: Recommendation, loaded: Loaded, out: Path | None, verb: str) -> str:
    """Return the recipe with every `auto` filled."""
    from dpdrun.plan.recipe_writer import filled_recipe

    same_folder = out is not None and out.resolve().parent == loaded.path.resolve().parent
    return filled_recipe(this, loaded, typed(verb), keep_schema_line=same_folder)


def show(advice: JobAdvice, text: str, format_: RecipeFormat, out: Path | None, force: bool, fail_on: FailOn) -> None:
    """Write the recipe to `out`, print the advice, and exit as `--fail-on` says."""
    if out is not None:
        write_recipe(out, text, force)
    if format_ is RecipeFormat.json:
        print_json(advice.to_json())
    elif format_ is RecipeFormat.yaml:
        say(text, nl=False, exact=True)
    else:
        from dpdrun.report.advice import advice_view
        from dpdrun.report.terminal import Terminal

        Terminal(highlight=False).print(advice_view(advice))
    exit_on(advice.recommendation.warnings, fail_on)
