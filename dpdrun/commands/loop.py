"""`dpdrun loop`: predistortion in a closed loop with an amplifier on the bench, one capture at a time."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_capture
from dpdrun.commands._data_flags import NONE_GIVEN, DataFlags, takes_data_flags
from dpdrun.commands._options import (
    ColumnsOption,
    FormatOption,
    OutputSignalOption,
    PluginOption,
    TextFormat,
    argument,
    hertz,
    load_plugins,
    option,
    print_json,
    stated_rates,
)
from dpdrun.commands._output import say
from dpdrun.errors import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dpdrun.loop.folder import LoopFolder
    from dpdrun.loop.state import LoopState
    from dpdrun.recipe.loader import Loaded
    from dpdrun.rf.metrics import Signal
    from dpdrun.run.folder import RunFolder

Method = StrEnum("Method", "ilc model")  # of finding the next waveform
WaveformFormat = StrEnum("WaveformFormat", "mat csv npy npz wv sigmf-meta cf32 ci16")  # of the waveforms to play

FolderArgument = Annotated[Path, argument(metavar="DIR", help="The folder of a loop.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="Predistort an amplifier on the bench, round by round.")
    group.command("start")(takes_data_flags(start, omitted=("output", "channel_spacing_hz")))
    group.command("next")(next_)
    group.command("drop")(drop)
    group.command("status")(status)
    app.add_typer(group, name="loop")


def start(
    source: Annotated[
        str,
        argument(
            metavar="WAVEFORM",
            autocompletion=complete_capture,
            help="A waveform in any format (docs/data.md), or a capture, whose input is used.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to make.")],
    format_: Annotated[
        WaveformFormat, typer.Option("--waveforms", help="Format of the waveforms to play.")
    ] = WaveformFormat.mat,
    peak_db: Annotated[float, typer.Option(help="Limit of the peak power, over that of the original.")] = 0.0,
    average_db: Annotated[float, typer.Option(help="Limit of the mean power, over that of the original.")] = 0.0,
    method: Annotated[
        Method, typer.Option(help="Correct the waveform by its error (ilc), or train a predistorter on each round.")
    ] = Method.ilc,
    pa: Annotated[
        str | None, option(metavar="RECIPE", help="For --method model: recipe of the PA model; default: a gmp.")
    ] = None,
    dpd: Annotated[
        str | None, option(metavar="RECIPE", help="For --method model: recipe of the predistorter; default: a gmp.")
    ] = None,
    flags: DataFlags = NONE_GIVEN,
    plugin: PluginOption = None,
) -> None:
    """Write the first waveform to play: the original, undistorted.

    Play it in a loop at a fixed level, capture the amplifier's output, and give the capture to `dpdrun loop next`.

    No waveform exceeds the limits of peak and mean power; of .wv and .ci16, full scale is the peak limit.
    """
    load_plugins(plugin)
    from dpdrun.loop.folder import LoopFolder
    from dpdrun.loop.start import begin

    section = flags.section(source)
    recipes = None
    if method is Method.model:
        from dpdrun.loop.retraining import read_recipes

        recipes = read_recipes({"pa": pa, "dpd": dpd})
    elif pa or dpd:
        raise RecipeError("--pa and --dpd are recipes of --method model; give it too, or omit them")
    state = begin(
        LoopFolder(out),
        section,
        suffix=f".{format_}",
        method="model" if method is Method.model else "ilc",
        peak_db=peak_db,
        average_db=average_db,
        recipes=recipes,
    )
    rate = f"{state.sample_rate_hz / 1e6:.6g} MS/s"
    limits = f"peak {state.limits.peak:.4g}, rms {state.limits.average:.4g}"
    say(f"{out}: {state.samples:,} samples of {state.source} at {rate}; no waveform exceeds {limits}")
    if state.original_aclr_dbc is not None:
        say(f"the ACLR of the waveform itself is {state.original_aclr_dbc:.2f} dBc: no output gets below it")
    _say_next(out, state)


def next_(
    folder: FolderArgument,
    measured: Annotated[
        Path, argument(metavar="CAPTURE", help="The captured output, in any format (docs/data.md); one period or more.")
    ],
    output: OutputSignalOption = None,
    columns: ColumnsOption = None,
    output_rate_hz: Annotated[
        float | None,
        option(parser=hertz, metavar="HZ", help="Sample rate of the capture, if it differs from the waveform's."),
    ] = None,
    format_: FormatOption = TextFormat.text,
    plugin: PluginOption = None,
) -> None:
    """Take the capture of the last waveform, align and score it, and write the next waveform.

    A capture may start anywhere in the looping waveform; its periods are averaged.

    A round that got worse halves the step, and the next waveform continues from the best one.
    """
    load_plugins(plugin)
    from dpdrun.loop.folder import LoopFolder
    from dpdrun.loop.rounds import take
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    stated_rates(output_rate_hz=output_rate_hz)
    loop = LoopFolder(folder)
    predistorted = _predistorted(loop) if loop.read().method == "model" else None
    with activity(Terminal(stderr=True), "loop") as doing:
        doing(f"aligning and scoring {measured.name}")
        state = take(
            loop, measured, output=output, columns=columns, output_rate_hz=output_rate_hz, predistorted=predistorted
        )
    _show(folder, state, format_)


def drop(folder: FolderArgument, format_: FormatOption = TextFormat.text) -> None:
    """Take the last measured round back, such as one of another waveform: its waveform waits for another capture."""
    from dpdrun.loop.folder import LoopFolder
    from dpdrun.loop.rounds import drop as drop_last

    _show(folder, drop_last(LoopFolder(folder)), format_)


def status(folder: FolderArgument, format_: FormatOption = TextFormat.text) -> None:
    """Show the scores of every round, the best one, and what to do next."""
    from dpdrun.loop.folder import LoopFolder

    _show(folder, LoopFolder(folder).read(), format_)


def _predistorted(loop: LoopFolder) -> Callable[[int], Signal]:
    """Return what trains the predistorter of a round, with a line for each run, and sends the original through it."""
    from dpdrun.loop.retraining import predistorted
    from dpdrun.pipeline.execution import continued_by
    from dpdrun.training import job

    command = shlex.join(["dpdrun", *sys.argv[1:]])

    def train(loaded: Loaded, run: RunFolder) -> None:
        if not run.report.is_file():
            say(f"training {run.path}", err=True)
        with continued_by(command, f"the training of {run.path}"):
            job.train(loaded, run.path, resume="auto")

    return lambda number: predistorted(loop, number, train)


def _show(folder: Path, state: LoopState, format_: TextFormat) -> None:
    content = state.model_dump(mode="json")
    if format_ is TextFormat.json:
        print_json(content)
        return
    from dpdrun.loop.folder import LoopFolder
    from dpdrun.report.loop import loop_view
    from dpdrun.report.terminal import Terminal

    Terminal(highlight=False).print(loop_view(content))
    if state.best is not None:
        say(f"best waveform: {folder / state.best.waveform.file}")
        if state.method == "model" and state.best.waveform.based_on is not None:
            trained = LoopFolder(folder).round(state.best.waveform.based_on) / "dpd"
            say(f"its predistorter: {trained} (dpdrun evaluate, export and apply take it)")
    _say_next(folder, state)


def _say_next(folder: Path, state: LoopState) -> None:
    say(
        f"play {folder / state.waiting.waveform.file} in a loop, capture the output, then:\n  "
        f"dpdrun loop next {shlex.quote(str(folder))} CAPTURE"
    )
