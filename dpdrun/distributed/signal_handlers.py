"""Signals, from the first instruction of the command to its last: SIGTERM, SIGHUP and Ctrl-C.

Three kinds of handler follow each other. `leave` ends the process at once, before anything was written and after
everything was: no exception that an import or a callback could swallow. `training.guard.stopping` raises while a run is
prepared and scored, and `training.guard.StopSignal` sets a flag between the steps. After the first signal later ones
are ignored, so that they do not end what cleans up and says how to continue; Ctrl-C again is the exception.

Imported before everything else: it imports nothing that takes time.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType
    from typing import Any

    Handler = Callable[[int, FrameType | None], None]

# They stop a run, which can be continued; Windows has no SIGHUP.
STOPS = tuple(signal.Signals[name] for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
EXIT_CODES = {signal.SIGINT: 130, **dict.fromkeys(STOPS, 75)}  # see dpdrun.errors
RANK_VARIABLE = "RANK"  # in the environment of every process that a launcher started
BEFORE_ANYTHING = "nothing was written; give the same command again"
IN_BETWEEN = "some files were written, each of them complete; give the same command again"


class _State:
    """What this process knows of signals.

    Attributes:
        answered: the signal that a message for the user has been raised for, or 0; later ones are ignored.
        depth: of nested `answering` blocks.
        is_command: whether the process is the command itself, and may be ended by `leave`.
    """

    answered = 0
    depth = 0
    is_command = False


state = _State()


def name_of(number: int) -> str:
    """Return the name of a signal, as SIGTERM."""
    return signal.Signals(number).name


@contextmanager
def handling(ours: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Install signal handlers for a block and restore the previous ones after it.

    A signal that is ignored, as under nohup, stays ignored; a handler that is not Python's stays installed.
    Outside the main thread, where Python allows no handlers, nothing changes.
    """
    import threading

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number, handler in ours.items():
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        while before:
            signal.signal(*before.popitem())


@contextmanager
def answering() -> Iterator[None]:
    """Forget an earlier signal, at the beginning of the outermost such block."""
    if not state.depth:
        state.answered = 0
    state.depth += 1
    try:
        yield
    finally:
        state.depth -= 1


def leave(note: Callable[[], str]) -> Handler:
    """Return a handler that ends the process at once with the exit code of the signal, and prints the note.

    In a program that uses dpdrun as a library it raises SystemExit instead.
    """

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature is fixed
        if state.answered:
            return
        state.answered = number
        if os.environ.get(RANK_VARIABLE, "0") == "0":
            text = "interrupted" if number == signal.SIGINT else f"stopped by {name_of(number)}"
            _say(f"{text}; {note()}\n")
        code = EXIT_CODES[signal.Signals(number)]
        if not state.is_command:
            raise SystemExit(code)  # not an Exception: an import would take it for its own failure
        with suppress(Exception):  # the signal may have come while this very buffer was written
            sys.stdout.flush()
        if files := _files():
            files.remove_unfinished()
        os._exit(code)

    _leaving.add(handler)
    return handler


_leaving: set[Handler] = set()  # that may be called from any thread


@contextmanager
def heard_in_extensions() -> Iterator[None]:
    """Answer signals also inside of a call that Python cannot interrupt, such as a rendezvous of torch.

    Python runs handlers when such a call returns. The signal is written into a pipe at once, which a thread reads.
    """
    import threading

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def listen_to_pipe() -> None:
        while number := os.read(reader, 1):
            handler = signal.getsignal(number[0])
            if handler in _leaving:
                handler(number[0], None)

    thread = threading.Thread(target=listen_to_pipe, daemon=True)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)
        thread.join()
        os.close(reader)


def _files() -> Any:
    """Return the module that writes files; None where nothing has imported it."""
    return sys.modules.get("dpdrun.run.files")


def _what_was_written() -> str:
    files = _files()
    return IN_BETWEEN if files and files.has_written() else BEFORE_ANYTHING


def _say(text: str) -> None:
    """Write to stderr without its buffer, which the code that the signal interrupts may be using."""
    with suppress(OSError):
        os.write(
            2, (("\x1b[?25h" if os.isatty(2) else "") + text).encode(errors="replace")
        )  # a live view hides the cursor


def listen() -> None:
    """Answer signals from here on, as the first instruction of the command; also as process 1 of a container.

    The kernel drops a signal for process 1 that has no handler there (pid_namespaces(7)).
    """
    state.is_command = True
    for number in EXIT_CODES:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, leave(_what_was_written))


def raise_interrupts() -> None:
    """Let Ctrl-C raise KeyboardInterrupt, as Python does, once the commands are imported."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def deafen() -> None:
    """Ignore signals, as the last instruction of the command: its exit code is decided.

    Python restores the default action of a signal with a handler, but not of one that is ignored, before it has taken
    itself down, which takes torch some 0.2 s.
    """
    for number in EXIT_CODES:
        signal.signal(number, signal.SIG_IGN)
