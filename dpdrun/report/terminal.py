"""The one console that prints: no control character of a name or a value of somebody else reaches the terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console
from rich.segment import Segment

from dpdrun.errors import printable


class Terminal(Console):
    """A console that shows control characters, escape sequences and bidirectional overrides instead of sending them.

    Its own colours and cursor movements are sent: rich keeps them apart from the text up to here.
    """

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        return super()._render_buffer(
            segment if segment.control else Segment(printable(segment.text), segment.style) for segment in buffer
        )
