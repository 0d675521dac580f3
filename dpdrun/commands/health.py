"""`dpdrun health`: is a run alive? For the health checks of containers and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpdrun.commands._output import say
from dpdrun.errors import EXIT_DONE

EXIT_UNHEALTHY = 1  # also where there is no run: Docker reserves 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(show)


def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of runs, of which the newest is checked.")
    ] = Path("runs"),
    max_age: Annotated[
        float, typer.Option("--max-age", min=1, metavar="SECONDS", help="Maximum age of the heartbeat.")
    ] = 300.0,
) -> None:
    """Report whether a run is alive, from the heartbeat.json that training writes.

    Exits with 0 if the run is alive or finished, else with 1. For containers and clusters, see docs/deploy.md.
    """
    from dpdrun.run.heartbeat import health

    found = health(run, max_age)
    say(f"{'healthy' if found.is_alive else 'unhealthy'}: {found.line}")
    raise typer.Exit(EXIT_DONE if found.is_alive else EXIT_UNHEALTHY)
