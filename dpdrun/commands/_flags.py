"""The flags of `dpdrun recommend` that describe a job: as facts, as overrides of a recipe, as a new recipe."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.commands._data_flags import DATA_FIELDS, data_section, flag_of
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.schema import DataSection
    from dpdrun.rules.facts.plan import PlanFacts

LONGEST_WINDOW = 65_536  # samples; scores of one head for one frame are then 32 GiB
USUAL = {"d_model": 16, "hidden": 16}  # sizes that are asked for, with their defaults; the others have rules
OF_A_NETWORK = ("epochs", "batch_size")
FOREIGN = {
    "transformer": ("hidden",),
    "gru": ("d_model", "heads", "window"),
    "gmp": ("d_model", "heads", "window", "hidden", "layers", *OF_A_NETWORK),
}

# Flag -> recipe key; the flags also override a recipe that is given.
KEYS = {
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
    **{name: f"data.{name}" for name in DATA_FIELDS},
}


def window(text: str) -> str:
    """Check the value of `--window`. Raises BadParameter."""
    if text == "full" or (text.isdecimal() and 0 < int(text) <= LONGEST_WINDOW):
        return text
    raise typer.BadParameter(f"{text or '(empty)'}: expected a number of samples from 1 to {LONGEST_WINDOW}, or full")


def overrides_of(given: dict[str, Any]) -> list[str]:
    """Return the flags as `key=value` for a recipe."""
    return [f"{KEYS[name]}={value}" for name, value in given.items()]


def in_flags(error: RecipeError, given: dict[str, Any]) -> RecipeError:
    """Return the error of a recipe with the flags as the user typed them."""
    text = str(error)
    for name, value in given.items():
        text = text.replace(f"--set {KEYS[name]}={value}:", f"{flag_of(name)} {value}:")
    return RecipeError(text)


def section_of(given: dict[str, Any]) -> DataSection:
    """Return the `data` section that flags describe. Raises RecipeError or DataError where one is wrong."""
    return data_section(given["data"], {name: given[name] for name in DATA_FIELDS if name in given})


def facts_of(given: dict[str, Any], samples: int | None) -> PlanFacts:
    """Return the facts that flags state.

    Args:
        given: the flags that were given; with `data` the capture says how much there is, and the rules advise on sizes.
        samples: training frames in one pass.

    Raises:
        RecipeError: a flag is missing, or belongs to another kind of model.
    """
    from dpdrun.plan.advise import facts_of_kind
    from dpdrun.recipe.schema import MAX_EPOCHS

    kind, data = given.get("model"), "data" in given
    needed = ["model"]
    if not data or given.get("rules") == "note":
        needed += {"transformer": ["d_model"], "gru": ["hidden"]}.get(str(kind), [])
    purpose = "to recommend without a recipe"
    if data:
        purpose = "because `rules: note` has no rules for sizes" if kind else "to recommend from data"
    elif kind != "gmp":
        needed.append("samples")
    ask_for(needed, purpose, given if samples is None else given | {"samples": samples})
    for name in FOREIGN[str(kind)]:
        if name in given:
            raise RecipeError(f"{flag_of(name)} does not belong to --model {kind}; remove it")
    epochs = given.get("epochs")
    if epochs is not None and not 0 < epochs <= MAX_EPOCHS:  # nan too
        raise RecipeError(f"--epochs {epochs:g}: expected a number greater than 0 and up to {MAX_EPOCHS:,}")
    sizes = {name: given.get(name) for name in ("d_model", "hidden", "layers", "heads", "epochs")}
    span = given.get("window")
    seen = None if span is None else inf if span == "full" else int(span)
    return facts_of_kind(str(kind), frames=samples, batch=given.get("batch_size"), window=seen, **sizes)


def ask_user(given: dict[str, Any], samples: int | None) -> int | None:
    """Ask on the terminal for the flags that a job needs, and add them to `given`; return the training frames.

    Raises:
        RecipeError: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise RecipeError("--ask needs a terminal; give flags instead, see `dpdrun recommend --help`")
    from rich.prompt import Prompt

    from dpdrun.plan.recipe_writer import SIZES

    if "model" not in given:
        given["model"] = Prompt.ask("Kind of model", choices=list(SIZES), default="transformer")
    if samples is None and "data" not in given:
        source = Prompt.ask(
            "Capture: a file, a folder, or a name of `dpdrun data list` (empty: none)", default="", show_default=False
        )
        if source:
            given["data"] = source
        else:
            samples = _ask_count("Training frames per epoch", 1000)
    if "data" not in given:
        for name in (size for size in SIZES[str(given["model"])] if size in USUAL and size not in given):
            given[name] = _ask_count(f"model.{name}", USUAL[name])
    return samples


