"""A diagnosis as text: JSON, Markdown for a pull request or a lab book, or one self-contained HTML page."""

from __future__ import annotations

import re
from base64 import b64encode
from html import escape
from pathlib import Path

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.errors import DataError, RunError, printable, visible
from dpdrun.report.diagnosis import (
    NormChart,
    checked_text,
    diagnosis_view,
    pictures,
    plain_text,
    source_lines,
    unit_of,
    verdict_line,
)
from dpdrun.report.findings import by_reason, finding_entries, named
from dpdrun.report.html_page import html_page
from dpdrun.report.signal import signal_lines
from dpdrun.rules.engine import Finding
from dpdrun.run.environment import environment
from dpdrun.run.files import json_text

SUFFIXES = {".json": "json", ".md": "markdown", ".html": "html", ".htm": "html"}
CSS = """\
.verdict { font-weight: 600; }
.word { font-weight: 600; text-transform: uppercase; font-size: .8em; letter-spacing: .04em; }
.word.error { color: var(--error); } .word.warning { color: var(--warning); } .word.info { color: var(--info); }
.word.healthy { color: var(--healthy); } .word.unknown, .word.too-little-to-judge { color: var(--unknown); }
article { background: var(--card); border-left: 4px solid var(--line); padding: .7rem 1rem; margin: .8rem 0; }
article.error { border-color: var(--error); } article.warning { border-color: var(--warning); }
article.info { border-color: var(--info); } article h3 { margin: 0 0 .3rem; font-size: 1rem; }
article p { margin: .3rem 0; } dt { float: left; clear: left; width: 4.5rem; color: var(--dim); }
dl { margin: .4rem 0 0; } dd { margin: 0 0 .25rem 4.7rem; }
pre { overflow-x: auto; font: 12px/1.4 ui-monospace, monospace; }
@media print { article { break-inside: avoid; } }
"""
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")  # in Markdown


def format_of_file(path: Path) -> str:
    """Return the format that the suffix stands for; `text`, as on a terminal, for any other.

    Raises RunError for the suffix of SARIF, which earlier versions wrote.
    """
    if path.suffix.lower() == ".sarif":
        raise RunError(f"{path}: SARIF is not written any more; use .json, .md or .html")
    return SUFFIXES.get(path.suffix.lower(), "text")


def render_diagnosis(diagnosis: Diagnosis, title: str, format_: str, *, verbose: bool = False) -> str:
    """Return a diagnosis as text: json, markdown, html, or text, which is that of the terminal without colours."""
    if format_ == "json":
        return json_text(diagnosis.to_json() | {"environment": environment()}) + "\n"
    title = visible(title)
    if format_ == "markdown":
        return printable(diagnosis_markdown(diagnosis, title))
    if format_ == "html":
        return diagnosis_html(diagnosis, title)
    return printable(plain_text(diagnosis_view(diagnosis, title, verbose=verbose)) + "\n")


def diagnosis_markdown(diagnosis: Diagnosis, title: str) -> str:
    """Return GitHub-flavoured Markdown; text that came from a run or a log is escaped."""
    line = verdict_line(diagnosis, title).plain.removeprefix(f"{title}: ")
    parts = [f"## dpdrun diagnose: {_escaped(title)}", "", f"**{diagnosis.verdict}**: {_escaped(line)}", ""]
    if diagnosis.findings:
        parts += [f"| severity | finding | from {unit_of(diagnosis)} | what is wrong |", "|---|---|---|---|"]
        parts += [_row(finding) for finding in diagnosis.findings]
        parts.append("")
    for finding in diagnosis.findings:
        parts += [f"**{finding.code} {_escaped(finding.slug)}**", ""]
        parts += [f"- {label}: {_entry(label, text)}" for label, text in finding_entries(finding).items()]
        parts.append("")
    parts += _folded("chart", ["```text", plain_text(*pictures(diagnosis)), "```"])
    if diagnosis.log:
        first, *notes = source_lines(diagnosis.log)
        parts += [_escaped(first), *(f"- {_escaped(note[2:])}" for note in notes), ""]
    if diagnosis.healthy:
        parts += _folded(checked_text(diagnosis), [", ".join(f"`{named(code)}`" for code in diagnosis.healthy)])
    if diagnosis.skipped:
        reasons = by_reason(diagnosis.skipped).items()
        parts += _folded("not checked", [f"- `{' '.join(codes)}`: {_escaped(reason)}" for reason, codes in reasons])
    return "\n".join(parts)


