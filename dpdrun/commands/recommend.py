"""`dpdrun recommend`: which hyper-parameters to use and why."""

from __future__ import annotations

import enum
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.errors import EXIT_FINDINGS, RecipeError

if TYPE_CHECKING:
    from dpdrun.commands._from_command import FromCommand
    from dpdrun.commands._lint import Facts
    from dpdrun.commands._measured import Measured
    from dpdrun.data.sizing import DataReading
    from dpdrun.plan.lint import Lint, LintFinding
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.loader import Loaded
    from dpdrun.rules.facts.plan import PlanFacts


class Kind(enum.StrEnum):
    """The model kinds that are trained by an optimizer."""

    transformer = "transformer"
    gru = "gru"


class RuleSet(enum.StrEnum):
    """Which rules to ask."""

    measured = "measured"
    note = "note"


class FailOn(enum.StrEnum):
    """The severity from which the exit code is 1."""

    info = "info"
    warning = "warning"
    error = "error"


class Format(enum.StrEnum):
    """How to print."""

    table = "table"
    yaml = "yaml"
    json = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("recommend")(recommend)


def recommend(
    recipe: Annotated[Path | None, typer.Argument(metavar="[RECIPE]", help="Fill every auto of it.")] = None,
    model: Annotated[Kind | None, typer.Option(help="The model.", show_default=False)] = None,
    d_model: Annotated[int | None, typer.Option(min=1, help="Width of a transformer.", show_default=False)] = None,
    layers: Annotated[int | None, typer.Option(min=1, help="Number of layers.", show_default=False)] = None,
    heads: Annotated[int | None, typer.Option(min=1, help="Attention heads.", show_default=False)] = None,
    window: Annotated[
        str | None, typer.Option(help="Samples that an output sees, or full.", show_default=False)
    ] = None,
    hidden: Annotated[int | None, typer.Option(min=1, help="Units per layer of a GRU.", show_default=False)] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the data.", show_default=False)] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Training frames in one pass (the note's samples).", show_default=False)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Frames per optimizer step.", show_default=False)
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Look at these data for the sizes of the model.", show_default=False),
    ] = None,
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Where the data state none, e.g. 983.04e6.", show_default=False)
    ] = None,
    bandwidth_hz: Annotated[
        float | None, typer.Option(help="Occupied bandwidth, where the data state none.", show_default=False)
    ] = None,
    rules: Annotated[
        RuleSet | None, typer.Option(help="Which rules to ask. [default: measured]", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write a recipe that trains as it is.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out if it exists.")] = False,
    from_command: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND|SCRIPT|-", help="Translate a train_pa command line of OpenDPD.", show_default=False
        ),
    ] = None,
    pick: Annotated[
        int | None, typer.Option(min=1, help="Which of several commands of a script.", show_default=False)
    ] = None,
    fix: Annotated[bool, typer.Option("--fix", help="Write safe fixes of findings into RECIPE.")] = False,
    unsafe_fixes: Annotated[
        bool, typer.Option("--unsafe-fixes", help="With --fix or --diff: also those that change what is trained.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would change; write nothing.")] = False,
    probe: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Measure lr, clip, speed and memory here, e.g. 60s.", show_default=False),
    ] = None,
    fail_on: Annotated[
        FailOn, typer.Option(help="Exit 1 where a finding is at least as severe, as `recipe check --lint` does.")
    ] = FailOn.error,
) -> None:
    """Which hyper-parameters to use, and why: from a RECIPE, flags, data, or an OpenDPD command line."""
    flags: dict[str, Any] = {
        "model": model, "d_model": d_model, "layers": layers, "heads": heads, "window": window, "hidden": hidden,
        "epochs": epochs, "batch_size": batch_size, "data": data, "rules": rules,
        "sample_rate_hz": sample_rate_hz, "bandwidth_hz": bandwidth_hz,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_misfits(given, recipe, from_command, samples=samples, pick=pick, fix=fix or unsafe_fixes, diff=diff,
                    out=out, probe=probe)  # fmt: skip
    from dpdrun.commands._flags import in_flags, overrides_of
    from dpdrun.commands._measured import Measured
    from dpdrun.commands._probe import probed, seconds_of
    from dpdrun.commands._recipe_out import filled, recipe_of_flags, refuse_existing, write

    budget_s = seconds_of(probe) if probe is not None else None
    if out is not None:
        refuse_existing(out, force)  # before anything is measured
    probing, translated, loaded, facts = None, None, None, None
    if from_command is not None:
        from dpdrun.commands import _from_command
        from dpdrun.commands._lint import Facts, with_places

        read_there = ("data", "rules", "epochs", "batch_size")
        overrides = overrides_of({name: value for name, value in given.items() if name not in read_there})
        translated = _from_command.read(from_command, given, overrides, frames=samples, pick=pick, out=out)
        loaded, reading, facts = translated.loaded, None, Facts(samples, needed=False)
        this = with_places(_of_recipe(loaded, facts, None, given), loaded)
        text = loaded.effective_text
    elif recipe is not None:
        from dpdrun.commands._lint import Facts, fixed, with_places
        from dpdrun.recipe.loader import load_recipe

        try:
            loaded = load_recipe(recipe, overrides_of(given))
        except RecipeError as error:
            raise in_flags(error, given) from None
        facts = Facts(samples, needed=True)
        loaded = fixed(loaded, facts, fix=fix, unsafe=unsafe_fixes, diff=diff)
        reading = _reading(given, loaded)
        this = _of_recipe(loaded, facts, reading, given)
        if budget_s is not None:
            this, probing = probed(partial(_of_recipe, loaded, facts, reading, given), loaded, budget_s)
        this = with_places(this, loaded)
        text = filled(this, loaded, samples, out) if out or format_ is Format.yaml else ""
    else:
        reading = _reading(given)
        this = _of_flags(given, samples, reading)
        if budget_s is not None:
            from dpdrun.recipe.loader import load_text

            draft = load_text(recipe_of_flags(this, given))
            this, probing = probed(partial(_of_flags, given, samples, reading), draft, budget_s)
        text = recipe_of_flags(this, given) if out or format_ is Format.yaml else ""
    if translated is not None and format_ is Format.table:
        typer.echo(text if out is None else translated.remarks())
    model_section = loaded.recipe.model if loaded is not None else None
    later = [] if loaded is None or facts is None else _later(this, loaded, facts, reading)
    _print(this, format_, text, Measured(reading, probing, model_section), translated, later)
    if out is not None:
        write(out, text, force)
    from dpdrun.rules.engine import SEVERITIES

    if any(SEVERITIES.index(finding.severity) >= SEVERITIES.index(fail_on.value) for finding in this.warnings):
        raise typer.Exit(EXIT_FINDINGS)


def _refuse_misfits(
    given: dict[str, Any], recipe: Path | None, from_command: str | None, *, samples: int | None, pick: int | None,
    fix: bool, diff: bool, out: Path | None, probe: str | None,
) -> None:  # fmt: skip
    """Flags that do not go together. Raises RecipeError."""
    if recipe is None and (fix or diff):
        raise RecipeError("--fix, --unsafe-fixes and --diff need a RECIPE to fix")
    if diff and (out or probe):
        other = "--out" if out else "--probe"
        raise RecipeError(f"--diff shows what --fix would change, and no more; leave out {other}")
    if pick is not None and from_command is None:
        raise RecipeError("--pick chooses a command of --from-command; there is none")
    if from_command is not None and recipe is not None:
        raise RecipeError(f"give {recipe} or --from-command, not both")
    if from_command is not None and probe is not None:
        raise RecipeError("--probe needs a RECIPE or --data: write a recipe with -o first, then probe that")
    if samples is not None and "data" in given and from_command is None:
        raise RecipeError("--samples and --data both say how much there is to train on; leave out one of them")
    if recipe is None and from_command is None and "data" not in given:
        for name in ("sample_rate_hz", "bandwidth_hz"):
            if name in given:
                raise RecipeError(f"--{name.replace('_', '-')} is of data; add --data SOURCE, or leave it out")


def _reading(given: dict[str, Any], loaded: Loaded | None = None) -> DataReading | None:
    """A look at the data of --data; before it, what no data can tell is asked for."""
    if "data" not in given:
        return None
    from dpdrun.commands._flags import ask_for
    from dpdrun.commands._measured import look_at, section_of

    if loaded is not None:
        return look_at(loaded.recipe.data, loaded.path)
    ask_for({"--model": given.get("model")}, "to recommend from data", given)
    return look_at(section_of(given["data"], given.get("sample_rate_hz"), given.get("bandwidth_hz")))


def _of_recipe(
    loaded: Loaded,
    facts: Facts,
    reading: DataReading | None,
    given: dict[str, Any],
    probed: dict[str, float] | None = None,
) -> Recommendation:
    from dpdrun.commands._measured import with_reading
    from dpdrun.plan.recommendation import recommend as ask

    known = with_reading(_known(loaded, facts, reading), reading, probed)
    return _of_sane_length(ask(known, loaded.recipe.rules), given)


def _known(loaded: Loaded, facts: Facts, reading: DataReading | None) -> PlanFacts:
    from dpdrun.rules.facts.plan import PlanFacts

    was_read = reading is not None and facts.frames is None
    return PlanFacts.of_recipe(loaded.recipe) if was_read else facts(loaded)


def _later(this: Recommendation, loaded: Loaded, facts: Facts, reading: DataReading | None) -> list[LintFinding]:
    """What would be fixed after the fixes of the findings that are shown."""
    from dpdrun.commands._lint import later_than
    from dpdrun.commands._measured import with_reading
    from dpdrun.plan.lint import lint

    def look(recipe: Loaded) -> Lint:
        return lint(recipe, with_reading(_known(recipe, facts, reading), reading))

    return later_than(this.warnings, loaded, look)


def _of_sane_length(this: Recommendation, given: dict[str, Any]) -> Recommendation:
    from dpdrun.commands._flags import refuse_longer
    from dpdrun.recipe.schema import MAX_STEPS

    if this.total_steps is not None and this.total_steps > MAX_STEPS:
        raise RecipeError(
            f"{this.facts.epochs:g} epochs of {this.facts.frames_per_epoch:g} frames are {this.total_steps:.1e} "
            f"optimizer steps; at most {MAX_STEPS:.0e} make sense: lower the epochs or the samples, or raise the batch "
            "size"
        )
    refuse_longer(given, this.facts.samples)
    return this


def _of_flags(
    given: dict[str, Any], samples: int | None, reading: DataReading | None, probed: dict[str, float] | None = None
) -> Recommendation:
    from dpdrun.commands._flags import facts_of
    from dpdrun.commands._measured import with_reading
    from dpdrun.plan.recommendation import recommend as ask

    facts = facts_of(given, samples, data=reading is not None)
    this = ask(with_reading(facts, reading, probed), "note" if given.get("rules") == RuleSet.note else "measured")
    return _of_sane_length(this, given)


def _print(
    this: Recommendation,
    format_: Format,
    text: str,
    measured: Measured,
    translated: FromCommand | None,
    later: list[LintFinding],
) -> None:
    if format_ is Format.json:
        from dpdrun.run.files import encode_numbers

        content = this.to_json() | measured.to_json(this) | (translated.to_json() if translated else {})
        content["after_fixes"] = [finding.to_json() for finding in later]
        typer.echo(json.dumps(encode_numbers(content), indent=2, allow_nan=False))
    elif format_ is Format.yaml:
        typer.echo(text, nl=False)
    else:
        from rich.console import Console

        from dpdrun.report.advice import recommendation_view

        console = Console(highlight=False)
        for part in (*measured.before(), recommendation_view(this, measured.estimate(this), measured.missing(this))):
            console.print(part)
        if later:
            from dpdrun.report.lint import later_view

            console.print(later_view(later))
