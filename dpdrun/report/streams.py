"""stdout and stderr that may be closed, full or gone: training continues, any other command ends with one message.

What cannot be written is decided here alone, below every buffer: neither rich nor Python's exit meets the error.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from dpdrun.report.glyphs import make_output_safe
from dpdrun.run.folder import RunFolder

NAMES = {1: "standard output", 2: "standard error"}
MOST_KEPT = 1 << 20  # bytes
PATIENCE_S = 5.0  # for a non-blocking stream to take more
WIDEST = 1000  # columns; a wider table only takes memory
SIZES = ("COLUMNS", "LINES", "TERMINAL_WIDTH")


class SteadyFile(io.FileIO):
    """The raw file of stdout or stderr. Its first error is raised, later output dropped; with `keeper`, none is raised.

    Attributes:
        failure: why writing failed.
        keeper: takes what cannot be written while training continues.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self.failure: OSError | None = None
        self.keeper: Keeper | None = None

    def write(self, data: Any) -> int:
        """Write bytes, or drop them as the class says."""
        if self.failure is None or (self.keeper is not None and self.failure.errno == errno.ENOSPC):  # has room again?
            try:
                return self._write(data)
            except OSError as error:
                first, self.failure = self.failure is None, error
                error.filename = NAMES.get(self.fileno(), "output")
                if self.keeper is None:
                    raise
                if first:
                    self.keeper.failed(self)
        if self.keeper is not None:
            self.keeper.keep(self, bytes(data))
        return len(data)

    def _write(self, data: Any) -> int:
        for _ in range(2):
            if (count := super().write(data)) is not None:
                return count
            select.select([], [self.fileno()], [], PATIENCE_S)  # non-blocking, as a shared terminal may be
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


class Keeper:
    """Keeps what could not be printed in the run folder: messages, and the lines of a log, but no live view.

    Args:
        folder: of the run; it may be made later.
    """

    def __init__(self, folder: Path) -> None:
        self._run, self._pending, self._count = RunFolder(folder), bytearray(), 0
        self._lock = threading.Lock()  # a live view writes from a thread of its own

    def failed(self, file: SteadyFile) -> None:
        """Note why a stream failed, on stderr too where that is another one."""
        assert file.failure is not None
        name = NAMES.get(file.fileno(), "output")
        what = "output pipe closed" if file.failure.errno == errno.EPIPE else f"{name}: {file.failure.strerror}"
        text = f"{what}; training continues in {self._run.path}\n"
        self._add(text.encode(errors="replace"))
        if file.fileno() != 2:
            with suppress(OSError):  # not sys.stderr: a live view leads it into the stream that has just failed
                os.write(2, text.encode(errors="replace"))

    def keep(self, file: SteadyFile, data: bytes) -> None:
        """Keep output, unless it is that of a terminal, which is drawn again and again."""
        if file.fileno() == 2 or b"\x1b" not in data:
            self._add(data)

    def _add(self, data: bytes) -> None:
        with self._lock:
            self._pending += data[: max(0, MOST_KEPT - self._count)]
            self._count += len(data)
            if self._pending and self._run.plan.is_file():  # else the folder would be refused as not empty
                with suppress(OSError), self._run.output.open("ab") as kept:
                    kept.write(self._pending)
                    self._pending.clear()

    def flush(self) -> None:
        """Write what was kept before there was a run folder."""
        self._add(b"")


def open_streams() -> None:
    """Make stdout and stderr steady, and able to write any text; those that are closed discard what they get."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number, else a file would get it
    sys.stdout = _steady(sys.stdout, 1)
    sys.stderr = _steady(sys.stderr, 2)
    make_output_safe()
    for name in SIZES:
        value = os.environ.get(name)
        if value is not None and not (value.isdecimal() and 0 < int(value[:9]) <= WIDEST and len(value) < 9):
            os.environ.pop(name)
            if value.isdecimal() and int(value[:9]):
                os.environ[name] = str(WIDEST)


def _steady(stream: Any, number: int) -> Any:
    """Return a stream like this one over a `SteadyFile`; one that is replaced, as in tests, is returned as it is."""
    if stream is not None:
        try:
            if stream.fileno() != number:
                return stream
            stream.flush()
        except (OSError, ValueError, AttributeError):
            return stream
    raw = SteadyFile(number)
    unbuffered = bool(getattr(stream, "write_through", False))  # python -u
    return io.TextIOWrapper(
        raw if unbuffered else io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors=getattr(stream, "errors", None),
        line_buffering=number == 2 or bool(getattr(stream, "line_buffering", False)),
        write_through=unbuffered,
    )


def _files() -> list[SteadyFile]:
    buffers = [getattr(stream, "buffer", None) for stream in (sys.stdout, sys.stderr)]
    raws = [getattr(buffer, "raw", buffer) for buffer in buffers]
    return [raw for raw in raws if isinstance(raw, SteadyFile)]


def outlive_output(folder: Path) -> None:
    """Let a training in `folder` outlive its output: what cannot be printed is kept there, in output.log."""
    keeper = Keeper(folder)
    for file in _files():
        file.keeper = keeper


def flush_streams() -> OSError | None:
    """Flush stdout and stderr at the end of the command; return why stdout cannot be written, where that matters."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    for file in _files():
        if file.keeper is not None:
            file.keeper.flush()
    return next((file.failure for file in _files() if file.fileno() == 1 and file.keeper is None), None)
