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
        str | None, typer.Option(metavar="SOURCE", help="Where the data come from.", show_default=False)
    ] = None,
    rules: Annotated[
        RuleSet | None, typer.Option(help="Which rules to ask. [default: measured]", show_default=False)
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.table,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write a recipe that trains as it is.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file of --out if it exists.")] = False,
) -> None:
    """Which hyper-parameters to use, and why: from a RECIPE, or from flags."""
    flags: dict[str, Any] = {
        "model": model, "d_model": d_model, "layers": layers, "heads": heads, "window": window, "hidden": hidden,
        "epochs": epochs, "batch_size": batch_size, "data": data, "rules": rules,
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None}
    if recipe is not None:
        from dpdrun.recipe import load_recipe

        loaded = load_recipe(recipe, [f"{_KEYS[name]}={value}" for name, value in given.items()])
        this = _of_recipe(loaded, samples)
        text = _patched(this, loaded) if out or format_ is Format.yaml else ""
    else:
        this = _of_flags(given, samples)
        text = _recipe_of_flags(this, given) if out or format_ is Format.yaml else ""
    _print(this, format_, text)
    if out is not None:
        _write(out, text, force)


def _of_recipe(loaded: Loaded, samples: int | None) -> Recommendation:
    from dpdrun.rules.facts import PlanFacts
    from dpdrun.rules.recommendation import recommend as ask

    if samples is not None:
        facts = PlanFacts.of_recipe(loaded.recipe, frames=samples)
    else:
        facts = PlanFacts.of_recipe(loaded.recipe, _train_samples(loaded))
    return _of_sane_length(ask(facts, loaded.recipe.rules))


def _train_samples(loaded: Loaded) -> int:
    """Samples of the training part; reads the record only where its length is not known without."""
    from dpdrun.data.cuts import known_train_samples

    known = known_train_samples(loaded.recipe.data)
    if known is not None:
        return known
    from dpdrun.data.sources import load_capture  # loads numpy

    return len(load_capture(loaded.recipe.data, recipe=loaded.path).train)


def _of_sane_length(this: Recommendation) -> Recommendation:
    from dpdrun.recipe.schema import MAX_STEPS

    if this.total_steps is not None and this.total_steps > MAX_STEPS:
        raise RecipeError(
            f"{this.facts.epochs:g} epochs of {this.facts.frames_per_epoch:g} frames are {this.total_steps:.1e} "
            f"optimizer steps; at most {MAX_STEPS:.0e} make sense: lower the epochs or the samples, or raise the batch "
            "size"
        )
    return this


def _of_flags(given: dict[str, Any], samples: int | None) -> Recommendation:
    import math

    from dpdrun.recipe.schema import MAX_EPOCHS, TransformerModel
    from dpdrun.rules.facts import PlanFacts
    from dpdrun.rules.recommendation import recommend as ask

    kind = given.get("model")
    _ask_for(
        {
            "--model": kind,
            "--d-model": given.get("d_model") if kind == Kind.transformer else True,
            "--hidden": given.get("hidden") if kind == Kind.gru else True,
            "--samples": samples,
        },
        "to recommend without a recipe",
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
    return _of_sane_length(ask(facts, "note" if given.get("rules") == RuleSet.note else "measured"))


def _count(window: str) -> int:
    if window.isdecimal() and int(window) > 0:
        return int(window)
    raise RecipeError(f"--window {window}: expected a number of samples from 1, or full")


def _ask_for(needed: dict[str, Any], purpose: str) -> None:
    missing = [flag for flag, value in needed.items() if value is None]
    if missing:
        raise RecipeError(
            f"{purpose}, {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} needed\n"
            "  for example: dpdrun recommend --model transformer --d-model 32 --samples 10000 --epochs 50\n"
            "  or give a recipe: dpdrun recommend recipes/quickstart.yaml"
        )


def _refuse_foreign(kind: Any, given: dict[str, Any]) -> None:
    foreign = ("hidden",) if kind == Kind.transformer else ("d_model", "heads", "window")
    for name in foreign:
        if name in given:
            raise RecipeError(f"--{name.replace('_', '-')} does not belong to --model {kind}; remove it")


def _recipe_of_flags(this: Recommendation, given: dict[str, Any]) -> str:
    """A recipe from flags alone; asks for what a recipe needs beyond what the rules need."""
    from pydantic import ValidationError

    from dpdrun.rules.recommendation import recipe_text

    kind = given["model"]
    sizes = ("d_model", "layers", "heads", "window") if kind == Kind.transformer else ("hidden",)
    _ask_for({f"--{name.replace('_', '-')}": given.get(name) for name in (*sizes, "data")}, "for a recipe")
    window = given.get("window")
    model = {"kind": str(kind)} | {name: given[name] for name in (*sizes, "layers") if name in given}
    if window is not None and window != "full":
        model["window"] = int(window)
    if window == "full":
        model["positions"] = "sinusoidal"  # relative positions are defined within a window
    command = shlex.join(["dpdrun", "recommend", *sys.argv[2:]])
    try:
        return recipe_text(this, {"data": {"source": given["data"]}, "model": model}, command)
    except ValidationError as exc:
        raise RecipeError(f"these flags do not make a recipe: {exc}") from exc


def _patched(this: Recommendation, loaded: Loaded) -> str:
    from dpdrun.recipe.patch import apply_patch
    from dpdrun.rules.recommendation import patch_of

    values: dict[str, Any] = {}
    for override in loaded.overrides:
        key = override.partition("=")[0].strip()
        values[key] = loaded.recipe
        for name in key.split("."):
            values[key] = getattr(values[key], name)
    return apply_patch(loaded.text, values | patch_of(this, loaded.recipe))


def _print(this: Recommendation, format_: Format, text: str) -> None:
    if format_ is Format.json:
        typer.echo(json.dumps(this.to_json(), indent=2))
    elif format_ is Format.yaml:
        typer.echo(text, nl=False)
    else:
        from rich.console import Console

        from dpdrun.report.advice import recommendation_view

        Console().print(recommendation_view(this), highlight=False)


def _write(out: Path, text: str, force: bool) -> None:
    if out.exists() and not force:
        raise RecipeError(f"{out}: exists already; --force replaces it")
    from dpdrun.runlog import write_text

    try:
        write_text(out, text)
    except OSError as error:
        raise DpdrunError(f"{out}: cannot be written: {error.strerror}") from None
    typer.echo(f"{out}: written; train it with: dpdrun train {out}", err=True)
