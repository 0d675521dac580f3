"""`dpdrun auto`: from a capture to an exported predistorter, in one command."""

from __future__ import annotations

import shlex
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpdrun.commands._completion import complete_capture
from dpdrun.commands._data_flags import NONE_GIVEN, DataFlags, takes_data_flags
from dpdrun.commands._options import PluginOption, argument, load_plugins, option
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from dpdrun.auto.job import Auto, PlannedWork
    from dpdrun.auto.reading import Reading
    from dpdrun.evaluation.plot_data import PlotData
    from dpdrun.pipeline.state import StepState


A_WEEK = 60 * 24 * 7  # minutes


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("auto")(takes_data_flags(auto))


def auto(
    source: Annotated[
        str,
        argument(metavar="CAPTURE", help="A capture, as for `dpdrun data inspect`.", autocompletion=complete_capture),
    ],
    budget: Annotated[
        list[str],
        option(
            metavar="NAME=MOST", help="What the target can hold: parameters=500, macs=2000 or bits=8000; repeatable."
        ),
    ],
    minutes: Annotated[
        float,
        option(min=0.01, max=A_WEEK, metavar="MINUTES", help="Time of the command; at least about 2, see --dry-run."),
    ] = 15.0,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="onnx|torchscript|npz|c|mat|mem|qonnx", help="Format of the exported predistorter."
        ),
    ] = "c",
    fixed: Annotated[
        int | None, option(min=4, max=18, metavar="BITS", help="Export in integers: bits of weights and activations.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for the results.", show_default="runs/<capture>-auto")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and its time without training.")] = False,
    flags: DataFlags = NONE_GIVEN,
    plugin: PluginOption = None,
) -> None:
    """Make a predistorter from a CAPTURE: align, train, score, export, and report.html for your colleagues.

    The same command continues an interrupted run; with more --minutes it continues the search.
    """
    began = time.monotonic()
    load_plugins(plugin)
    section = flags.section(source)
    from dpdrun.auto.budget import predistorter_model, read_budget
    from dpdrun.auto.product import Options, Product
    from dpdrun.export import require_format
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal

    options = Options(read_budget(budget, fixed), minutes, to, fixed)
    predistorter_model(options.budget)
    require_format(to, fixed=fixed is not None)
    with activity(Terminal(stderr=True), "auto") as doing:
        doing("reading and aligning the capture")
        from dpdrun.auto.reading import read

        reading = read(section)
        from dpdrun.auto.job import Auto

        folder = out or Path("runs") / f"{Path(reading.capture.name).stem}-auto"
        command = shlex.join(["dpdrun", "auto", *sys.argv[2:]])
        job = Auto(reading, options, Product(folder), command, began)
    _show_reading(reading)
    if dry_run or not job.state["seconds"]:
        with activity(Terminal(stderr=True), "auto") as doing:
            doing("fitting memory depths")
            work = job.plan()  # refuses a time that is too short, before anything is written
        _show_plan(work, f"{reading.capture.name}: {minutes:g} minutes")
    if dry_run:
        return
    try:
        _run(job)
    except KeyboardInterrupt as interrupt:
        say(str(interrupt) or f"interrupted; to continue:\n  {command}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _draw(where: Path, run: Path, report: dict[str, Any], scenes: list[PlotData]) -> None:
    """Draw the evaluation of a predistorter as SVG, which the page contains."""
    from dpdrun.commands._pipeline import draw_predistorter

    draw_predistorter(where, run, report, scenes, suffix=".svg")


def _show_plan(work: PlannedWork, title: str) -> None:
    from dataclasses import astuple

    from dpdrun.report.auto import plan_view
    from dpdrun.report.terminal import Terminal

    Terminal(highlight=False).print(plan_view([astuple(part) for part in work.parts], title, str(work)))


def _show_reading(reading: Reading) -> None:
    """Say what was corrected, and what remains."""
    facts = reading.facts
    say(f"{facts.name}: {sum(part.samples for part in facts.parts.values()):,} samples")
    say("corrected: " + ("; ".join(reading.corrected) or "nothing: input and output are aligned"))
    for warning in facts.warnings:
        say(f"warning: {warning}")


def _run(job: Auto) -> None:
    from rich.text import Text

    from dpdrun.auto.job import Show
    from dpdrun.auto.tried import trial_line
    from dpdrun.commands._sweep import sweep_progress
    from dpdrun.commands._training import train_and_show
    from dpdrun.report.auto import product_view
    from dpdrun.report.auto_page import product_page
    from dpdrun.report.streams import outlive_output
    from dpdrun.report.terminal import Terminal
    from dpdrun.run.files import write_text

    outlive_output(job.product.path)
    console = Terminal(highlight=False)

    def on_step(state: StepState, old: Path | None) -> None:
        renamed = "" if old is None else f"; the old folder is {old}"
        console.print(Text(f"{state.step.name}: {state.reason}{renamed}"), soft_wrap=True)

    show = Show(
        say=say,
        view=lambda folder, results: sweep_progress(folder, results, console, line=lambda id_: trial_line(folder, id_)),
        train=lambda loaded, run, resume: train_and_show(loaded, run, console, resume=resume),
        on_step=on_step,
        draw=_draw if find_spec("matplotlib") is not None else None,
    )
    made = job.run(show)
    write_text(job.product.page, product_page(made.content, job.product.path))
    console.print(product_view(made.content))
    for line in (f"page: {job.product.page}", f"figures and settings: {job.product.state}"):
        console.print(line, markup=False, soft_wrap=True)
