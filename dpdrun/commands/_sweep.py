"""`dpdrun sweep` at the terminal: the check of the configurations, the live table, the end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.commands._output import say
from dpdrun.errors import EXIT_INTERRUPTED, DpdrunError, StoppedError

if TYPE_CHECKING:
    from dpdrun.sweep.document import Sweep
    from dpdrun.sweep.folder import SweepFolder

LINES_AROUND = 8  # of the live table, besides its points
REDRAWN_S = 0.5


def begin_sweep(sweep: Sweep, folder: SweepFolder) -> None:
    """Check every configuration, and make or extend the folder of the sweep."""
    from dpdrun.data.sources import captures_kept
    from dpdrun.report.layout import activity
    from dpdrun.report.terminal import Terminal
    from dpdrun.rules.text import pluralize
    from dpdrun.sweep.folder import begin, take_over
    from dpdrun.sweep.points import plan_points
    from dpdrun.sweep.search import require_search

    require_search(sweep)
    with activity(Terminal(stderr=True), "sweep") as doing, captures_kept():
        planned = plan_points(sweep, lambda done, total: doing(f"checking configuration {done + 1} of {total}"))
    begin(folder, sweep, planned)
    if taken := take_over(folder):
        say(f"taken over from other sweeps in {folder.path.parent}: {pluralize(taken, 'trial')}", err=True)


def run_workers(sweep: Sweep, folder: SweepFolder, count: int | None, argument: str) -> None:
    """Run the trials with workers on this host, and show the table until all are decided.

    Raises:
        StoppedError, RunError: as `Pool.run`; the message has the command that continues.
        typer.Exit: Ctrl-C.
    """
    from dpdrun.report.streams import outlive_output
    from dpdrun.report.terminal import Terminal
    from dpdrun.rules.text import pluralize
    from dpdrun.sweep.final import finish, write
    from dpdrun.sweep.folder import retry
    from dpdrun.sweep.pool import Pool, default_workers, described
    from dpdrun.sweep.results import Results, is_over

    outlive_output(folder.path)
    device = sweep.base.recipe.train.device
    workers = count or default_workers(device)
    again = shlex.join(["dpdrun", "sweep", "resume", argument])
    results, console = Results(folder, sweep), Terminal(highlight=False)
    retry(folder, sweep)
    waiting = folder.journal.read().count("pending", "running")
    if waiting or sweep.search != "grid":
        workers = min(workers, max(1, waiting)) if sweep.search == "grid" else workers
        total = pluralize(len(folder.journal.read().trials), "trial")
        say(f"{folder.path}: {total}, {waiting} to do; {described(workers, device)}", err=True)
        try:
            with sweep_progress(folder, results, console) as redraw:
                Pool(folder, workers, device).run(redraw)
        except KeyboardInterrupt:
            write(folder, results.make(folder.journal.read()))
            say(f"interrupted; to continue:\n  {again}", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except StoppedError as stopped:
            raise StoppedError(f"{stopped}; continue with:\n  {again}") from None
        except DpdrunError as error:
            raise type(error)(f"{error}\n  to continue:\n  {again}") from None
    show(finish(folder, sweep, lambda text: say(text, err=True)), folder, complete=is_over(folder.journal.read()))


def show(content: dict[str, Any], folder: SweepFolder, *, complete: bool = True, written: bool = True) -> None:
    """Print the results of a sweep, and where they are if they could be written."""
    from dpdrun.report.sweep import sweep_view
    from dpdrun.report.terminal import Terminal

    console = Terminal(highlight=False)
    console.print(sweep_view(content, width=console.width, state="" if complete else "unfinished"))
    if written:
        files = f"{folder.result}, {folder.table.name}, {folder.page.name}"
        console.print(f"results: {files}", markup=False, soft_wrap=True)


@contextmanager
def sweep_progress(
    folder: SweepFolder, results: Any, console: Any, line: Callable[[str], str] | None = None
) -> Iterator[Callable[[], None]]:
    """Yield what shows the sweep as it is now: a live table on a terminal, elsewhere a line for each decided trial."""
    import time

    from rich.live import Live

    from dpdrun.report.sweep import sweep_view, trial_line

    if not console.is_terminal:
        shown = {id_ for id_, each in folder.journal.read().trials.items() if each.status not in ("pending", "running")}

        def print_new() -> None:
            state = folder.journal.read()
            for id_, each in state.trials.items():
                if id_ not in shown and each.status not in ("pending", "running"):
                    shown.add(id_)
                    say(line(id_) if line is not None else trial_line(results.make(state), id_))
            sys.stdout.flush()

        yield print_new
        return
    last = 0.0
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def redraw() -> None:
            nonlocal last
            if time.monotonic() - last < REDRAWN_S:
                return
            content = results.make(folder.journal.read())
            rows = max(3, console.height - LINES_AROUND)
            live.update(sweep_view(content, most=rows, width=console.width), refresh=True)
            last = time.monotonic()

        yield redraw
