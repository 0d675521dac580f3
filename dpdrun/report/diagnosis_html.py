"""A diagnosis as one self-contained HTML page: charts as inline SVG; no script, no font, no address."""

from __future__ import annotations

from html import escape

from dpdrun.diagnosis.diagnose import Diagnosis
from dpdrun.report.diagnosis import checked_text, signal_text, source_lines, unit_of, verdict_line
from dpdrun.report.findings import by_reason, finding_entries, named
from dpdrun.report.html_page import html_page
from dpdrun.report.panels import Panel, panels_of
from dpdrun.report.svg_panels import CSS as PANEL_CSS
from dpdrun.report.svg_panels import svg_panel
from dpdrun.rules.engine import Finding

CSS = """\
.verdict { font-weight: 600; }
.word { font-weight: 600; text-transform: uppercase; font-size: .8em; letter-spacing: .04em; }
.word.error { color: var(--error); } .word.warning { color: var(--warning); } .word.info { color: var(--info); }
.word.healthy { color: var(--healthy); } .word.unknown { color: var(--unknown); }
article { background: var(--card); border-left: 4px solid var(--line); padding: .7rem 1rem; margin: .8rem 0; }
article.error { border-color: var(--error); } article.warning { border-color: var(--warning); }
article.info { border-color: var(--info); } article h3 { margin: 0 0 .3rem; font-size: 1rem; }
article p { margin: .3rem 0; } dt { float: left; clear: left; width: 4.5rem; color: var(--dim); }
dl { margin: .4rem 0 0; } dd { margin: 0 0 .25rem 4.7rem; }
pre { overflow-x: auto; font: 12px/1.4 ui-monospace, monospace; }
@media print { article { break-inside: avoid; } }
"""


def diagnosis_html(diagnosis: Diagnosis, title: str) -> str:
    """Return the page: valid HTML with all text escaped."""
    unit = unit_of(diagnosis)
    line = verdict_line(diagnosis, title).plain.removeprefix(f"{title}: ")
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="verdict"><span class="word {diagnosis.verdict}">{diagnosis.verdict}</span> {escape(line)}</p>',
    ]
    if diagnosis.log:
        parts.append(f'<div class="notes">{"<br>".join(escape(text) for text in source_lines(diagnosis.log))}</div>')
    panels = panels_of(diagnosis)
    if panels:
        parts.append("<h2>Charts</h2>")
        parts += [_figure(panel) for panel in panels]
    if diagnosis.facts.signal:
        parts += [
            "<h2>Prediction compared with its target</h2>",
            f"<pre>{escape(signal_text(diagnosis.facts.signal))}</pre>",
        ]
    if diagnosis.findings:
        parts += ["<h2>Findings</h2>", *(_finding(finding, unit) for finding in diagnosis.findings)]
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
    return html_page(f"{title}: {diagnosis.verdict}", "\n".join(parts), CSS + PANEL_CSS)


def _figure(panel: Panel) -> str:
    caption = (
        f"{panel.title}: medians over the steps, shaded from lowest to highest; vertical lines: where findings begin"
    )
    return f"<figure>{svg_panel(panel)}<figcaption>{escape(caption)}</figcaption></figure>"


def _finding(finding: Finding, unit: str) -> str:
    begins = f' <span class="dim">from {unit} {finding.step}</span>' if finding.step is not None else ""
    entries = finding_entries(finding).items()
    listed = "".join(f"<dt>{label}</dt><dd>{escape(text)}</dd>" for label, text in entries)
    return (
        f'<article class="{finding.severity}"><h3><span class="word {finding.severity}">{finding.severity}</span> '
        f"<code>{escape(finding.code)}</code> {escape(finding.slug)}{begins}</h3>"
        f"<p>{escape(finding.message)}</p><dl>{listed}</dl></article>"
    )
