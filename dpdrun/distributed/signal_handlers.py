"""Signal handlers that are installed for a block and restored after it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handling(ours: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Install signal handlers for a block and restore the previous ones after it.

    A signal that is ignored, as under nohup, stays ignored; a handler that is not Python's stays installed.
    Outside the main thread, where Python allows no handlers, nothing changes.
    """
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
