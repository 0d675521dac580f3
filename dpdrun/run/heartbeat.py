"""Is a run alive? The first process of a run leaves a sign of life in its folder, and whoever watches it looks there.

The sign is given by the work itself (a step, a scoring, an iteration of the refinement) and never by a thread beside
it: a run that hangs falls silent.
"""

from __future__ import annotations

import json
import math
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dpdrun.run.files import PARTIAL
from dpdrun.run.folder import RunFolder

EVERY_S = 5.0  # at most so often: an orchestrator asks every half minute or more seldom
MAX_AGE_S = 300.0  # longer than a compilation, a scoring or a wait for other processes takes

Phase = Literal["preparation", "training", "validation", "finish", "evaluation"]


@dataclass(frozen=True)
class Sign:
    """A sign of life, as heartbeat.json holds it.

    Attributes:
        step: the last one done; of the refinement, counted on from the last optimizer step.
        total_steps: of the plan; 0 for a least-squares fit.
        phase: what the run was at.
        time: when it was given [s since 1970, the clock of its machine].
    """

    step: int
    total_steps: int
    phase: Phase
    time: float


class Heartbeat:
    """Gives the signs of one run. It never fails: a run that cannot write this file is no worse for it.

    Args:
        run: its folder, which is there.
        total_steps: of its plan.
    """

    def __init__(self, run: RunFolder, total_steps: int) -> None:
        self._path, self._total_steps = run.heartbeat, total_steps
        self._last = -math.inf

    def beat(self, phase: Phase, step: int) -> None:
        """Give a sign, unless the last one is younger than `EVERY_S`; arguments as of `Sign`."""
        now = time.monotonic()
        if now - self._last < EVERY_S:
            return
        self._last = now
        text = json.dumps(asdict(Sign(step, self._total_steps, phase, round(time.time(), 3))))
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}{PARTIAL}")
        try:
            temporary.unlink(missing_ok=True)  # of a killed process with this number, as each is 1 in a container
            with temporary.open("x", encoding="utf-8") as handle:  # never through a link that somebody put there
                handle.write(text + "\n")  # not flushed to disk: after a crash nobody needs it
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class Health:
    """Whether a run is well, and the line that says so."""

    is_well: bool
    line: str


def health(path: Path, max_age_s: float = MAX_AGE_S) -> Health:
    """Look at a run.

    Args:
        path: a run folder, or a folder of run folders (also of chains), of which the newest counts.
        max_age_s: a run whose last sign is older is not well, unless it is finished [s].
    """
    run = _newest(path)
    if run is None:
        return Health(False, f"no sign of life: there is no run in {path}")
    if run.report.is_file():
        return Health(True, f"{run.path}: finished")
    try:
        sign = Sign(**json.loads(run.heartbeat.read_text(encoding="utf-8")))
        age = max(0.0, time.time() - sign.time)  # a clock that was set back is no reason to end a run
        line = f"{run.path}: {sign.phase}, step {sign.step:,} of {sign.total_steps:,}, {age:,.0f} s ago"
    except (OSError, ValueError, TypeError) as error:
        return Health(False, f"{run.path}: no sign of life: {run.heartbeat.name} cannot be read ({error})")
    if age > max_age_s:
        return Health(False, f"{line}: no sign of life for more than {max_age_s:g} s")
    return Health(True, line)


def _newest(path: Path) -> RunFolder | None:
    """The run itself, or of a folder that of the latest sign; a chain has its runs one folder further down."""
    name = RunFolder(path).heartbeat.name
    found: dict[Path, float] = {}
    for pattern in (name, f"*/{name}", f"*/*/{name}"):
        for file in path.glob(pattern):
            with suppress(OSError):
                found[file.parent] = file.stat().st_mtime
        if pattern == name and found:
            break
    return RunFolder(max(found, key=lambda each: found[each])) if found else None
