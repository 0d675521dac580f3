"""A training run on the terminal: a live panel, or plain lines outside of a terminal."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from itertools import accumulate
from typing import Any, Concatenate, ParamSpec

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dpdrun.dpd.objective import POWER_GATE_PENALTY_DB
from dpdrun.errors import DpdrunError
from dpdrun.report import predistorter
from dpdrun.report.chart import sparkline
from dpdrun.report.findings import finding_line
from dpdrun.report.numbers import decibels, duration
from dpdrun.rules.engine import Finding
from dpdrun.run.scores import validation_db

NOT_YET = "none yet"  # no checkpoint of a predistorter keeps the output power
REFRESH_PER_SECOND = 2  # redrawing costs CPU that training on two cores needs
MAX_WIDTH = 100  # columns; a wider panel is harder to read, not easier
WIDE = 72  # columns from which three numbers stand on a line, else two
SPARE = 2  # columns at the right: room for the ^C that a terminal echoes, which must not wrap while Live redraws
FRAME = 4  # columns of a panel's border and padding
TREND_STEPS = 2000  # whose gradient norms are drawn
RATE_STEPS = 50  # throughput is the mean over this many steps

Arguments = ParamSpec("Arguments")


def _harmless(
    method: Callable[Concatenate[TrainingView, Arguments], None],
) -> Callable[Concatenate[TrainingView, Arguments], None]:
    """Let an error of the view end the view, not the training that calls it."""

    @wraps(method)
    def guarded(self: TrainingView, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if self.failed:
            return
        try:
            method(self, *args, **kwargs)
        except DpdrunError:  # a signal, which comes wherever the program is
            raise
        except Exception as error:  # whatever it is: hours of training are worth more than their view
            self.fail(error)

    return guarded


class TrainingView:
    """Draws a run while it trains. A context manager; one object is one run.

    Outside of a terminal (a file, a batch job), each validation prints a line instead. An error in drawing is printed
    once, and the training continues without a view.

    Args:
        console: where to draw.
        title: name of the run.
        total_steps: optimizer steps of the whole run.
        samples_per_step: frames x frame length, for the throughput [samples].
        floor_db: estimated noise floor as an NMSE [dB], or None where it is unknown.
    """

    def __init__(
        self, console: Console, *, title: str, total_steps: int, samples_per_step: int, floor_db: float | None
    ) -> None:
        self._console = console
        self._title = title
        self._total = total_steps
        self._samples_per_step = samples_per_step
        self._floor = floor_db
        self._norms: deque[float] = deque(maxlen=TREND_STEPS)
        self._steps = 0
        self._clipped = 0
        self._times: deque[float] = deque(maxlen=RATE_STEPS)
        self._last: dict[str, Any] = {}
        self._eval: dict[str, Any] = {}
        self._best_step = 0
        self._iterations = 0  # of `optim.refine`; 0 before it starts
        self._live: Live | None = None
        self.failed = False

    def __enter__(self) -> TrainingView:
        self._start()
        return self

    @_harmless
    def _start(self) -> None:
        if self._console.is_interactive:
            self._live = Live(console=self._console, get_renderable=self._draw, refresh_per_second=REFRESH_PER_SECOND)
            self._live.start()

    def __exit__(self, *exc: object) -> None:
        self._stop()

    @_harmless
    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()

    def fail(self, error: Exception) -> None:
        """Switch the view off, and print why to stderr."""
        self.failed = True
        with suppress(Exception):
            if self._live is not None:
                self._live.stop()
        with suppress(OSError):
            what = f"{type(error).__name__}: {error}"
            sys.stderr.write(f"the live view failed ({what}) and is disabled; training continues in {self._title}\n")

    def _draw(self) -> RenderableType:
        """Return `render`, or its error: rich calls this from a thread of its own."""
        try:
            return self.render()
        except Exception as error:  # see `_harmless`
            return Text(f"cannot show this run: {type(error).__name__}: {error}", "red")

    @_harmless
    def step(self, line: dict[str, Any]) -> None:
        """Take one optimizer step."""
        self._last = line
        self._norms.append(line["grad_norm"])
        self._steps += 1
        self._clipped += line["clipped"]
        self._times.append(time.perf_counter())

    @_harmless
    def evaluation(self, line: dict[str, Any]) -> None:
        """Take one validation; print a line where there is no live panel."""
        self._take(line)
        if self._live is None:
            width = len(str(self._total))
            parts = [
                f"step {line['step']:>{width}}/{self._total}",
                *self._scores(line),
                f"lr {self._last.get('lr', 0.0):.2e}",
                f"|g| {self._last.get('grad_norm', 0.0):8.3g}",
                f"clipped {self._clip_share():4.0%}",
                self._timing(),
            ]
            self._console.print(Text("  ".join(parts)), soft_wrap=True)

    @_harmless
    def refinement(self, line: dict[str, Any], iterations: int) -> None:
        """Take one validation of `optim.refine`; print a line where there is no live panel."""
        self._take(line)
        self._iterations = iterations
        if self._live is None:
            parts = [
                f"lm {line['iteration']:>{len(str(iterations))}}/{iterations}",
                *self._scores(line),
                f"error {decibels(_error_db(line))}",
                f"damping {line['damping']:.0e}",
                self._timing(),
            ]
            self._console.print(Text("  ".join(parts)), soft_wrap=True)

    def replay(self, steps: Sequence[dict[str, Any]], evaluations: Sequence[dict[str, Any]]) -> None:
        """Take a run that was logged before: nothing is printed, and its own step times give the throughput.

        Args:
            steps, evaluations: lines of metrics.jsonl, as `run.metrics.read_metrics` gives them.
        """
        for line in steps:
            self.step(line)
        for line in evaluations:
            self._take(line)
        self._times.clear()
        self._times.extend(accumulate(line["step_s"] for line in steps[-RATE_STEPS:]))

    def _take(self, line: dict[str, Any]) -> None:
        if line["best_db"] != self._eval.get("best_db"):
            self._best_step = line["step"]
        self._eval = line

    @_harmless
    def finding(self, finding: Finding, step: int) -> None:
        """Print a finding that is new at this step."""
        self._console.print(finding_line(finding, f"step {step}"), highlight=False, soft_wrap=True)

    @_harmless
    def message(self, text: str) -> None:
        """Print a note for the user."""
        self._console.print(Text.assemble(("note: ", "yellow"), text))

    def render(self) -> RenderableType:
        """Return the panel in its present state."""
        width = min(self._console.width - SPARE, MAX_WIDTH)
        best = self._eval.get("best_db")
        left = self._left()
        fresh = best is not None and self._best_step == self._eval["step"]

        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        what, done, total = "step", self._last.get("step", 0), self._total
        if self._iterations:
            what, done, total = "lm", self._eval["iteration"], self._iterations
        bar.add_row(ProgressBar(total=total, completed=done), f"{what} {done:,}/{total:,}  {self._timing()}")

        score = "objective" if "objective_db" in self._eval else "NMSE"
        numbers: list[tuple[str, RenderableType]] = [
            ("val NMSE", decibels(validation_db(self._eval) if self._eval else None)),
            (f"best {score}", Text(self._best(), "bold green" if fresh else "bold")),
            ("above floor", decibels(left)),
        ]
        if self._iterations:
            numbers += [
                ("error", decibels(_error_db(self._eval))),
                ("gain ratio", f"{self._eval['gain_ratio']:.2f}"),
                ("damping", f"{self._eval['damping']:.1e}"),
            ]
        else:
            numbers += [
                ("lr", f"{self._last['lr']:.2e}" if self._last else "-"),
                ("clipped", f"{self._clip_share():.1%}"),
                ("samples/s", f"{self._rate() * self._samples_per_step:,.0f}"),
            ]
        columns = 3 if width >= WIDE else 2
        facts = Table.grid(padding=(0, 1), expand=True)
        for _ in range(columns):
            facts.add_column(no_wrap=True, style="dim")
            facts.add_column(ratio=1, no_wrap=True)
        for row in range(0, len(numbers), columns):
            facts.add_row(*(cell for pair in numbers[row : row + columns] for cell in pair))

        norm = f"{self._last['grad_norm']:.3g}" if self._last else "-"
        label = "grad norm  "
        line = sparkline(list(self._norms), width - FRAME - len(label) - len("  -1.23e+45"), log=True)
        trend = Text.assemble((label, "dim"), (line, "cyan"), f"  {norm}", no_wrap=True, overflow="crop")
        title = Text(self._title, "bold")
        return Panel(Group(bar, facts, trend), title=title, title_align="left", border_style="blue", width=width)

    def _rate(self) -> float:
        """Return steps per second over the last steps."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0])

    def _scores(self, line: dict[str, Any]) -> list[str]:
        """Return the scores of a plain line."""
        left = self._left()
        return [
            f"val {validation_db(line):7.2f} dB",
            *([] if "objective_db" not in line else [predistorter.objective(line)]),
            f"best {self._best():>10}",
            *([] if left is None else [f"{left:5.2f} dB above floor"]),
        ]

    def _timing(self) -> str:
        left = self._total - self._last.get("step", 0)
        if not left and self._eval:
            return f"took {duration(self._eval['seconds'])}"
        rate = self._rate()
        return f"ETA {duration(left / rate)}" if rate else "starting"

    def _best(self) -> str:
        best = self._eval.get("best_db")
        return NOT_YET if best is not None and best > POWER_GATE_PENALTY_DB / 2 else decibels(best)

    def _left(self) -> float | None:
        best = self._eval.get("best_db")
        return None if best is None or self._floor is None else best - self._floor

    def _clip_share(self) -> float:
        return self._clipped / self._steps if self._steps else 0.0


def _error_db(line: Mapping[str, Any]) -> float:
    """Return the mean square error over the training split, over unit power [dB], of a line of `optim.refine`."""
    return 10 * math.log10(max(line["loss"], 1e-30))
