"""`report.html`: facts, tables, and the figures with their captions, in one file."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from dpdrun.report.figures.style import Picture
from dpdrun.report.html_page import html_page

Table = tuple[str, Sequence[str], Sequence[Sequence[str]]]

WIDE = 900  # pixels of a PNG at 220 dpi, above which a figure takes the whole width of the page
NUMBER = re.compile(r"[+-]?[\d,]*\.?\d+(e[+-]?\d+)?([ \n].*)?")

CSS = """\
body { max-width: 1060px; }
p.summary { font-size: 1.15rem; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; margin: 1rem 0; }
dl.facts dt { color: var(--dim); } dl.facts dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 600px) { dl.facts { grid-template-columns: 1fr; } dl.facts dd { margin-bottom: .5rem; } }
.scroll { overflow-x: auto; margin: 1.2rem 0; }
table { font-variant-numeric: tabular-nums; } caption { text-align: left; color: var(--dim); padding-bottom: .3rem; }
th { text-align: left; vertical-align: bottom; padding: .25rem .8rem .25rem 0; border-bottom: 1.5px solid var(--line); }
td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--grid); }
td.number, th.number { text-align: right; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 1.2rem;
  align-items: start; grid-auto-flow: dense; }
figure { margin: 0; background: var(--card); padding: .7rem; border-radius: 6px; min-width: 0; }
figure.wide { grid-column: 1 / -1; }
figure h3 { margin: 0 0 .5rem; font-size: .95rem; }
figcaption { margin-top: .5rem; overflow-wrap: anywhere; }
p.missing { background: var(--card); border-left: 4px solid var(--line); margin: 0; padding: .6rem .9rem;
  grid-column: 1 / -1; }
@media print { figure, p.missing { break-inside: avoid; padding: 0; background: none; }
  .figures { grid-template-columns: 1fr 1fr; } }
"""


@dataclass(frozen=True)
class Drawn:
    """A figure with its title, its name as a file (without suffix), and its caption."""

    title: str
    stem: str
    picture: Picture
    caption: str

    @property
    def wide(self) -> bool:
        """Return whether it is as wide as a page."""
        return png_size(self.picture.png)[0] > WIDE


@dataclass(frozen=True)
class Missing:
    """A figure that could not be drawn, and why."""

    title: str
    reason: str


@dataclass(frozen=True)
class FigureSection:
    """Figures of one split of a capture, or of the training."""

    title: str
    text: str
    figures: list[Drawn | Missing]
    notes: list[str] = field(default_factory=list)


def report_page(
    title: str, facts: Sequence[tuple[str, str]], tables: Sequence[Table], sections: list[FigureSection],
    *, summary: str = "", suffix: str = ".png",
) -> str:  # fmt: skip
    """Return the page: valid HTML with all text escaped."""
    parts = [f"<h1>{escape(title)}</h1>"]
    if summary:
        parts.append(f'<p class="summary">{escape(summary)}</p>')
    if facts:
        entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
        parts.append(f'<dl class="facts">{entries}</dl>')
    parts += [html_table(*table) for table in tables]
    parts += [_section(section) for section in sections]
    files = f"The figures are next to this page as {suffix[1:].upper()} files, their curves as CSV."
    drawn = any(isinstance(each, Drawn) for section in sections for each in section.figures)
    parts.append(f'<p class="dim">Made by <code>dpdrun</code>. {files if drawn else ""}</p>')
    return html_page(title, "\n".join(parts), CSS)


def png_size(png: bytes) -> tuple[int, int]:
    """Return width and height in pixels, from the header of a PNG."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def html_table(caption: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with its columns of numbers aligned to the right."""
    width = max([len(header), *(len(row) for row in rows)])
    numeric = [_is_numeric([row[i] for row in rows if i < len(row)]) for i in range(width)]

    def cells(tag: str, row: Sequence[str]) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        filled = [*row, *[""] * (width - len(row))]
        classes = [' class="number"' if right else "" for right in numeric]
        each = (f"<{tag}{kind}{scope}>{escape(text)}</{tag}>" for kind, text in zip(classes, filled, strict=True))
        return f"<tr>{''.join(each)}</tr>"

    head = f"<thead>{cells('th', header)}</thead>" if header else ""
    body = "\n".join(cells("td", row) for row in rows)
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>\n{head}\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _is_numeric(column: list[str]) -> bool:
    texts = [text.strip().replace("\N{MINUS SIGN}", "-") for text in column if text.strip() not in ("", "-")]
    return bool(texts) and all(NUMBER.fullmatch(text) for text in texts)


def _section(section: FigureSection) -> str:
    figures = "\n".join(_drawn(each) if isinstance(each, Drawn) else _missing(each) for each in section.figures)
    text = f'<p class="dim">{escape(section.text)}</p>\n' if section.text else ""
    notes = "".join(f'<p class="notes">{escape(note)}</p>\n' for note in section.notes)
    return f'<h2>{escape(section.title)}</h2>\n{text}{notes}<div class="figures">\n{figures}\n</div>'


def _drawn(this: Drawn) -> str:
    """Return the figure as SVG, which stays sharp on paper; only its clouds of points are pixels."""
    width, height = png_size(this.picture.png)
    source = b64encode(this.picture.svg).decode("ascii")
    kind = ' class="wide"' if this.wide else ""
    return (
        f"<figure{kind}><h3>{escape(this.title)}</h3>\n"
        f'<img width="{width}" height="{height}" alt="{escape(this.title)}" src="data:image/svg+xml;base64,{source}">\n'
        f"<figcaption>{escape(this.caption)}</figcaption></figure>"
    )


def _missing(this: Missing) -> str:
    return f'<p class="missing"><strong>{escape(this.title)}</strong>: not drawn: {escape(this.reason)}</p>'
