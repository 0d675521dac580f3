"""`dpdrun recommend`: which hyper-parameters to use and why."""

from __future__ import annotations

import enum
import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.errors import DpdrunError, RecipeError

if TYPE_CHECKING:
    from dpdrun.commands._from_command import FromCommand
    from dpdrun.commands._lint import Facts
    from dpdrun.commands._measured import Measured
    from dpdrun.data.sizing import DataReading
    from dpdrun.recipe.loader import Loaded
    from dpdrun.rules.recommendation import Recommendation


class Kind(enum.StrEnum):
    """The model kinds that are trained by an optimizer."""

    transformer = "transformer"
    gru = "gru"


class RuleSet(enum.StrEnum):
    """Which rules to ask."""

    measured = "measured"
    note = "note"


class Format(enum.StrEnum):
    """How to print."""

    table = "table"
    yaml = "yaml"
    json = "json"


# Flag -> recipe key; the flags also override a recipe that is given.
_KEYS = {
    "model": "model.kind",
    "d_model": "model.d_model",
    "layers": "model.layers",
    "heads": "model.heads",
    "window": "model.window",
    "hidden": "model.hidden",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "data": "data.source",
    "sample_rate_hz": "data.sample_rate_hz",
    "bandwidth_hz": "data.bandwidth_hz",
    "rules": "rules",
}


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
) -> None:
    """Which hyper-parameters to use, and why: from a RECIPE, flags, data, or an OpenDPD command line."""
    flags: dict[str, Any] = {
        "model": model, "d_model": d_model, "layers": layers, "heads": heads, "window": window, "hidden": hidden,
        "epochs": epochs, "batch_size": batch_size, "data": data, "rules": rules,
        "sample_rate_hz": sample_rate_hz, "bandwidth_hz": bandwidth_hz,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    from dpdrun.commands._measured import Measured
    from dpdrun.commands._probe import probed, seconds_of

    budget_s = seconds_of(probe) if probe is not None else None
    probing, translated, loaded = None, None, None
    if recipe is None and (fix or unsafe_fixes or diff):
        raise RecipeError("--fix, --unsafe-fixes and --diff need a RECIPE to fix")
    if diff and (out or probe):
        other = "--out" if out else "--probe"
        raise RecipeError(f"--diff shows what --fix would change, and no more; leave out {other}")
    if pick is not None and from_command is None:
        raise RecipeError("--pick chooses a command of --from-command; there is none")
    if samples is not None and data is not None and from_command is None:
        raise RecipeError("--samples and --data both say how much there is to train on; leave out one of them")
    if recipe is None and from_command is None and data is None:
        for flag, value in (("--sample-rate-hz", sample_rate_hz), ("--bandwidth-hz", bandwidth_hz)):
            if value is not None:
                raise RecipeError(f"{flag} is of data; add --data SOURCE, or leave it out")
    if from_command is not None:
        from dpdrun.commands import _from_command
        from dpdrun.commands._lint import Facts, with_places

        if recipe is not None:
            raise RecipeError(f"give {recipe} or --from-command, not both")
        if probe is not None:
            raise RecipeError("--probe needs a RECIPE or --data: write a recipe with -o first, then probe that")
        read_there = ("data", "rules", "epochs", "batch_size")
        overrides = [f"{_KEYS[name]}={value}" for name, value in given.items() if name not in read_there]
        translated = _from_command.read(from_command, given, overrides, frames=samples, pick=pick, out=out)
        loaded, reading = translated.loaded, None
        this = with_places(_of_recipe(loaded, Facts(samples, needed=False), None), loaded)
        text = loaded.effective_text
    elif recipe is not None:
        from dpdrun.commands._lint import Facts, fixed, with_places
        from dpdrun.recipe import load_recipe

        loaded = load_recipe(recipe, [f"{_KEYS[name]}={value}" for name, value in given.items()])
        facts = Facts(samples, needed=True)
        loaded = fixed(loaded, facts, fix=fix, unsafe=unsafe_fixes, diff=diff)
        reading = _reading(given, loaded)
        this = _of_recipe(loaded, facts, reading)
        if budget_s is not None:
            this, probing = probed(lambda known: _of_recipe(loaded, facts, reading, known), loaded, budget_s)
        this = with_places(this, loaded)
        text = _patched(this, loaded, samples) if out or format_ is Format.yaml else ""
    else:
        reading = _reading(given)
        this = _of_flags(given, samples, reading)
        if budget_s is not None:
            from dpdrun.recipe.loader import load_text

            draft = load_text(_recipe_of_flags(this, given))
            this, probing = probed(lambda known: _of_flags(given, samples, reading, known), draft, budget_s)
        text = _recipe_of_flags(this, given) if out or format_ is Format.yaml else ""
    if translated is not None and format_ is Format.table:
        typer.echo(text if out is None else translated.remarks())
    model_section = loaded.recipe.model if loaded is not None else None
    _print(this, format_, text, Measured(reading, probing, model_section), translated)
    if out is not None:
        _write(out, text, force)


def _reading(given: dict[str, Any], loaded: Loaded | None = None) -> DataReading | None:
    """A look at the data of --data; before it, what no data can tell is asked for."""
    if "data" not in given:
        return None
    from dpdrun.commands._measured import look_at, section_of

    if loaded is not None:
        return look_at(loaded.recipe.data, loaded.path)
    _ask_for({"--model": given.get("model")}, "to recommend from data")
    return look_at(section_of(given["data"], given.get("sample_rate_hz"), given.get("bandwidth_hz")))


def _of_recipe(
    loaded: Loaded, facts: Facts, reading: DataReading | None, probed: dict[str, float] | None = None
) -> Recommendation:
    from dpdrun.commands._measured import with_reading
    from dpdrun.rules.plan_facts import PlanFacts
    from dpdrun.rules.recommendation import recommend as ask

    was_read = reading is not None and facts.frames is None
    known = PlanFacts.of_recipe(loaded.recipe) if was_read else facts(loaded)
    return _of_sane_length(ask(with_reading(known, reading, probed), loaded.recipe.rules))


def _of_sane_length(this: Recommendation) -> Recommendation:
    from dpdrun.recipe.schema import MAX_STEPS

    if this.total_steps is not None and this.total_steps > MAX_STEPS:
        raise RecipeError(
            f"{this.facts.epochs:g} epochs of {this.facts.frames_per_epoch:g} frames are {this.total_steps:.1e} "
            f"optimizer steps; at most {MAX_STEPS:.0e} make sense: lower the epochs or the samples, or raise the batch "
            "size"
        )
    return this


def _of_flags(
    given: dict[str, Any], samples: int | None, reading: DataReading | None, probed: dict[str, float] | None = None
) -> Recommendation:
    import math

    from dpdrun.commands._measured import with_reading
    from dpdrun.recipe.schema import MAX_EPOCHS, TransformerModel
    from dpdrun.rules.plan_facts import PlanFacts
    from dpdrun.rules.recommendation import recommend as ask

    kind = given.get("model")
    note = given.get("rules") == RuleSet.note
    if reading is None or note:
        silent = "to recommend without a recipe" if reading is None else "since the note says nothing of sizes"
        _ask_for(
            {
                "--model": kind,
                "--d-model": given.get("d_model") if kind == Kind.transformer else True,
                "--hidden": given.get("hidden") if kind == Kind.gru else True,
                "--samples": samples if reading is None else True,
            },
            silent,
        )
    _refuse_foreign(kind, given)
    epochs = given.get("epochs")
    if epochs is not None and not 0 < epochs <= MAX_EPOCHS:  # nan too
        raise RecipeError(f"--epochs {epochs:g}: expected a number greater than 0 and up to {MAX_EPOCHS:,}")
    sizes = {name: given.get(name) for name in ("d_model", "hidden", "layers", "heads", "epochs")}
    if kind == Kind.transformer:
        sizes["conv"] = TransformerModel.model_fields["conv"].default
    window = given.get("window")
    facts = PlanFacts(
        kind=str(kind),
        frames=samples,
        batch=given.get("batch_size"),
        window=math.inf if window == "full" else _count(window) if window else None,
        **sizes,
    )
    return _of_sane_length(ask(with_reading(facts, reading, probed), "note" if note else "measured"))


def _count(window: str) -> int:
    if window.isdecimal() and int(window) > 0:
        return int(window)
    raise RecipeError(f"--window {window}: expected a number of samples from 1, or full")


def _ask_for(needed: dict[str, Any], purpose: str) -> None:
    missing = [flag for flag, value in needed.items() if value is None]
    if missing:
        sizes = "--model gru --hidden 16" if needed.get("--model") == Kind.gru else "--model transformer --d-model 32"
        raise RecipeError(
            f"{purpose}, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed\n"
            f"  for example: dpdrun recommend {sizes} --samples 10000 --epochs 50\n"
            "  or give a recipe: dpdrun recommend recipes/quickstart.yaml\n"
            "  or data: dpdrun recommend --data synthetic/mild --model transformer"
        )


def _refuse_foreign(kind: Any, given: dict[str, Any]) -> None:
    foreign = ("hidden",) if kind == Kind.transformer else ("d_model", "heads", "window")
    for name in foreign:
        if name in given:
            raise RecipeError(f"--{name.replace('_', '-')} does not belong to --model {kind}; remove it")


def _recipe_of_flags(this: Recommendation, given: dict[str, Any]) -> str:
    """A recipe from flags alone; asks for what a recipe needs beyond what the rules need."""
    from pydantic import ValidationError

    from dpdrun.commands._measured import NEEDED_SIZES, sizes_of
    from dpdrun.recipe.loader import load_text
    from dpdrun.rules.recommendation import recipe_text

    kind = given["model"]
    sizes = NEEDED_SIZES[str(kind)]
    known = sizes_of(this) | given
    _ask_for({f"--{name.replace('_', '-')}": known.get(name) for name in (*sizes, "data")}, "for a recipe")
    window = given.get("window")
    model = {"kind": str(kind)} | {name: known[name] for name in (*sizes, "layers", "lookahead") if name in known}
    if window is not None and window != "full":
        model["window"] = int(window)
    if window == "full":
        model["positions"] = "sinusoidal"  # relative positions are defined within a window
    command = shlex.join(["dpdrun", "recommend", *sys.argv[2:]])
    try:
        stated = {name: given[name] for name in ("sample_rate_hz", "bandwidth_hz") if name in given}
        text = recipe_text(this, {"data": {"source": given["data"]} | stated, "model": model}, command)
    except ValidationError as exc:
        raise RecipeError(f"these flags do not make a recipe: {exc}") from exc
    load_text(text, "of these flags")  # refuses what cannot be trained, such as heads that do not divide d_model
    return text


def _patched(this: Recommendation, loaded: Loaded, samples: int | None) -> str:
    from dpdrun.recipe.patch import apply_patch
    from dpdrun.rules.recommendation import patch_of

    patch = patch_of(this, loaded.recipe)
    if samples is not None and "train.epochs" in patch:
        raise RecipeError(
            f"--samples {samples} is nothing that a recipe holds: epochs for so many are another run on the data of "
            f"{loaded.path}; leave out --samples, or write train.epochs"
        )
    values: dict[str, Any] = {}
    for override in loaded.overrides:
        key = override.partition("=")[0].strip()
        values[key] = loaded.recipe
        for name in key.split("."):
            values[key] = getattr(values[key], name)
    return apply_patch(loaded.text, values | patch)


def _print(
    this: Recommendation, format_: Format, text: str, measured: Measured, translated: FromCommand | None
) -> None:
    if format_ is Format.json:
        more = translated.to_json() if translated else {}
        typer.echo(json.dumps(this.to_json() | measured.to_json(this) | more, indent=2))
    elif format_ is Format.yaml:
        typer.echo(text, nl=False)
    else:
        from rich.console import Console

        from dpdrun.report.advice import recommendation_view

        console = Console(highlight=False)
        for part in (*measured.before(), recommendation_view(this, measured.estimate(this))):
            console.print(part)


def _write(out: Path, text: str, force: bool) -> None:
    if out.exists() and not force:
        raise RecipeError(f"{out}: exists already; --force replaces it")
    from dpdrun.runlog import write_text

    try:
        write_text(out, text)
    except OSError as error:
        raise DpdrunError(f"{out}: cannot be written: {error.strerror}") from None
    typer.echo(f"{out}: written; train it with: dpdrun train {out}", err=True)
