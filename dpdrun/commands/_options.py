"""Options that several commands share, and what they do with a recipe that they write."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.commands._completion import RECIPES, complete_override
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_FINDINGS, RecipeError

if TYPE_CHECKING:
    from dpdrun.rules.engine import Finding


class Split(StrEnum):
    """The splits of a capture."""

    train = "train"
    val = "val"
    test = "test"


class FailOn(StrEnum):
    """The severity from which the exit code is 1."""

    info = "info"
    warning = "warning"
    error = "error"


TextFormat = StrEnum("TextFormat", "text json")  # how to print: for people or for programs
RecipeFormat = StrEnum("RecipeFormat", "text yaml json")  # likewise, or as a recipe


def hertz(text: str | float) -> float:
    """Read a frequency: 983.04e6, or 200M with one of k, M and G."""
    number, factor = str(text).strip(), 1.0
    if number[-1:] in SUFFIXES:
        number, factor = number[:-1], SUFFIXES[number[-1]]
    try:
        return float(number) * factor
    except ValueError:
        raise typer.BadParameter(f"{text!r}: a number in Hz, such as 983.04e6, 983040000 or 983.04M") from None


SUFFIXES = {"k": 1e3, "M": 1e6, "G": 1e9}
option = partial(typer.Option, show_default=False)  # one that may be left out
argument = partial(typer.Argument, show_default=False)

SetOption = Annotated[
    list[str] | None,
    option(
        "--set", metavar="KEY=VALUE", help="Override a field, e.g. optim.lr=1e-3.", autocompletion=complete_override
    ),
]
PluginOption = Annotated[
    list[Path] | None, option("--plugin", metavar="FILE.py", help="Load a plug-in; repeatable (docs/plugins.md).")
]
OutputOption = Annotated[Path | None, option("-o", "--output", help="Write the recipe to this file.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")]
FormatOption = Annotated[TextFormat, typer.Option("--format", help="Output format.")]
RecipeFormatOption = Annotated[RecipeFormat, typer.Option("--format", help="Output format.")]
FailOnOption = Annotated[FailOn, typer.Option(help="Exit 1 if a finding is at least this severe.")]
SampleRateOption = Annotated[
    float | None,
    option(parser=hertz, metavar="HZ", help="Sample rate, if the data do not state it, e.g. 983.04e6 or 983.04M."),
]
DataOption = Annotated[
    str | None, option("--data", metavar="PATH", help="New location of the capture, if it has moved.")
]
BandwidthOption = Annotated[
    float | None, option(parser=hertz, metavar="HZ", help="Occupied bandwidth, if the data do not state it.")
]
ChannelSpacingOption = Annotated[
    float | None,
    option(parser=hertz, metavar="HZ", help="Distance between adjacent channels, if more than the bandwidth: ACLR."),
]
OutputSignalOption = Annotated[
    str | None, option("--output-signal", metavar="NAME", help="Which signal is the PA output.")
]
ColumnsOption = Annotated[
    str | None, option(metavar="NAMES", help="Columns of a text file without a header, e.g. I_in,Q_in,I_out,Q_out.")
]
FullScaleOption = Annotated[
    float | None,
    option(
        metavar="LEVEL", help="Level that becomes 32767 in .wv and .ci16; default: the largest I or Q of the record."
    ),
]
FigureFormat = StrEnum("FigureFormat", "png svg pdf")  # of the figures that -o writes
FiguresOption = Annotated[FigureFormat, typer.Option("--figures", help="Format of the figures that -o writes.")]


def load_plugins(files: list[Path] | None, run: Path | None = None) -> None:
    """Load the files of `--plugin`; say where one is not that with which `run` was made. Raises PluginError."""
    if not files:
        return
    from dpdrun.recipe.plugins import changed, load_files
    from dpdrun.run.folder import RunFolder

    load_files(files)
    if run is not None and (folder := RunFolder(run)).plan.is_file():
        for difference in changed(folder.read_json(folder.plan)):
            say(f"warning: a plug-in has changed since {run} was trained: {difference}", err=True)


def exit_on(findings: Iterable[Finding], fail_on: FailOn) -> None:
    """Exit with 1 where a finding is at least as severe as `--fail-on`."""
    from dpdrun.plan.lint import reaches

    if reaches(findings, fail_on.value):
        raise typer.Exit(EXIT_FINDINGS)


def check_output(save: Path | None) -> None:
    """Raise UnwritableError before anything is computed if -o cannot be written; warn if it will have no figures."""
    if save is None:
        return
    from dpdrun.run.files import require_writable_folder

    require_writable_folder(save)
    if find_spec("matplotlib") is None:
        say(f"warning: {save} will hold scores and tables without figures: pip install 'dpdrun[plots]'", err=True)


def print_json(content: dict[str, Any]) -> None:
    """Print machine-readable output (docs/json.md), with date, host and versions."""
    from dpdrun.run.environment import environment
    from dpdrun.run.files import json_text
    from dpdrun.run.folder import SCHEMA_VERSION

    say(json_text({"schema_version": SCHEMA_VERSION, **content, "environment": environment()}))


def typed(verb: str) -> str:
    """Return the command as the user typed it, for the head of the recipe that it writes."""
    return shlex.join(["dpdrun", verb, *sys.argv[2:]])


def stated_rates(**rates: float | None) -> dict[str, float]:
    """Return the rates that were given, by field of `data`. Raises RecipeError where one is not a positive number."""
    for name, value in rates.items():
        if value is not None and not 0 < value < float("inf"):  # nan too
            raise RecipeError(f"--{name.replace('_', '-')} must be a positive number, not {value:g}")
    return {name: value for name, value in rates.items() if value is not None}


def refuse_existing(out: Path | None, force: bool) -> None:
    """Raise RecipeError where the file of `--output` cannot be made, or exists and is not to be replaced."""
    if out is None:
        return
    if out.is_dir():
        raise RecipeError(f"{out}: this is a folder; name the recipe file in it")
    if out.exists() and not force:
        raise RecipeError(f"{out}: already exists; --force overwrites it")
    if out.exists() and out.suffix.lower() not in RECIPES:  # as the capture that the command reads
        raise RecipeError(f"{out}: already exists, and --force overwrites {' and '.join(RECIPES)} files only")
    if not out.absolute().parent.is_dir():
        raise RecipeError(f"{out}: there is no folder {out.parent}; create it first")


def write_recipe(out: Path, text: str, force: bool) -> None:
    """Write a recipe and print how to train it. Raises as `refuse_existing`; UnwritableError on a full disk."""
    refuse_existing(out, force)
    from dpdrun.run.files import write_text

    write_text(out, text)
    say(f"{out}: written; train it with: dpdrun train {shlex.quote(str(out))}", err=True)
