"""Where a diagnosis goes: to the terminal or a file, in the format that was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dpdrun.errors import RunError

if TYPE_CHECKING:
    from dpdrun.diagnosis.diagnose import Diagnosis

FILE_WIDTH = 120  # columns of a `rich` diagnosis in a file


# of the name of a file, where the format was not said
FORMAT_OF = {".json": "json", ".md": "markdown", ".html": "html", ".htm": "html", ".sarif": "sarif"}


def show(
    this: Diagnosis, title: str, source: Path | None, format_: str | None, output: Path | None, plot: Path | None
) -> None:
    """Print or write it, and draw its charts.

    Args:
        this: the diagnosis.
        title: what was diagnosed, for people.
        source: its path, for machines.
        format_, output, plot: as asked.

    Raises:
        RunError, DataError: a file cannot be written, or there is nothing to draw.
    """
    wanted = format_ or (FORMAT_OF.get(output.suffix.lower(), "rich") if output else "rich")
    if output is None and wanted == "rich":
        from rich.console import Console

        from dpdrun.report.diagnosis import diagnosis_view

        Console().print(diagnosis_view(this, title), highlight=False)
    elif output is None:
        typer.echo(_text(this, title, source, wanted), nl=False)
    else:
        from dpdrun.run.files import write_text

        if output.is_dir():
            raise RunError(f"{output}: this is a folder; give -o the name of a file")
        write_text(output, _text(this, title, source, wanted))
        typer.echo(f"written: {output}", err=True)
    if plot is not None:
        from dpdrun.report.diagnosis_plot import draw_diagnosis

        draw_diagnosis(this, title, plot)
        typer.echo(f"written: {plot}", err=True)


def _text(this: Diagnosis, title: str, source: Path | None, format_: str) -> str:
    from dpdrun.run.files import encode_numbers

    if format_ == "json":
        return _json(encode_numbers(this.to_json()))
    if format_ == "sarif":
        from dpdrun.report.diagnosis_sarif import diagnosis_sarif

        return _json(diagnosis_sarif(this, source or Path(title)))
    if format_ == "markdown":
        from dpdrun.report.diagnosis_markdown import diagnosis_markdown

        return diagnosis_markdown(this, title)
    if format_ == "html":
        from dpdrun.report.diagnosis_html import diagnosis_html

        return diagnosis_html(this, title)
    from rich.console import Console

    from dpdrun.report.diagnosis import diagnosis_view

    console = Console(width=FILE_WIDTH, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(diagnosis_view(this, title), highlight=False)
    return capture.get()


def _json(content: object) -> str:
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
