"""A self-contained HTML page: no script, no font, no address; light and dark, on screen and on paper."""

from __future__ import annotations

from html import escape

from dpdrun.errors import printable
from dpdrun.report.findings import COLOUR

CSS = (
    f":root {{ {' '.join(f'--{name}: {colour};' for name, colour in COLOUR.items())} }}\n"
    + """\
:root { color-scheme: light dark; --back: #fff; --card: #f6f7f9; --text: #1c2128; --dim: #59636e; --line: #c9d1d9;
  --grid: #e6e9ee; --healthy: #047857; --unknown: #b45309; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --card: #1d232a; --text: #e3e8ee; --dim: #98a3af;
  --line: #3b4550; --grid: #283038;
  --error: #ff7b72; --warning: #f0a35a; --info: #98a3af; --healthy: #4ec99b; --unknown: #f0a35a; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 900px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.3rem; margin-bottom: .2rem; } h2 { font-size: 1.05rem; margin-top: 2rem; }
.dim, .notes { color: var(--dim); font-size: .9em; }
code { font-family: ui-monospace, monospace; font-size: .92em; }
table { border-collapse: collapse; font-size: .9em; } td { padding: .15rem .8rem .15rem 0; vertical-align: top; }
figure { margin: 1rem 0; } figure img { display: block; width: 100%; height: auto; background: #fff; }
figcaption { color: var(--dim); font-size: .85em; }
@media print { body { max-width: none; margin: 0; } }
"""
)


def html_page(title: str, body: str, css: str = "") -> str:
    """Return the page around a body.

    Args:
        title: as text; it is escaped.
        body: valid HTML, all text in it escaped.
        css: more rules than `CSS`.
    """
    return printable(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{CSS}{css}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )
