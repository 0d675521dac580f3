"""Heartbeats of the workers of a sweep: a file for each, locked while it lives and touched while it works.

On one host the lock shows at once that a worker has ended, for whatever reason. Between hosts locks are not reliable,
so there the age of the file decides, measured by the clock of the file server: relative to a file that was just
touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dpdrun.distributed.launcher import whole_of
from dpdrun.run.files import unwritable

OWNER_VARIABLE = "DPDRUN_SWEEP_OWNER"  # process that has started this worker, which ends with it
BEAT_S = 5.0
LOST_AFTER_S = 40.0  # without a heartbeat: a trial is released within a minute, including the time to notice


class Presence:
    """The files of the workers in a folder.

    Args:
        folder: for them; made where it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Show this process as alive while the block runs, and end it when the process that started it has ended.

        Raises:
            UnwritableError: the folder cannot be written.
            RunError: OWNER_VARIABLE holds no process.
        """
        path, stop = self._path(self.name), threading.Event()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = path.open("w", encoding="utf-8")
            handle.write(json.dumps({"host": socket.gethostname(), "pid": os.getpid()}) + "\n")
            handle.flush()
        except OSError as error:
            raise unwritable(path, error) from error
        owner = whole_of(OWNER_VARIABLE, 0)  # may have ended while this process started

        def beat() -> None:
            while not stop.wait(BEAT_S):
                with suppress(OSError):
                    os.utime(path)
                if owner and os.name == "posix" and os.getppid() != owner:
                    os.kill(os.getpid(), signal.SIGTERM)

        with handle:
            _lock(handle.fileno())
            thread = threading.Thread(target=beat, daemon=True)
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()
                path.unlink(missing_ok=True)

    def is_lost(self, name: str) -> bool:
        """Return whether a worker was killed, or has had no heartbeat for `LOST_AFTER_S`."""
        if name == self.name:
            return False
        path = self._path(name)
        try:
            host = json.loads(path.read_text(encoding="utf-8"))["host"]
            with path.open("r+") as handle:
                if host == socket.gethostname():
                    return _is_free(handle.fileno())
            return self._now() - path.stat().st_mtime > LOST_AFTER_S
        except FileNotFoundError:  # it has ended regularly
            return True
        except (OSError, ValueError, KeyError, TypeError):  # being written: a moment later there is a host
            return self._now() - path.stat().st_mtime > LOST_AFTER_S

    def forget(self, name: str) -> None:
        """Remove the file of a lost worker."""
        self._path(name).unlink(missing_ok=True)

    def others(self) -> list[str]:
        """Return the workers that have a file, alive or lost."""
        return sorted(path.stem for path in self._folder.glob("*.json") if path.stem != self.name)

    def _now(self) -> float:
        """Return the time of the file server [s since 1970]."""
        probe = self._folder / f".{self.name}.now"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError as error:
            raise unwritable(probe, error) from error
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)


def _lock(number: int) -> None:
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX)


def _is_free(number: int) -> bool:
    """Return whether no process holds the lock on a file; False where there are no such locks."""
    try:
        import fcntl

        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
