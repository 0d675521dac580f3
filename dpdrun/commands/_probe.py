"""`dpdrun recommend --probe`: from a recommendation to a plan, from the plan to a probe, and back."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dpdrun.errors import EXIT_INTERRUPTED, RecipeError

if TYPE_CHECKING:
    from dpdrun.plan.probe_result import ProbeReading
    from dpdrun.plan.recommendation import Recommendation
    from dpdrun.recipe.loader import Loaded

SHORTEST_S, LONGEST_S = 5.0, 86_400.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """`60s`, `2m`, `1.5h` or `90` as seconds. Raises RecipeError."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*(s|m|min|h|)\s*", text)
    if match is None:
        raise RecipeError(f"--probe {text}: expected a time such as 60s, 2m or 90")
    seconds = float(match.group(1)) * _UNITS[match.group(2)]
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise RecipeError(
            f"--probe {text}: expected at least {SHORTEST_S:g}s and at most a day; 60s suits small models"
        )
    return seconds


def started() -> float:
    """When this program was started, by `time.perf_counter` [s]: importing Python's modules is a part of the time."""
    now = time.perf_counter()
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks = int(fields[19])  # proc(5): starttime is field 22, the 20th behind the name
        return now - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):  # not Linux
        return now - time.process_time()


def probed(
    ask: Callable[[dict[str, float]], Recommendation], loaded: Loaded, budget_s: float
) -> tuple[Recommendation, ProbeReading]:
    """Measure the plan of a recipe; the recommendation with what was found.

    Args:
        ask: the recommendation for a recipe, with these facts set (those of the probe).
        loaded: the recipe.
        budget_s: time for the whole command, its start and the look at the data included [s].
    """
    from dpdrun.plan.probe_result import merged, probed_facts
    from dpdrun.training.job import prepare

    plan, capture = prepare(loaded)
    catalogue = ask({})
    try:
        from rich.console import Console

        from dpdrun.report.measured import progress_bar
        from dpdrun.training.guard import memory_explained
        from dpdrun.training.probe import probe

        with memory_explained(plan), progress_bar(Console(stderr=True)) as report:
            reading = probe(plan, capture, budget_s, report, spent_s=time.perf_counter() - started())
    except KeyboardInterrupt:
        typer.echo("probe interrupted; nothing was written", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    return merged(ask(probed_facts(catalogue, reading)), catalogue, reading), reading
