"""Report the stages of an evaluation to a progress display."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_REPORT: ContextVar[Callable[[str], None] | None] = ContextVar("report", default=None)


@contextmanager
def progress_to(report: Callable[[str], None]) -> Iterator[None]:
    """Send the names of what is done during a block to `report`; an exception in it is the caller's."""
    token = _REPORT.set(report)
    try:
        yield
    finally:
        _REPORT.reset(token)


def doing(what: str) -> None:
    """Name what is done from here on."""
    if (report := _REPORT.get()) is not None:
        report(what)
