"""Layouts that several reports on the terminal share."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

LINE_EVERY_S = 1.0  # at most
ACTIVITY_HZ = 4  # redrawing takes time from the work


def facts_grid(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Return names and what is said about each; a str is shown literally."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for name, text in rows:
        grid.add_row(name, Text(text) if isinstance(text, str) else text)
    return grid


def numbers_table(*titles: str, left: int = 1, gap: int = 2) -> Table:
    """Return an empty table without lines: `left` columns of names, the others numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim")
    lines = max(title.count("\n") for title in titles)
    for index, title in enumerate(titles):
        head = Text("\n" * (lines - title.count("\n")) + title)  # at the bottom, next to its numbers
        table.add_column(head, justify="left" if index < left else "right", no_wrap=True)
    return table


@dataclass(frozen=True)
class NumberTables:
    """A table of numbers; where it is too wide, as several below each other, each with the columns of names.

    Attributes:
        titles: of the columns.
        rows: cells, and the style of each row.
        left, gap: as of `numbers_table`.
    """

    titles: Sequence[str]
    rows: Sequence[tuple[Sequence[str | Text], str]]
    left: int = 1
    gap: int = 2

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Yield as few tables as fit."""
        start, last = self.left, len(self.titles)
        while start < last:
            fitting = (end for end in range(last, start, -1) if self._width(console, start, end) <= options.max_width)
            end = next(fitting, start + 1)
            yield from ([Text("")] if start > self.left else [])
            yield self._table(start, end)
            start = end

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Return the width of one number, and of the complete table."""
        widest = self._width(console, self.left, len(self.titles))
        return Measurement(min(self._width(console, self.left, self.left + 1), widest), widest).clamp(
            max_width=options.max_width
        )

    def _width(self, console: Console, start: int, end: int) -> int:
        free = console.options.update(width=1000)
        return (
            Measurement.get(console, free, self._table(start, end)).maximum + self.gap
        )  # rich cuts one that just fits

    def _table(self, start: int, end: int) -> Table:
        shown = [*range(self.left), *range(start, end)]
        table = numbers_table(*(self.titles[index] for index in shown), left=self.left, gap=self.gap)
        for cells, style in self.rows:
            table.add_row(*(cells[index] for index in shown), style=style)
        return table


def framed(title: str, content: RenderableType, width: int | None = None) -> Panel:
    """Return a panel as wide as its content, or `width`."""
    head = Text(title, "bold")
    return Panel(content, title=head, title_align="left", border_style="blue", width=width, expand=width is not None)


@contextmanager
def activity(console: Console, label: str, *, lines: bool = False) -> Iterator[Callable[[str], None]]:
    """Show what is being done, and for how long, from the first name of it on; on a terminal.

    Elsewhere nothing, or with `lines` a line for each, `LINE_EVERY_S` apart.
    """
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn(label), TimeElapsedColumn(), TextColumn("{task.description}"))
    progress = Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal, refresh_per_second=4
    )
    task = progress.add_task("", total=None)

    printed = -math.inf

    def doing(what: str) -> None:
        nonlocal printed
        if not console.is_terminal:
            if lines and time.monotonic() - printed >= LINE_EVERY_S:
                printed = time.monotonic()
                console.print(f"{label}: {what}", markup=False, highlight=False, soft_wrap=True)
            return
        progress.start()
        progress.update(task, description=what, refresh=True)

    try:
        yield doing
    finally:
        if console.is_terminal:  # elsewhere rich 13 ends with an empty line
            progress.stop()


@contextmanager
def progress_bar(console: Console, label: str = "probe") -> Iterator[Callable[[float, str], None]]:
    """Show progress while the block runs: a bar on a terminal, nothing elsewhere."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(label), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    if not console.is_terminal:
        yield lambda _share, _doing: None
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=1.0)
        yield lambda share, doing: progress.update(task, completed=share, description=doing)
