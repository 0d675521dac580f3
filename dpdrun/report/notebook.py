"""Reports in notebooks: what the terminal shows, as HTML, and a live view that stays one cell output."""

from __future__ import annotations

import sys
import time
from io import StringIO
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from dpdrun.report.console import TrainingView
from dpdrun.report.findings import finding_line
from dpdrun.rules.engine import Finding

COLUMNS = 100
REDRAW_S = 0.5  # a notebook stores and sends each update
STYLE = "white-space:pre;overflow-x:auto;line-height:1.25;font-family:Menlo,'DejaVu Sans Mono',consolas,monospace"
NOTES = 20  # findings and messages under a live view


def html_of(content: RenderableType, *, columns: int = COLUMNS) -> str:
    """Return what a terminal of so many columns would show, as HTML."""
    console = Console(record=True, file=StringIO(), width=columns, force_jupyter=False, highlight=False)
    console.print(content)
    return console.export_html(inline_styles=True, code_format=f'<pre style="{STYLE}">{{code}}</pre>')


def in_notebook() -> bool:
    """Return whether this program runs in the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookView(TrainingView):
    """Draws a run into one output of a notebook cell, and redraws that output at most twice a second."""

    def __init__(self, *, title: str, total_steps: int, samples_per_step: int, floor_db: float | None) -> None:
        console = Console(file=StringIO(), width=COLUMNS, force_jupyter=False)  # for its width; nothing is shown there
        super().__init__(
            console, title=title, total_steps=total_steps, samples_per_step=samples_per_step, floor_db=floor_db
        )
        self._notes: list[Text] = []
        self._handle: Any = None
        self._drawn = 0.0

    def _start(self) -> None:
        from IPython.display import HTML, display  # only where a notebook has loaded it

        self._handle = display(HTML(self._html()), display_id=True)

    def _stop(self) -> None:
        self._redraw(now=True)

    def step(self, line: dict[str, Any]) -> None:
        """Take one optimizer step."""
        super().step(line)
        self._redraw()

    def evaluation(self, line: dict[str, Any]) -> None:
        """Take one validation."""
        self._take(line)
        self._redraw()

    def refinement(self, line: dict[str, Any], iterations: int) -> None:
        """Take one validation of `optim.refine`."""
        self._take(line)
        self._iterations = iterations
        self._redraw()

    def finding(self, finding: Finding, step: int) -> None:
        """Show a finding under the panel."""
        self.note(finding_line(finding, f"step {step}"))

    def message(self, text: str) -> None:
        """Show a note for the user under the panel."""
        self.note(Text.assemble(("note: ", "yellow"), text))

    def note(self, text: Text) -> None:
        """Show a line under the panel."""
        self._notes = [*self._notes, text][-NOTES:]
        self._redraw()

    def _html(self) -> str:
        return html_of(Group(self.render(), *self._notes))

    def _redraw(self, *, now: bool = False) -> None:
        if self.failed or self._handle is None or not (now or time.monotonic() - self._drawn > REDRAW_S):
            return
        from IPython.display import HTML

        try:
            self._handle.update(HTML(self._html()))
        except Exception as error:  # hours of training are worth more than their view
            self.fail(error)
        self._drawn = time.monotonic()
