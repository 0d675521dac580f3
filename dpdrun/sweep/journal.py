"""The journal of a sweep: the events of its workers, one JSON object per line, appended under a lock.

Every process reads it from its own last position, so a transaction only costs as much as the new lines. The lock is a
POSIX record lock, which NFS shares between hosts; it is released when its process ends. A line that a killed
process left incomplete is cut off by the next one that writes. Results are not in it: those are in the run folders.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dpdrun.errors import RunError
from dpdrun.run.files import Json, decode_numbers, encode_numbers, unwritable
from dpdrun.sweep.points import LeftOut, Point, Trial
from dpdrun.sweep.space import overrides_of

# pending: waits for a worker. running: claimed. finished, failed, pruned: decided.
Status = Literal["pending", "running", "finished", "failed", "pruned"]
DECIDED = ("finished", "failed", "pruned")
# Workers that a trial may lose at the same step before it is considered the cause: one that needs more memory than
# there is ends all of them there. Fewer would give up trials on hosts that are taken away every few minutes.
MOST_LOSSES = 20
TYPES: dict[str, Any] = {  # of what an event holds
    "id": str, "worker": str, "reason": str, "time": int | float, "core_seconds": int | float, "step": int,
    "db": int | float, "config": dict, "report": dict | None, "values": dict, "data": list,
}  # fmt: skip


@dataclass
class TrialState:
    """What the journal says about a trial.

    Attributes:
        trial: its recipe and folder.
        status: of the trial.
        worker: that has claimed it last.
        since: when it was claimed [s since 1970].
        reason: why it failed or was pruned.
        core_seconds: of all its claims [s].
        report: its scores as in report.json, for hosts that do not have its folder.
        step: last known step of a lost claim; `losses` counts the claims that were lost there.
    """

    trial: Trial
    status: Status = "pending"
    worker: str = ""
    since: float = 0.0
    reason: str = ""
    core_seconds: float = 0.0
    report: Json | None = None
    step: int = 0
    losses: int = 0


@dataclass
class SweepState:
    """The state that all lines of a journal add up to.

    Attributes:
        header: of the sweep: what its folder is bound to.
        points: in their order; several may share a trial. One with more seeds takes the place of the one before.
        trials: by id, in the order to run them.
        left_out: configurations that cannot work.
        keys: of the points.
        rungs: best validation scores [dB] by optimizer step and trial, for pruning.
    """

    header: Json = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    trials: dict[str, TrialState] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    keys: set[tuple[tuple[str, ...], ...]] = field(default_factory=set)
    rungs: dict[int, dict[str, float]] = field(default_factory=dict)
    _places: dict[tuple[object, ...], list[int]] = field(default_factory=dict)  # of points, by configuration

    @property
    def core_seconds(self) -> float:
        """Time that workers have spent on trials [s]."""
        return sum(each.core_seconds for each in self.trials.values())

    def count(self, *statuses: Status) -> int:
        """Return the number of trials in these states."""
        return sum(each.status in statuses for each in self.trials.values())

    def add(self, event: Mapping[str, Any]) -> None:
        """Apply one line; kinds of a later version are ignored.

        Raises:
            ValueError, KeyError, TypeError: the line is damaged.
        """
        _require_types(event)
        match event.get("event"):
            case "sweep":
                self.header = dict(event)
            case "point":
                self._add_point(Point.from_json(event["point"]))
            case "left_out":
                self.left_out.append(LeftOut(event["config"], event["reason"]))
            case "rung":
                self.rungs.setdefault(event["step"], {})[event["id"]] = event["db"]
            case "retry":
                state = self.trials[event["id"]]
                if state.status in ("failed", "pruned"):
                    state.status, state.reason, state.losses = "pending", "", 0
            case "tested":
                self.trials[event["id"]].report = event["report"]
            case "claim":
                state = self.trials[event["id"]]
                state.status, state.worker, state.since = "running", event["worker"], event["time"]
            case "given back" | "lost" as kind:
                self._end(event, "pending")
                state = self.trials[event["id"]]
                if kind == "lost":
                    state.losses = state.losses + 1 if event["step"] == state.step else 1
                    state.step = event["step"]
            case "finished" | "failed" | "pruned" as status:
                self._end(event, status)

    def _add_point(self, point: Point) -> None:
        if point.key in self.keys:
            return
        self.keys.add(point.key)
        config = (*overrides_of(point.config), point.is_rules)
        now = {each.id for each in point.trials}
        for place in self._places.setdefault(config, []):
            before = self.points[place]
            ids = {each.id for each in before.trials}
            if now <= ids:  # a sweep with fewer seeds than it had before
                return
            if ids < now:
                self.points[place] = replace(point, search=point.search or before.search)
                break
        else:
            self._places[config].append(len(self.points))
            self.points.append(point)
        for trial in point.trials:
            known = self.trials.setdefault(trial.id, TrialState(trial))
            if known.status not in ("running", "finished"):  # as the sweep now runs it
                known.trial = trial

    def _end(self, event: Mapping[str, Any], status: Status) -> None:
        state = self.trials[event["id"]]
        if state.status not in DECIDED:
            state.core_seconds += event.get("core_seconds", 0.0)
            state.status, state.reason = status, event.get("reason", "")
            state.report = event.get("report", state.report)


def _require_types(event: Mapping[str, Any]) -> None:
    """Refuse a value of a type that would fail later, where a sweep is shown. Raises TypeError."""
    for name in TYPES.keys() & event.keys():
        value = event[name]
        is_time = name in ("time", "core_seconds")  # a score may be infinite
        if not isinstance(value, TYPES[name]) or (is_time and not math.isfinite(value)):
            raise TypeError(f"{name} is {value!r:.80}")


class Transaction:
    """The state of a sweep while no other process can change it; events are written when the block ends."""

    def __init__(self, state: SweepState) -> None:
        self.state = state
        self.events: list[Json] = []

    def add(self, event: str, **content: Any) -> None:
        """Add an event, and apply it."""
        line = {"event": event, "time": round(time.time(), 3), **content}
        self.state.add(line)
        self.events.append(line)


class Journal:
    """The journal in a folder, as one process sees it. Threads of the process may share it.

    Args:
        path: of the file; created with the first event.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock_path = path.with_suffix(".lock")
        self._state, self._read_to = SweepState(), 0
        self._own = threading.Lock()  # a POSIX lock does not keep threads of one process apart

    def read(self) -> SweepState:
        """Return the state as it is now, without a lock: complete lines never change."""
        with self._own:
            self._catch_up()
            return self._state

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Lock the journal, and write what the block adds, all of it or nothing.

        Raises:
            UnwritableError: a full disk, a folder without permission; the journal is as it was.
        """
        with self._own:
            try:
                with self._held():
                    self._catch_up()
                    now = Transaction(self._state)
                    yield now
                    if now.events:
                        self._append(now.events)
            except BaseException:  # what was applied may not have been written: read it all again
                self._state, self._read_to = SweepState(), 0
                raise

    @property
    def exists(self) -> bool:
        """Whether the sweep was begun."""
        return self.path.is_file()

    def _held(self) -> AbstractContextManager[None]:
        """Keep other processes from writing."""
        return locked(self._lock_path)

    def _catch_up(self) -> None:
        """Apply the complete lines after the last position."""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self._read_to)
            for raw in file:
                if not raw.endswith(b"\n"):
                    break
                self._read_to += len(raw)
                try:
                    self._state.add(decode_numbers(json.loads(raw)))
                except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
                    raise RunError(f"{self.path}: damaged before byte {self._read_to} ({error!r})") from error

    def _append(self, events: list[Json]) -> None:
        lines = "".join(json.dumps(encode_numbers(each), allow_nan=False) + "\n" for each in events).encode()
        try:
            with self.path.open("ab") as file:
                file.truncate(self._read_to)  # what a killed process left of a line
                try:
                    file.write(lines)
                    file.flush()
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(self._read_to)
                    raise
        except OSError as error:
            raise unwritable(self.path, error) from error
        self._read_to += len(lines)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock on a file, created if missing. No effect without lock support (Windows, some network file systems).

    Raises:
        UnwritableError: the file cannot be created.
    """
    try:
        handle = path.open("a")
    except OSError as error:
        raise unwritable(path, error) from error
    with handle:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.lockf(handle, fcntl.LOCK_EX)
        yield  # closing the file ends the lock
