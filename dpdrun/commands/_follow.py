"""`dpdrun diagnose --follow`: diagnose a run again and again while it is being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dpdrun.errors import EXIT_INTERRUPTED, DpdrunError, RunError

if TYPE_CHECKING:
    from rich.console import Console

    from dpdrun.diagnosis.diagnose import Diagnosis

EVERY_S = 2.0
SHARE = 5.0  # times what a diagnosis took: it may cost the training at most a sixth of a core

Look = Callable[[], "tuple[Diagnosis, str]"]
Stamp = tuple[tuple[str, int, int], ...]


class Interrupted(Exception):  # noqa: N818 - not an error: what Ctrl-C leaves
    """Ctrl-C came; `last` is the diagnosis up to there, None when there was none yet."""

    def __init__(self, last: tuple[Diagnosis, str] | None) -> None:
        super().__init__()
        self.last = last


def follow(
    path: Path,
    look: Look,
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Diagnosis, str]:
    """Diagnose until the run ends: report.json of a run folder, or the planned last step of a log.

    On a terminal a view is drawn in place; elsewhere only lines are printed. Both print a line when a finding appears.

    Args:
        path: run folder or log.
        look: diagnoses it, and says what it is called.
        console: where to print.
        sleep, clock: in seconds; replaced in tests.

    Raises:
        Interrupted: Ctrl-C.
        RunError, DataError: it cannot be read from the start on.
    """
    follower = _Follower(path, look, console)
    try:
        with follower.drawing() as live:
            while not follower.ended:
                began = clock()
                follower.update(live, began)
                if not follower.ended:
                    sleep(max(EVERY_S, SHARE * (clock() - began)))
    except KeyboardInterrupt:
        raise Interrupted(follower.last) from None
    if follower.last is None:
        raise RunError(f"{path}: nothing was logged")
    return follower.last


def followed(run: Path | None, look: Look) -> tuple[Diagnosis, str, bool]:
    """`follow` for the command line; the last is whether Ctrl-C ended it.

    Raises:
        RunError, DataError: as `follow`.
        typer.BadParameter: there is no run to follow.
        typer.Exit: Ctrl-C came before anything was logged.
    """
    from rich.console import Console

    if run is None:
        raise typer.BadParameter("--follow needs a RUN")
    try:
        found, title = follow(run, look, Console(stderr=True))
    except Interrupted as interrupt:
        if interrupt.last is None:
            typer.echo("interrupted; nothing was logged yet", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        return *interrupt.last, True
    return found, title, False


class _Follower:
    """What was seen so far."""

    def __init__(self, path: Path, look: Look, console: Console) -> None:
        self._path, self._look, self._console = path, look, console
        self._stamp: Stamp | None = None
        self._said: dict[str, str] = {}
        self._trouble = ""
        self._grew = 0.0
        self.last: tuple[Diagnosis, str] | None = None
        self.ended = False

    def drawing(self) -> AbstractContextManager[Any]:
        """A live display on a terminal, nothing elsewhere."""
        if not self._console.is_terminal:
            return nullcontext()
        from rich.live import Live

        return Live(console=self._console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def update(self, live: Any, now: float) -> None:
        """Look again if there is something new, print what is new, and draw."""
        # report.json first: what it completes was written before it
        complete = (self._path / "report.json").is_file()
        stamp = _stamp(self._path)
        if stamp != self._stamp or complete:
            self._again(now)
            self._stamp = stamp
        if live is not None and self.last is not None:
            from dpdrun.report.live_diagnosis import live_view

            live.update(live_view(*self.last, now - self._grew), refresh=True)
        self.ended = complete or (self.last is not None and _at_its_end(self.last[0]))

    def _again(self, now: float) -> None:
        try:
            self.last = self._look()
        except DpdrunError as error:
            if self.last is None and not _may_come(self._path, error):
                raise
            self._tell_trouble(str(error))
            return
        self._grew, self._trouble = now, ""
        self._tell(*self.last)

    def _tell(self, this: Diagnosis, title: str) -> None:
        """Lines for what has changed since the last look."""
        from dpdrun.report.diagnosis import verdict_line
        from dpdrun.report.live_diagnosis import event_line, gone_line

        if not self._said and not self._console.is_terminal:
            self._line(verdict_line(this, title))
        found = {finding.code: finding for finding in this.findings}
        for code, finding in found.items():
            if self._said.get(code) != finding.severity:
                self._line(event_line(finding, this))
        for code in self._said:
            if code != "" and code not in found:
                self._line(gone_line(code, this))
        self._said = {"": "", **{code: finding.severity for code, finding in found.items()}}

    def _tell_trouble(self, message: str) -> None:
        """Once per kind of trouble: a file that is being rewritten, a log that is still empty."""
        if message != self._trouble:
            from rich.text import Text

            self._trouble = message
            self._line(Text(f"waiting: {message}", "dim"))

    def _line(self, text: object) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _files(path: Path) -> Iterator[Path]:
    """What is being written: of a run folder its metrics, of any other the log."""
    if not path.is_dir():
        yield path
    elif (path / "plan.json").is_file():
        yield path / "metrics.jsonl"
    else:
        from dpdrun.diagnosis.logs.formats import find_log

        try:
            found = find_log(path)
        except DpdrunError:
            return
        yield from (sorted(found.iterdir()) if found.is_dir() else [found])


def _stamp(path: Path) -> Stamp:
    """Changes when the log grows."""
    found: Sequence[Path] = [file for file in _files(path) if file.is_file()]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in found)


def _may_come(path: Path, error: DpdrunError) -> bool:
    """Whether there is a run that has not logged anything yet."""
    from dpdrun.diagnosis.logs.log import NothingLoggedError

    waiting = (path / "plan.json").is_file() and not (path / "metrics.jsonl").is_file()
    return waiting or isinstance(error, NothingLoggedError)


def _at_its_end(this: Diagnosis) -> bool:
    """Whether a log has reached its planned last step; a run folder says so with report.json."""
    return this.log is not None and this.facts.progress == 1.0
