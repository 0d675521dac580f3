"""Rank 0 of a run writes a heartbeat file; `dpdrun health` reads it.

The work itself writes it (a step, a scoring, an iteration of the solver), never a separate thread: a run that hangs
stops beating.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from dpdrun.errors import RunError, StoppedError, reading
from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder
from dpdrun.run.symlinks import reject_special

EVERY_S = 5.0  # between two beats: orchestrators poll every half minute or less often
MOST_BYTES = 4096  # of a heartbeat; ours have 100
MAX_AGE_S = 300.0  # longer than a compilation, a scoring or a wait for other processes takes

Phase = Literal["preparation", "training", "validation", "finish", "evaluation"]


@dataclass(frozen=True)
class Beat:
    """One heartbeat, as heartbeat.json holds it.

    Attributes:
        step: last completed step; iterations of the solver continue the count of optimizer steps.
        total_steps: of the plan; 0 for a least-squares fit.
        phase: of the run.
        time: when it was written [s since 1970, the clock of its machine].
        ended: why no process trains any more: "interrupted" (Ctrl-C), "stopped" (a signal) or "failed"; else None.
    """

    step: int
    total_steps: int
    phase: Phase
    time: float
    ended: str | None = None

    def age_s(self) -> float:
        """Return how long ago it was written [s]; a clock that was set back must not end a run."""
        return max(0.0, time.time() - self.time)

    def is_recent(self) -> bool:
        """Return whether the process that wrote it may still be training."""
        return self.ended is None and self.age_s() <= MAX_AGE_S


def read_beat(run: RunFolder) -> Beat:
    """Return the last heartbeat of a run. Raises RunError where there is none, or what is there is none."""
    reject_special(run.path)
    with reading(run.heartbeat, "a heartbeat", RunError), run.heartbeat.open("rb") as file:
        beat = Beat(**json.loads(file.read(MOST_BYTES)))
        given = (beat.step, beat.total_steps, beat.time)
        numbers = [each for each in given if isinstance(each, int | float) and abs(each) < 1e15]  # which NaN is not
        texts = (beat.phase, beat.ended or "")
        if not all(isinstance(each, str) for each in texts) or len(numbers) < len(given):
            raise ValueError("step, total_steps, phase and time expected")
        return beat


def last_beat(run: RunFolder) -> Beat | None:
    """Return the last heartbeat of a run; None where there is none, or it cannot be read."""
    with suppress(RunError):
        return read_beat(run)
    return None


class Heartbeat:
    """Writes the heartbeat of one run. It never fails: a run that cannot write this file trains on.

    Args:
        run: its folder, which exists.
        total_steps: of its plan.
    """

    def __init__(self, run: RunFolder, total_steps: int) -> None:
        self._path, self._total_steps = run.heartbeat, total_steps
        self._last = -math.inf

    def beat(self, phase: Phase, step: int) -> None:
        """Write a heartbeat, unless the last one is younger than `EVERY_S`; arguments as of `Beat`."""
        now = time.monotonic()
        if now - self._last < EVERY_S:
            return
        self._last = now
        _write(self._path, Beat(step, self._total_steps, phase, round(time.time(), 3)))


@contextmanager
def end_recorded(run: RunFolder) -> Iterator[None]:
    """Record in the heartbeat that training ended with an exception, so that the run is not taken for alive."""
    try:
        yield
    except BaseException as error:
        if (beat := last_beat(run)) is not None:
            _write(run.heartbeat, replace(beat, ended=_end_of(error)))
        raise


def _end_of(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return "stopped" if isinstance(error, StoppedError) else "failed"


def _write(path: Path, beat: Beat) -> None:
    """Write a heartbeat, if possible."""
    fields = {name: value for name, value in asdict(beat).items() if value is not None}
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        temporary.unlink(missing_ok=True)  # of a killed process with this number, as each is 1 in a container
        with temporary.open("x", encoding="utf-8") as handle:  # never through a symlink placed there
            handle.write(json.dumps(fields) + "\n")  # not synced: after a crash it is of no use
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Health:
    """The state of a run, with a line of text for the user."""

    is_alive: bool
    line: str


def health(path: Path, max_age_s: float = MAX_AGE_S) -> Health:
    """Return whether a run is alive or finished.

    Args:
        path: a run folder, or a folder of run folders (also of pipelines), of which the newest counts.
        max_age_s: a run whose last heartbeat is older is not alive, unless it is finished [s].
    """
    run = _newest(path)
    if run is None:
        return Health(False, f"no run in {path}")
    if run.report.is_file():
        return Health(True, f"{run.path}: finished")
    try:
        beat = read_beat(run)
    except RunError as error:
        return Health(False, str(error))
    if beat.ended and not run.is_locked():  # locked: it is being resumed
        todo = f"; continue with:\n  {run.resume_command}" if run.last.is_file() else ""
        return Health(
            False, f"{run.path}: {beat.ended}; last heartbeat at step {beat.step:,} of {beat.total_steps:,}{todo}"
        )
    age = time.time() - beat.time
    line = f"{run.path}: {beat.phase}, step {beat.step:,} of {beat.total_steps:,}, {beat.age_s():,.0f} s ago"
    if age < -max_age_s:  # a clock that was set back a little must not end a run
        return Health(False, f"{run.path}: its heartbeat is {-age:,.0f} s in the future: two clocks differ")
    if age > max_age_s:
        return Health(False, f"{line}: no heartbeat for more than {max_age_s:g} s")
    return Health(True, line)


def _newest(path: Path) -> RunFolder | None:
    """Return the run at `path`, or the one in it with the latest heartbeat; pipelines nest theirs a level deeper."""
    name = RunFolder(path).heartbeat.name
    found: dict[Path, float] = {}
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for file in path.glob(pattern):
            with suppress(OSError):
                found[file.parent] = file.stat().st_mtime
        if pattern == name and found:
            break
    return RunFolder(max(found, key=lambda each: found[each])) if found else None
