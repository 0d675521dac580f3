"""The recipe that `dpdrun recommend` prints or writes: from flags, or a recipe with every `auto` filled."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.errors import DpdrunError, RecipeError

if TYPE_CHECKING:
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.loader import Loaded

SCHEMA_LINE = "# yaml-language-server:"  # its path is relative to the file
_QUOTED = "# From the head of"


def recipe_of_flags(this: Recommendation, given: dict[str, Any]) -> str:
    """A recipe from flags alone; asks for what a recipe needs beyond what the rules need."""
    from pydantic import ValidationError

    from dpdrun.commands._flags import ask_for
    from dpdrun.commands._measured import NEEDED_SIZES, sizes_of
    from dpdrun.plan.recommendation import recipe_text
    from dpdrun.recipe.loader import load_text

    kind = given["model"]
    sizes = NEEDED_SIZES[str(kind)]
    known = sizes_of(this) | given
    advised = "data" not in given and this.rules == "measured"  # after a look at the data rules say what is missing
    asked = ("data",) if advised else (*sizes, "data")
    ask_for({f"--{name.replace('_', '-')}": known.get(name) for name in asked}, "for a recipe", given, to_file=True)
    window = given.get("window")
    model = {"kind": str(kind)} | {name: known[name] for name in (*sizes, "layers", "lookahead") if name in known}
    if window is not None and window != "full":
        model["window"] = int(window)
    if window == "full":
        model["positions"] = "sinusoidal"  # relative positions are defined within a window
    try:
        stated = {name: given[name] for name in ("sample_rate_hz", "bandwidth_hz") if name in given}
        text = recipe_text(this, {"data": {"source": given["data"]} | stated, "model": model}, _command())
    except ValidationError as exc:
        raise RecipeError(f"these flags do not make a recipe: {exc}") from exc
    load_text(text, "of these flags")  # refuses what cannot be trained, such as heads that do not divide d_model
    return text


def filled(this: Recommendation, loaded: Loaded, samples: int | None, out: Path | None) -> str:
    """A recipe with every `auto` filled, the reasons beside the values, and a head that says where it comes from.

    Args:
        samples: of `--samples`; a recipe cannot hold them.
        out: where it will be written.
    """
    from dpdrun.plan.recommendation import head_lines, patch_of, reasons_of
    from dpdrun.recipe.comments import annotate_changed_values, head_of, reasons_without_line
    from dpdrun.recipe.patch import apply_patch

    patch = patch_of(this, loaded.recipe)
    if samples is not None and {"train.epochs", "train.max_steps"} & set(patch):
        raise RecipeError(
            f"--samples {samples} is nothing that a recipe holds: epochs for so many are another run on the data of "
            f"{loaded.path}; leave out --samples, or write train.epochs"
        )
    edited = apply_patch(loaded.effective_text, patch)
    if edited == loaded.text:
        return edited
    reasons = {key: reason for key, reason in reasons_of(this).items() if key in patch}
    text = annotate_changed_values(loaded.text, edited, reasons)
    old = head_of(text)
    body = text.splitlines(keepends=True)[len(old) :]
    beside = [f"# {key}: {reason}" for key, reason in reasons_without_line(text, reasons).items()]
    schema, remarks = _of_the_old_head(old, loaded.path)
    at_home = out is not None and out.resolve().parent == loaded.path.resolve().parent
    head = [*(schema if at_home else []), *head_lines(this, _command()), *beside, *remarks]
    newline = "\r\n" if "\r\n" in text else "\n"
    return "".join(line + newline for line in head) + "".join(body)


def _of_the_old_head(head: list[str], path: Path) -> tuple[list[str], list[str]]:
    """The line for editors; and what else stood there, said of the file that it was said of."""
    from dpdrun.plan.recommendation import WRITTEN_BY

    schema = [line for line in head if line.startswith(SCHEMA_LINE)]
    remarks = [line for line in head if line.strip() not in ("", "#") and line not in schema]
    if any(line.startswith(WRITTEN_BY) for line in remarks):  # ours, of an earlier time: only what it quotes is kept
        kept = [place for place, line in enumerate(remarks) if line.startswith(_QUOTED)]
        return schema, remarks[kept[0] :] if kept else []
    if not remarks:
        return schema, []
    title = f"{_QUOTED} {_one_line(str(path))}; a result that it names is of that file, as it was:"
    return schema, [title, *(f"#   {line.removeprefix('#').strip()}" for line in remarks)]


def _command() -> str:
    return _one_line(shlex.join(["dpdrun", "recommend", *sys.argv[2:]]))


def _one_line(text: str) -> str:
    """Fit for a comment of YAML."""
    return "".join(character if character.isprintable() else "?" for character in text)


def write(out: Path, text: str, force: bool) -> None:
    """Write the recipe and say so. Raises RecipeError when the file exists, DpdrunError when it cannot be written."""
    refuse_existing(out, force)
    from dpdrun.run.files import write_text

    try:
        write_text(out, text)
    except OSError as error:
        raise DpdrunError(f"{out}: cannot be written: {error.strerror}") from None
    typer.echo(f"{out}: written; train it with: dpdrun train {shlex.quote(str(out))}", err=True)


def refuse_existing(out: Path, force: bool) -> None:
    """Raises RecipeError when the file cannot be made, or exists and is not to be replaced."""
    if out.is_dir():
        raise RecipeError(f"{out}: this is a folder; name the recipe file in it")
    if out.exists() and not force:
        raise RecipeError(f"{out}: exists already; --force replaces it")
    if not out.absolute().parent.is_dir():
        raise RecipeError(f"{out}: there is no folder {out.parent}; make it first")
