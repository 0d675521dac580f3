"""`dpdrun import`: an OpenDPD command line or script as a recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._options import (
    BandwidthOption,
    FailOn,
    FailOnOption,
    ForceOption,
    OutputOption,
    RecipeFormat,
    RecipeFormatOption,
    SampleRateOption,
    SetOption,
    argument,
    exit_on,
    option,
    print_json,
    refuse_existing,
    stated_rates,
    write_recipe,
)
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from dpdrun.opendpd.command import Translation

UNWRITTEN = "RECIPE"  # what findings call a recipe that has no file yet
MAX_BYTES = 1 << 20  # a script is a page; a larger file was named by mistake
EXAMPLE = "dpdrun import 'python main.py --step train_pa ...'"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    command: Annotated[
        str,
        argument(
            metavar="COMMAND|SCRIPT|-", help="An OpenDPD command in quotes, a script, or standard input; never run."
        ),
    ],
    pick: Annotated[int | None, option(min=1, metavar="N", help="Which command to use, if there are several.")] = None,
    data: Annotated[str | None, option(metavar="SOURCE", help="Train on these data instead.")] = None,
    sample_rate_hz: SampleRateOption = None,
    bandwidth_hz: BandwidthOption = None,
    samples: Annotated[
        int | None, option(min=1, help="Training frames per epoch, if the data are not available.")
    ] = None,
    epochs: Annotated[int | None, option(min=1, help="Override --n_epochs of the command.")] = None,
    batch_size: Annotated[int | None, option(min=1, help="Override --batch_size of the command.")] = None,
    sets: SetOption = None,
    format_: RecipeFormatOption = RecipeFormat.text,
    out: OutputOption = None,
    force: ForceOption = False,
    fail_on: FailOnOption = FailOn.error,
) -> None:
    """Translate an OpenDPD train_pa command into a recipe, note the differences, and lint it."""
    script, name = _read(command)
    rates = stated_rates(sample_rate_hz=sample_rate_hz, bandwidth_hz=bandwidth_hz)
    refuse_existing(out, force)
    from dpdrun.opendpd.command import translate
    from dpdrun.plan.lint import RecipeFacts, lint_recipe
    from dpdrun.recipe.loader import load_text

    also = [] if epochs is None else ["--n_epochs", str(epochs)]
    also += [] if batch_size is None else ["--batch_size", str(batch_size)]
    translation = translate(script, name, source=data, frames=samples, pick=pick, stated=rates, also=also)
    try:
        overrides = [*(f"data.{name}={rate}" for name, rate in rates.items()), *(sets or [])]
        loaded = load_text(translation.text, out or UNWRITTEN, overrides)
    except RecipeError as error:
        raise RecipeError(f"{translation.where}: the command gives no trainable recipe:\n{error}") from None
    text = loaded.effective_text
    found = lint_recipe(loaded, RecipeFacts(samples, needed=False))
    if out is not None:
        write_recipe(out, text, force)
    if format_ is RecipeFormat.json:
        content = {"where": translation.where, "dialect": translation.dialect, "remarks": list(translation.remarks)}
        translated = {"translation": content | {"recipe": text}}
        print_json(found.to_json() | translated)
    elif format_ is RecipeFormat.yaml:
        say(text, nl=False, exact=True)
    else:
        from dpdrun.commands.lint import print_lint

        say(text if out is None else _remarks(translation))
        print_lint([found])
    exit_on(found.findings, fail_on)


def _remarks(this: Translation) -> str:
    """Return what differs from OpenDPD, a line each."""
    first = f"{this.shown}: translated; defaults are those of {this.dialect}"
    return "\n".join([first, *(f"  {remark}" for remark in this.remarks)])


def _read(given: str) -> tuple[str, str]:
    """Return the text of a command or script, and its name for messages. Raises RecipeError."""
    from dpdrun.opendpd.command import GIVEN

    if given == "-":
        return sys.stdin.buffer.read(MAX_BYTES).decode("utf-8", errors="replace"), "standard input"
    if not given.strip():
        raise RecipeError(f"the command is empty; quote it: {EXAMPLE}")
    try:
        with Path(given).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # a command is often too long for the name of a file
        if len(given.split()) > 1:
            return given, GIVEN
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise RecipeError(
            f"{given}: neither a readable script ({reason}) nor a command; quote the complete command: {EXAMPLE}"
        ) from None
    if len(data) > MAX_BYTES:
        raise RecipeError(f"{given}: larger than {MAX_BYTES // 1024} KiB; this is not a script")
    return data.decode("utf-8", errors="replace"), given
