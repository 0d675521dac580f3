"""What a training run shows on the terminal: a live panel, or plain lines when nobody can watch one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dpdrun.report.sparkline import sparkline

SPARK_WIDTH = 48
REFRESH_PER_SECOND = 4  # redrawing costs CPU that training on two cores needs
RATE_STEPS = 50  # throughput is the mean over this many steps


def duration(seconds: float) -> str:
    """1:02:03 or 2:03 or 4.5 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def decibels(value: float | None) -> str:
    """-39.12 dB, or a dash for an unknown value."""
    return "-" if value is None else f"{value:.2f} dB"


class TrainingView:
    """Draws a run while it trains. A context manager; one object is one run.

    Args:
        console: where to draw.
        title: name of the run.
        total_steps: optimizer steps of the whole run.
        floor_db: estimated noise floor as an NMSE [dB], or None when it is not known.
        sample_rate: frames x frame length per step, for the throughput [samples/step].
    """

    def __init__(
        self, console: Console, *, title: str, total_steps: int, samples_per_step: int, floor_db: float | None
    ) -> None:
        self._console = console
        self._title = title
        self._total = total_steps
        self._samples_per_step = samples_per_step
        self._floor = floor_db
        self._norms: list[float] = []
        self._clipped = 0
        self._times: deque[float] = deque(maxlen=RATE_STEPS)
        self._last: dict[str, Any] = {}
        self._eval: dict[str, Any] = {}
        self._live: Live | None = None

    def __enter__(self) -> TrainingView:
        if self._console.is_terminal:
            self._live = Live(
                console=self._console, get_renderable=self.render, refresh_per_second=REFRESH_PER_SECOND, transient=False
            )
            self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._live is not None:
            self._live.stop()

    def step(self, line: dict[str, Any]) -> None:
        """One optimizer step."""
        self._last = line
        self._norms.append(line["grad_norm"])
        self._clipped += line["clipped"]
        self._times.append(time.perf_counter())

    def evaluation(self, line: dict[str, Any]) -> None:
        """One scoring of the validation part; prints a line where there is no live panel."""
        self._eval = line
        if self._live is None:
            left = "" if self._floor is None else f"  {max(0.0, line['best_db'] - self._floor):5.2f} dB left"
            self._console.print(
                f"step {line['step']:>6}/{self._total}  val {line['val_nmse_db']:7.2f} dB  best {line['best_db']:7.2f} dB"
                f"{left}  lr {self._last.get('lr', 0.0):.2e}  |g| {self._last.get('grad_norm', 0.0):.3g}"
                f"  {duration(line['seconds'])}",
                highlight=False,
                soft_wrap=True,
            )

    def message(self, text: str) -> None:
        """Something the user should know."""
        self._console.print(f"[yellow]note:[/] {text}", highlight=False)

    def render(self) -> RenderableType:
        """The panel as it stands now."""
        step = self._last.get("step", 0)
        rate = self._rate()
        bar = Table.grid(padding=(0, 1), expand=True)
        bar.add_column(ratio=1)
        bar.add_column(justify="right", no_wrap=True)
        eta = duration((self._total - step) / rate) if rate else "-"
        bar.add_row(ProgressBar(total=self._total, completed=step), f"step {step}/{self._total}  ETA {eta}")

        facts = Table.grid(padding=(0, 2))
        for justify in ("left", "right", "left", "right", "left", "right"):
            facts.add_column(justify=justify, no_wrap=True)
        best = self._eval.get("best_db")
        left = None if best is None or self._floor is None else max(0.0, best - self._floor)
        share = self._clipped / len(self._norms) if self._norms else 0.0
        facts.add_row(
            "[dim]validation NMSE[/]", decibels(self._eval.get("val_nmse_db")),
            "[dim]best[/]", f"[bold green]{decibels(best)}[/]",
            "[dim]left to the floor[/]", decibels(left),
        )  # fmt: skip
        facts.add_row(
            "[dim]learning rate[/]", f"{self._last.get('lr', 0.0):.2e}",
            "[dim]clipped[/]", f"{share:.1%}",
            "[dim]samples/s[/]", f"{rate * self._samples_per_step:,.0f}",
        )  # fmt: skip
        trend = Text.assemble(
            ("grad norm  ", "dim"),
            (sparkline(self._norms, SPARK_WIDTH, log=True), "cyan"),
            f"  {self._norms[-1]:.3g}" if self._norms else "",
        )
        return Panel(Group(bar, facts, trend), title=self._title, title_align="left", border_style="blue")

    def _rate(self) -> float:
        """Steps per second over the last steps."""
        if len(self._times) < 2:
            return 0.0
        return (len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0])


def report_table(report: Mapping[str, Any]) -> RenderableType:
    """The end of a run: scores beside the baselines on the same samples, the floor, and what the model costs."""
    scores = Table(title="NMSE", title_justify="left", show_edge=False, pad_edge=False)
    scores.add_column("")
    for split in report["splits"]:
        scores.add_column(split, justify="right")
    scores.add_row("[bold]this model[/]", *(f"[bold]{decibels(s['nmse_db'])}[/]" for s in report["splits"].values()))
    names = {"gmp": "gmp, least squares", "one_tap": "one complex gain"}
    for key, name in names.items():
        if key in report["baselines"]:
            scores.add_row(name, *(decibels(report["baselines"][key][split]["nmse_db"]) for split in report["splits"]))
    legacy = [s.get("nmse_opendpd_legacy_db") for s in report["splits"].values()]
    if any(value is not None for value in legacy):
        scores.add_row("[dim]this model, OpenDPD legacy definition[/]", *(f"[dim]{decibels(v)}[/]" for v in legacy))

    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    floor = report["floor"]
    if floor["nmse_db"] is not None:
        facts.add_row("noise floor", f"{decibels(floor['nmse_db'])} ({floor['method']})")
        if report["db_left"] is not None:
            facts.add_row("left to the floor", decibels(report["db_left"]))
    else:
        facts.add_row("noise floor", f"not known: {floor['caveat']}")
    lookahead = report["lookahead"]
    facts.add_row("parameters", f"{report['parameters']:,}")
    facts.add_row("MAC per sample", f"{report['macs_per_sample']:,}")
    facts.add_row("look-ahead", "whole record" if lookahead is None else f"{lookahead} samples")
    facts.add_row("training time", duration(report["seconds"]))
    if report["samples_per_s"]:
        facts.add_row("throughput", f"{report['samples_per_s']:,.0f} samples/s")
    return Group(scores, "", facts)