def _ask_count(name: str, default: int) -> int:
    from rich.prompt import IntPrompt

    while True:
        if (count := IntPrompt.ask(name, default=default)) > 0:
            return count
        say("expected a whole number of at least 1")


def recipe_of_flags(
    this: Recommendation, given: dict[str, Any], command: str, dpd: tuple[str, dict[str, Any]] | None = None
) -> str:
    """Return the recipe that flags describe.

    Args:
        this: the advice for them.
        given: the flags that were typed.
        command: the command that writes it.
        dpd: of a predistorter, the path of its PA run and the `data` section of that.

    Raises:
        RecipeError: it lacks something, or could not be trained.
    """
    from pydantic import ValidationError

    from dpdrun.plan.recipe_writer import SIZES, advised_model, model_section, recipe_text
    from dpdrun.recipe.loader import load_text, source_of

    kind = str(given["model"])
    sizes = advised_model(this) | given
    by_rules = "data" not in given and this.rules == "measured"  # then the data are all that is missing
    needed = ("data",) if by_rules else (*SIZES[kind], "data")
    ask_for([name for name in needed if name not in sizes], "for a recipe", given, to_file=True)
    model = model_section(kind, sizes)
    try:
        described = {name: given[name] for name in (*DATA_FIELDS, "align") if name in given}
        sections = {"data": {"source": source_of(given["data"])} | described, "model": model}
        if dpd is not None:  # a gmp is fitted by least squares, which cannot go through a PA model
            sections |= {"data": dpd[1], **({"dpd": {"learning": "ilc"}} if kind == "gmp" else {})}
        text = recipe_text(this, sections, command, pa=None if dpd is None else dpd[0])
    except ValidationError as exc:
        raise RecipeError(f"these flags do not form a valid recipe: {exc}") from exc
    load_text(text, "of these flags")  # refuses what cannot be trained, such as heads that do not divide d_model
    return text


def ask_for(needed: Iterable[str], purpose: str, given: dict[str, Any], *, to_file: bool = False) -> None:
    """Raise RecipeError where a flag is missing, with an example that works.

    Args:
        needed: names of flags.
        purpose: what they are needed for.
        given: the flags that were typed.
        to_file: the example writes a recipe.
    """
    missing = [name for name in needed if name not in given]
    if not missing:
        return
    lines = [
        f"{purpose}, {' and '.join(map(flag_of, missing))} {'is' if len(missing) == 1 else 'are'} needed",
        f"  for example: {_example(given, missing)}{' -o my.yaml' if to_file else ''}",
    ]
    if "data" in given or "data" in missing:
        lines += ["  `dpdrun data list` lists the sources; your own file or folder works too"]
    else:
        lines += [
            "  or give a recipe: dpdrun recommend recipes/quickstart.yaml",
            "  or data: dpdrun recommend --data synthetic/mild --model transformer",
        ]
    raise RecipeError("\n".join(lines))


def _example(given: dict[str, Any], missing: list[str]) -> str:
    """Return the command as it was typed, with what is missing; data take the place of --samples."""
    from dpdrun.rules.plan.sizing import LAYERS, SHORTEST_WINDOW, heads_for

    width = int(given.get("d_model", 32))
    usual: dict[str, Any] = {
        "model": "transformer", "d_model": width, "layers": LAYERS["transformer"], "heads": heads_for(width),
        "window": SHORTEST_WINDOW, "hidden": 16, "samples": 10000, "epochs": 50, "data": "synthetic/mild",
    }  # fmt: skip
    words = {name: given.get(name, usual[name] if name in missing else None) for name in usual} | given
    if words["data"]:
        words["samples"] = None
    elif words["model"] == "transformer":
        words["d_model"] = width
    values = {name: f"{value:g}" if isinstance(value, float) else str(value) for name, value in words.items() if value}
    return " ".join(["dpdrun recommend", *(f"{flag_of(name)} {shlex.quote(value)}" for name, value in values.items())])
