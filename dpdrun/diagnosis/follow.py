"""Diagnose a run again and again while it is being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dpdrun.data.checks import special
from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import DpdrunError, RunError
from dpdrun.run.symlinks import is_special

EVERY_S = 2.0
PAUSES = 5.0  # times what a diagnosis took: it may cost the training at most a sixth of a core

Diagnose = Callable[[], tuple[Diagnosis, str]]
Stamp = tuple[tuple[str, int, int], ...]


class FollowObserver(Protocol):
    """Shows a run while it is followed."""

    def changed(self, diagnosis: Diagnosis, title: str) -> None:
        """Take the diagnosis of a log that has grown."""

    def draw(self, diagnosis: Diagnosis, title: str, quiet_s: float) -> None:
        """Redraw; the log last grew `quiet_s` ago [s]."""

    def waiting(self, reason: str) -> None:
        """Take the reason why there is no new diagnosis: nothing is logged yet, or the log is being rewritten."""


@dataclass(frozen=True)
class Followed:
    """The result of following a run.

    Attributes:
        last: the last diagnosis and its title, None where nothing was logged.
        interrupted: whether Ctrl-C ended it.
    """

    last: tuple[Diagnosis, str] | None
    interrupted: bool


def follow(
    path: Path,
    diagnose: Diagnose,
    view: FollowObserver,
    *,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Followed:
    """Diagnose until the run ends: report.json of a run folder, or the planned last step of a log; or until Ctrl-C.

    Args:
        path: run folder or log.
        diagnose: returns its diagnosis and its title.
        view: shows what happens.
        sleep, clock: in seconds; replaced in tests.

    Raises:
        RunError, DataError: it cannot be read from the start on.
    """
    follower = _Follower(path, diagnose, view)
    try:
        while not follower.ended:
            began = clock()
            follower.update(began)
            if not follower.ended:
                sleep(max(EVERY_S, PAUSES * (clock() - began)))
    except KeyboardInterrupt:
        return Followed(follower.last, interrupted=True)
    if follower.last is None:
        raise RunError(f"{path}: nothing was logged")
    return Followed(follower.last, interrupted=False)


class _Follower:
    """A run, and its diagnosis so far."""

    def __init__(self, path: Path, diagnose: Diagnose, view: FollowObserver) -> None:
        self._path, self._diagnose, self._view = path, diagnose, view
        self._stamp: Stamp | None = None
        self._trouble = ""
        self._grew = 0.0
        self.last: tuple[Diagnosis, str] | None = None
        self.ended = False

    def update(self, now: float) -> None:
        """Diagnose if the log has grown, and show it."""
        # report.json first: what it completes was written before it
        complete = (self._path / "report.json").is_file()
        stamp = _stamp(self._path)
        if stamp != self._stamp or complete:
            self._diagnose_again(now)
            self._stamp = stamp
        if self.last is not None:
            self._view.draw(*self.last, now - self._grew)
        self.ended = complete or (self.last is not None and _at_its_end(self.last[0]))

    def _diagnose_again(self, now: float) -> None:
        try:
            if is_special(self._path):  # it has replaced the log: reading it may never return
                raise special(self._path)
            self.last = self._diagnose()
        except DpdrunError as error:
            if self.last is None and not _may_come(self._path, error):
                raise
            if str(error) != self._trouble:  # once: a file that is being rewritten, a log that is still empty
                self._trouble = str(error)
                self._view.waiting(self._trouble)
            return
        self._grew, self._trouble = now, ""
        self._view.changed(*self.last)


def _files(path: Path) -> Iterator[Path]:
    """Yield what is being written: the metrics of a run folder, or the log."""
    if not path.is_dir():
        yield path
    elif (path / "plan.json").is_file():
        yield path / "metrics.jsonl"
    else:
        from dpdrun.diagnosis.logs.formats import find_log

        try:
            log = find_log(path)
        except DpdrunError:
            return
        yield from (sorted(log.iterdir()) if log.is_dir() else [log])


def _stamp(path: Path) -> Stamp:
    """Return what changes when the log grows."""
    stats = [(file, file.stat()) for file in _files(path) if file.is_file()]
    return tuple((str(file), stat.st_size, stat.st_mtime_ns) for file, stat in stats)


def _may_come(path: Path, error: DpdrunError) -> bool:
    """Return whether there is a run that has not logged anything yet."""
    from dpdrun.diagnosis.logs.log import NothingLoggedError

    waiting = (path / "plan.json").is_file() and not (path / "metrics.jsonl").is_file()
    return waiting or isinstance(error, NothingLoggedError)


def _at_its_end(diagnosis: Diagnosis) -> bool:
    """Return whether a log has reached its planned last step; a run folder ends with its report.json."""
    return diagnosis.log is not None and diagnosis.facts.progress == 1.0
