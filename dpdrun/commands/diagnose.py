"""`dpdrun diagnose`: what is wrong with a training run or a prediction, and what to change."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_log
from dpdrun.commands._options import PluginOption, argument, load_plugins, option
from dpdrun.commands._output import say
from dpdrun.errors import EXIT_FINDINGS, EXIT_INTERRUPTED, RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

    from dpdrun.diagnosis.diagnose import Diagnosis
    from dpdrun.diagnosis.repair import Attempt


SHOWN = 20  # runs of the working folder that a message lists
DiagnosisFormat = StrEnum("DiagnosisFormat", "text json markdown html")  # how to print a diagnosis


class RunSeverity(StrEnum):
    """The severities that can fail a run; info leaves it healthy."""

    warning = "warning"
    error = "error"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("diagnose")(diagnose)


def diagnose(
    run: Annotated[
        Path | None,
        argument(
            metavar="RUN",
            help="Run folder, finished or not, or another program's log; - = standard input.",
            autocompletion=complete_log,
        ),
    ] = None,
    maps: Annotated[
        list[str] | None,
        option(
            "--map",
            metavar="KEY=COLUMN,...",
            help="Columns of the log for step, loss, grad_norm, lr, ...; a number sets a constant value.",
        ),
    ] = None,
    prediction: Annotated[
        Path | None, option(help="Diagnose a prediction instead of a RUN: CSV with I,Q, npz, npy or raw.")
    ] = None,
    target: Annotated[Path | None, option(help="The signal that --prediction should equal.")] = None,
    input_: Annotated[Path | None, option("--input", help="The input that --prediction was made from.")] = None,
    format_: Annotated[
        DiagnosisFormat | None,
        typer.Option("--format", help="Output format.", show_default="by the suffix of -o, else rich"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="File to write.", show_default="standard output"),
    ] = None,
    plot: Annotated[Path | None, option(metavar="FILE", help="Save the charts as .png, .svg or .pdf.")] = None,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="List the rules that found nothing or could not check.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Diagnose again every few seconds until the run ends or Ctrl-C.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the run's recipe with the advice applied.")] = False,
    rerun: Annotated[
        bool,
        typer.Option("--rerun", help="--fix, then train both recipes from the same seeds and keep the better one."),
    ] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds for --rerun.")] = 2,
    fail_on: Annotated[
        RunSeverity | None, typer.Option(help="Exit 1 if a finding is at least this severe.", show_default="never")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Diagnose a training run or a prediction: what is wrong, the evidence, and what to change."""
    load_plugins(plugin, run)

    def diagnose_again() -> tuple[Diagnosis, str]:
        return _diagnose(run, maps or (), prediction, target, input_)

    interrupted = False
    if follow:
        diagnosis, title, interrupted = _follow(run, diagnose_again)
    else:
        diagnosis, title = diagnose_again()
    _show(diagnosis, title, format_, output, verbose=verbose)
    if plot is not None:
        from dpdrun.report.diagnosis_plot import draw_diagnosis

        draw_diagnosis(diagnosis, title, plot)
        say(f"written: {plot}", err=True)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if fix or rerun:
        _repair(run, seeds if rerun else None)
    if fail_on is not None and diagnosis.reaches(fail_on.value):
        raise typer.Exit(EXIT_FINDINGS)


def _diagnose(
    run: Path | None, maps: Sequence[str], prediction: Path | None, target: Path | None, input_: Path | None
) -> tuple[Diagnosis, str]:
    """Return the diagnosis of a run or of files, and its title. Raises BadParameter unless the flags name one."""
    from dpdrun.diagnosis.diagnose import diagnose_any, diagnose_files

    if prediction is None and target is None and input_ is None:
        if run is None:
            raise RunError(f"name what to diagnose:\n{_at_hand()}")
        if str(run) == "-":
            if sys.stdin.isatty():
                say("paste the log, then press Ctrl-D", err=True)
            return diagnose_any(run, maps), "standard input"
        return diagnose_any(run, maps), str(run)
    if run is not None or maps:
        extra = "a RUN" if run is not None else "--map"
        raise typer.BadParameter(f"{extra} cannot be combined with --prediction, --target or --input")
    if prediction is None or target is None:
        missing = "--prediction" if prediction is None else "--target"
        raise typer.BadParameter(f"{missing} is missing: a prediction is compared with its target")
    return diagnose_files(prediction, target, input_), f"{prediction} against {target}"