def _row(finding: Finding) -> str:
    step = "" if finding.step is None else str(finding.step)
    return f"| {finding.severity} | `{finding.code}` {_escaped(finding.slug)} | {step} | {_escaped(finding.message)} |"


def _entry(label: str, text: str) -> str:
    return f"`{text}`" if label == "recipe" else _escaped(text)


def _folded(summary: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{summary}</summary>", "", *lines, "", "</details>", ""]


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def diagnosis_html(diagnosis: Diagnosis, title: str) -> str:
    """Return the page: valid HTML with all text escaped."""
    unit = unit_of(diagnosis)
    line = verdict_line(diagnosis, title).plain.removeprefix(f"{title}: ")
    word = f'<span class="word {diagnosis.verdict.replace(" ", "-")}">{diagnosis.verdict}</span>'
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="verdict">{word} {escape(line)}</p>']
    if diagnosis.log:
        parts.append(f'<div class="notes">{"<br>".join(escape(text) for text in source_lines(diagnosis.log))}</div>')
    if not diagnosis.is_of_files:
        parts += ["<h2>Charts</h2>", _charts(diagnosis)]
    if diagnosis.facts.signal:
        parts += [
            "<h2>Prediction compared with its target</h2>",
            f"<pre>{escape(plain_text(*signal_lines(diagnosis.facts.signal)[1:]))}</pre>",
        ]
    if diagnosis.findings:
        parts += ["<h2>Findings</h2>", *(_article(finding, unit) for finding in diagnosis.findings)]
    if diagnosis.healthy:
        listed = ", ".join(f"<code>{escape(named(code))}</code>" for code in diagnosis.healthy)
        parts.append(f"<details><summary>{checked_text(diagnosis)}</summary><p>{listed}</p></details>")
    if diagnosis.skipped:
        rows = [
            f"<tr><td><code>{escape(' '.join(codes))}</code></td><td>{escape(reason)}</td></tr>"
            for reason, codes in by_reason(diagnosis.skipped).items()
        ]
        parts += ["<h2>Not checked</h2>", f'<table class="dim">{"".join(rows)}</table>']
    parts.append(
        '<p class="dim">Made by <code>dpdrun diagnose</code>; <code>dpdrun explain CODE</code> shows a rule.</p>'
    )
    return html_page(f"{title}: {diagnosis.verdict}", "\n".join(parts), CSS)


def _charts(diagnosis: Diagnosis) -> str:
    """Return the charts as SVG; in characters where matplotlib is not installed."""
    from dpdrun.report.diagnosis_plot import diagnosis_svg  # loads numpy

    try:
        drawn = diagnosis_svg(diagnosis)
    except DataError:
        drawn = None
    if drawn is None:
        return f"<pre>{escape(plain_text(NormChart(diagnosis)))}</pre>"
    svg, caption = drawn
    source = f"data:image/svg+xml;base64,{b64encode(svg).decode('ascii')}"
    return f'<figure><img alt="charts of the run" src="{source}"><figcaption>{escape(caption)}</figcaption></figure>'


def _article(finding: Finding, unit: str) -> str:
    begins = f' <span class="dim">from {unit} {finding.step}</span>' if finding.step is not None else ""
    entries = finding_entries(finding).items()
    listed = "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in entries)
    return (
        f'<article class="{finding.severity}"><h3><span class="word {finding.severity}">{finding.severity}</span> '
        f"<code>{escape(finding.code)}</code> {escape(finding.slug)}{begins}</h3>"
        f"<p>{escape(finding.message)}</p><dl>{listed}</dl></article>"
    )
