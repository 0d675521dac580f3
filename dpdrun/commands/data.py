"""`dpdrun data`: which captures there are, fetching them, and a look at one before training on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dpdrun.commands._options import TableFormat


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="List, download and inspect captures.")
    group.command("list")(list_captures)
    group.command("pull")(pull)
    group.command("inspect")(inspect)
    app.add_typer(group, name="data")


FormatOption = Annotated[TableFormat, typer.Option("--format", help="Output format.")]


def list_captures(format_: FormatOption = TableFormat.table) -> None:
    """List the embedded synthetic captures and the measured ones that can be downloaded."""
    from dpdrun.data.sources import list_sources

    if format_ is TableFormat.json:
        _print_json({"schema_version": 1, "sources": [vars(info) for info in list_sources()]})
        return
    from rich.console import Console

    from dpdrun.report.capture_table import sources_table

    Console().print(sources_table(list_sources()))
    typer.echo("\nOr your own file or folder: CSV, npz, npy, or a folder in OpenDPD's format (docs/data.md).")


def pull(
    name: Annotated[str, typer.Argument(help="e.g. opendpd/APA_200MHz", show_default=False)],
) -> None:
    """Download a measured capture into the cache folder. Uses pip; one download has all captures of OpenDPD."""
    from dpdrun.data.sources import pull as fetch

    typer.echo(fetch(name))


def inspect(
    source: Annotated[str, typer.Argument(help="A capture, as in data.source of a recipe.", show_default=False)],
    sample_rate_hz: Annotated[
        float | None, typer.Option(help="Sample rate, if the source states none, e.g. 983.04e6.", show_default=False)
    ] = None,
    bandwidth_hz: Annotated[
        float | None, typer.Option(help="Occupied bandwidth, if the source states none.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot AM/AM, AM/PM and PSD to this .png, .svg or .pdf.", show_default=False)
    ] = None,
    format_: FormatOption = TableFormat.table,
) -> None:
    """Measure a capture: levels, gain, delay, noise floor, and warnings."""
    from dpdrun.data.inspection import inspect_capture
    from dpdrun.data.sources import load_capture
    from dpdrun.errors import DataError
    from dpdrun.recipe.schema import DataSection

    for option, value in (("--sample-rate-hz", sample_rate_hz), ("--bandwidth-hz", bandwidth_hz)):
        if value is not None and not 0 < value < float("inf"):
            raise DataError(f"{option} must be a positive number, not {value:g}")
    if not source:
        raise DataError("name a source: synthetic/<preset>, opendpd/<name>, or your own file or folder")
    section = DataSection(
        source=source,
        sample_rate_hz="auto" if sample_rate_hz is None else sample_rate_hz,
        bandwidth_hz="auto" if bandwidth_hz is None else bandwidth_hz,
    )
    capture = load_capture(section)
    facts = inspect_capture(capture)
    if format_ is TableFormat.json:
        from dataclasses import asdict

        _print_json(asdict(facts))
    else:
        from rich.console import Console

        from dpdrun.report.capture_table import inspection_view

        Console(highlight=False).print(inspection_view(facts))
    if plot is not None:
        from dpdrun.report.capture_plot import draw_capture

        draw_capture(capture, facts, plot)
        typer.echo(f"wrote {plot}", err=format_ is TableFormat.json)


def _print_json(content: object) -> None:
    """Print plain values; infinities (a noise-free fit) become the words that report.json uses for them."""
    import json
    import math

    def plain(value: object) -> object:
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return value

    typer.echo(json.dumps(plain(content), indent=2, allow_nan=False))
