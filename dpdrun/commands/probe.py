"""`dpdrun probe`: learning rate, clipping, speed and memory, measured on the user's own data and machine."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpdrun.commands._completion import complete_recipe
from dpdrun.commands._options import (
    FailOn,
    FailOnOption,
    ForceOption,
    OutputOption,
    PluginOption,
    RecipeFormat,
    RecipeFormatOption,
    SetOption,
    argument,
    load_plugins,
    refuse_existing,
)
from dpdrun.commands._output import say
from dpdrun.commands.recommend import filled, show
from dpdrun.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from dpdrun.recipe.loader import Loaded

SOME_LR = "1e-3"
SHORTEST_S, LONGEST_S = 5.0, 86_400.0
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("probe")(probe)


def seconds_of(text: str) -> float:
    """Return `60s`, `2m`, `1.5h` or `90` as seconds. Raises BadParameter."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*(s|m|min|h|)\s*", text)
    if match is None:
        raise typer.BadParameter(f"{text or '(empty)'}: expected a time such as 60s, 2m or 90")
    seconds = float(match.group(1)) * _UNITS[match.group(2)]
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise typer.BadParameter(f"{text}: expected at least {SHORTEST_S:g}s and at most a day; 60s suits small models")
    return seconds


def probe(
    recipe: Annotated[Path, argument(metavar="RECIPE", help="Recipe to measure.", autocompletion=complete_recipe)],
    time_: Annotated[
        float, typer.Option("--time", metavar="TIME", parser=seconds_of, help="Time limit, e.g. 60s or 2m.")
    ] = "60s",  # type: ignore[assignment]  # the parser makes it a number
    sets: SetOption = None,
    format_: RecipeFormatOption = RecipeFormat.text,
    out: OutputOption = None,
    force: ForceOption = False,
    fail_on: FailOnOption = FailOn.error,
    plugin: PluginOption = None,
) -> None:
    """Measure lr, clip, speed and memory on this machine in a few hundred steps, and use them in a recommendation."""
    load_plugins(plugin)
    refuse_existing(out, force)  # before anything is measured
    from dpdrun.plan.advise import advise_on_recipe
    from dpdrun.plan.lint import RecipeFacts
    from dpdrun.recipe.loader import load_recipe
    from dpdrun.report.layout import progress_bar
    from dpdrun.report.terminal import Terminal

    loaded = load_recipe(recipe, sets or [])
    try:
        from dpdrun.models._threads import torch_threads
        from dpdrun.plan.threads import threads_to_train
        from dpdrun.training.guard import memory_explained
        from dpdrun.training.job import prepare_training
        from dpdrun.training.probe import probe as measure

        plan, capture = prepare_training(_with_some_lr(loaded))
        console = Terminal(stderr=True)
        with memory_explained(plan), torch_threads(threads_to_train(plan)), progress_bar(console) as report:
            reading = measure(plan, capture, time_, report, spent_s=time.perf_counter() - started())
    except KeyboardInterrupt:
        say("probe interrupted; nothing was written", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    advice = advise_on_recipe(loaded, RecipeFacts(needed=True), probe=reading)
    wants_text = out is not None or format_ is RecipeFormat.yaml
    text = filled(advice.recommendation, loaded, out, "probe") if wants_text else ""
    show(advice, text, format_, out, force, fail_on)


def _with_some_lr(loaded: Loaded) -> Loaded:
    """Return a recipe that can be planned: no rule sets the lr of a plug-in's kind, and the probe varies it anyway."""
    from dpdrun.recipe import plugins
    from dpdrun.recipe.fields import AUTO
    from dpdrun.recipe.loader import load_text

    kind = plugins.find("models", loaded.recipe.model.kind)
    if kind is None or kind.origin is None or loaded.recipe.optim.lr != AUTO:
        return loaded
    return load_text(loaded.text, loaded.path, [*loaded.overrides, f"optim.lr={SOME_LR}"])


def started() -> float:
    """Return when this program started, by `time.perf_counter` [s]: importing modules counts as time spent."""
    now = time.perf_counter()
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks = int(fields[19])  # proc(5): starttime is field 22, the 20th after the name
        return now - (time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, ValueError, IndexError):  # not Linux
        return now - time.process_time()
