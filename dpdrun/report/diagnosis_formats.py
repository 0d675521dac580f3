"""The formats of a diagnosis, by name and by the suffix of a file."""

from __future__ import annotations

import json
from pathlib import Path

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import RunError
from dpdrun.run.files import encode_numbers

SUFFIXES = {".json": "json", ".md": "markdown", ".html": "html", ".htm": "html"}


def format_of_file(path: Path) -> str:
    """Return the format that the suffix stands for; `rich`, as on a terminal, for any other.

    Raises RunError for the suffix of SARIF, which earlier versions wrote.
    """
    if path.suffix.lower() == ".sarif":
        raise RunError(f"{path}: SARIF is not written any more; use .json, .md or .html")
    return SUFFIXES.get(path.suffix.lower(), "rich")


def render_diagnosis(diagnosis: Diagnosis, title: str, format_: str, *, verbose: bool = False) -> str:
    """Return a diagnosis as text: json, markdown, html, or rich, which is that of the terminal without colours."""
    if format_ == "json":
        return json.dumps(encode_numbers(diagnosis.to_json()), indent=2, allow_nan=False) + "\n"
    if format_ == "markdown":
        from dpdrun.report.diagnosis_markdown import diagnosis_markdown

        return diagnosis_markdown(diagnosis, title)
    if format_ == "html":
        from dpdrun.report.diagnosis_html import diagnosis_html

        return diagnosis_html(diagnosis, title)
    from dpdrun.report.diagnosis import diagnosis_text

    return diagnosis_text(diagnosis, title, verbose=verbose)
