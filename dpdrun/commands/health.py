"""`dpdrun health`: is a run alive? For the health checks of containers and clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpdrun.errors import EXIT_DONE

EXIT_UNHEALTHY = 1  # also where there is no run: Docker reserves 2


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(show)


def show(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run folder, or a folder of them: the newest counts.")
    ] = Path("runs"),
    max_age: Annotated[
        float, typer.Option("--max-age", min=1, metavar="SECONDS", help="The oldest sign of life that will do.")
    ] = 300.0,
) -> None:
    """Say whether a run is alive, by the heartbeat.json that its work leaves.

    Exit code 0 if it is alive or finished, else 1; for the health checks of containers and clusters: docs/deploy.md
    """
    from dpdrun.run.heartbeat import health

    found = health(run, max_age)
    typer.echo(f"{'healthy' if found.is_alive else 'unhealthy'}: {found.line}")
    raise typer.Exit(EXIT_DONE if found.is_alive else EXIT_UNHEALTHY)