def _at_hand() -> str:
    """Return what can be diagnosed here, as lines of a message."""
    from dpdrun.run.folder import runs_in

    runs = runs_in()
    lines = [f"  dpdrun diagnose {shlex.quote(str(run))}" for run in runs[:SHOWN]]
    lines += [f"  and {len(runs) - SHOWN} more runs here"] if len(runs) > SHOWN else []
    lines += ["  dpdrun diagnose LOG, a log of another program", "  dpdrun diagnose --prediction FILE --target FILE"]
    return "\n".join(lines)


def _follow(run: Path | None, diagnose_again: Callable[[], tuple[Diagnosis, str]]) -> tuple[Diagnosis, str, bool]:
    """Follow a run on stderr; the last value is whether Ctrl-C ended it."""
    from dpdrun.diagnosis.follow import follow
    from dpdrun.report.diagnosis import FollowView
    from dpdrun.report.terminal import Terminal

    if run is None or str(run) == "-":
        raise typer.BadParameter("--follow needs a RUN" + (" that is a file or a folder" if run else ""))
    with FollowView(Terminal(stderr=True)) as view:
        followed = follow(run, diagnose_again, view)
    if followed.last is None:
        say("interrupted; nothing was logged yet", err=True)
        raise typer.Exit(EXIT_INTERRUPTED)
    return *followed.last, followed.interrupted


def _show(diagnosis: Diagnosis, title: str, format_: str | None, output: Path | None, *, verbose: bool) -> None:
    from dpdrun.report.diagnosis_formats import format_of_file, render_diagnosis

    format_ = format_ or (format_of_file(output) if output else "text")
    if output is not None:
        from dpdrun.run.files import write_text

        if output.is_dir():
            raise RunError(f"{output}: this is a folder; give -o the name of a file")
        write_text(output, render_diagnosis(diagnosis, title, format_, verbose=verbose))
        say(f"written: {output}", err=True)
    elif format_ == "text":
        from dpdrun.report.diagnosis import diagnosis_view
        from dpdrun.report.terminal import Terminal

        Terminal().print(diagnosis_view(diagnosis, title, verbose=verbose), highlight=False)
    else:
        say(render_diagnosis(diagnosis, title, format_), nl=False)


def _repair(path: Path | None, seeds: int | None) -> None:
    """Write the repaired recipe of a run; with `seeds`, train it and the old one from so many seeds and compare them.

    Raises:
        RunError: there is no run folder, or nothing to change.
    """
    from dpdrun.diagnosis.repair import next_attempt
    from dpdrun.report.repair import attempt_view
    from dpdrun.report.terminal import Terminal

    if path is None or not path.is_dir():
        raise RunError(f"--fix needs a run folder with its recipe; {path or 'no RUN'} is not one")
    attempt = next_attempt(path)
    attempt.write()
    console = Terminal(highlight=False)
    console.print(attempt_view(attempt))
    if seeds is None:
        console.print(f"\ntrain it:    dpdrun train {attempt.recipe}", markup=False, soft_wrap=True)
        console.print(f"compare it:  dpdrun diagnose {path} --fix --rerun", markup=False, soft_wrap=True)
    else:
        _compare(attempt, path, seeds, console)


def _compare(attempt: Attempt, path: Path, count: int, console: Console) -> None:
    from dpdrun.api.progress import training_view
    from dpdrun.report.repair import comparison_view
    from dpdrun.run.folder import RunFolder
    from dpdrun.training.job import Watch
    from dpdrun.training.rerun import compare_recipes

    def watch(title: str) -> Watch:
        console.print(title, style="bold")
        return lambda job: training_view(job, console)

    run, before, after = RunFolder.open(path), attempt.repair.before, attempt.repair.after
    seeds = range(before.recipe.train.seed, before.recipe.train.seed + count)
    comparison = compare_recipes(before, after, attempt.folder, seeds, finished=run, watch=watch)
    run.write_json(attempt.outcome, attempt.outcome_json(comparison))
    console.print(comparison_view(comparison, attempt.codes))
    if comparison.kept:
        best = attempt.folder / f"after-seed{comparison.seeds[0]}"
        console.print(f"to continue from there:  dpdrun diagnose {best}", markup=False, soft_wrap=True)
