"""A sweep as one self-contained HTML page: its front, its slices, its points with intervals, what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dpdrun.report.html_page import html_page
from dpdrun.report.sweep import base_name, columns_of, gain_sentence, hours_text, mean_text, ordered_points, value_texts
from dpdrun.report.sweep_plot import UNITS, front_chart, slice_charts

Json = Mapping[str, Any]
CSS = """\
body { max-width: 1000px; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(380px, 1fr)); gap: .5rem 1.5rem; }
svg { width: 100%; height: auto; } svg text { fill: var(--dim); font-size: 11px; }
svg .grid { stroke: var(--grid); } svg .line { fill: none; stroke: var(--healthy); stroke-dasharray: 4 3; }
circle.other { fill: var(--back); stroke: var(--dim); } line.other { stroke: var(--line); }
circle.front { fill: var(--healthy); stroke: var(--healthy); } line.front { stroke: var(--healthy); }
circle.rules { fill: var(--unknown); stroke: var(--unknown); } line.rules { stroke: var(--unknown); }
.scroll { overflow-x: auto; } th { text-align: left; padding: .15rem .8rem .15rem 0; font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td:first-child { white-space: nowrap; }
tr.front td { font-weight: 600; } tr.rules td:first-child { color: var(--unknown); }
.key span { margin-right: 1.2em; } .key i { display: inline-block; width: .7em; height: .7em; border-radius: 50%;
  margin-right: .35em; border: 1px solid var(--dim); }
.key .f { background: var(--healthy); } .key .r { background: var(--unknown); }
"""
KEY = (
    '<p class="key dim"><span><i class="r"></i>the {base}</span><span><i class="f"></i>Pareto front</span>'
    "<span><i></i>other points</span>"
)


def sweep_page(content: Json) -> str:
    """Return the page of a sweep.

    Args:
        content: of sweep.json.
    """
    counts = content["trials"]
    total = sum(counts.values())
    facts = [
        f"{counts['finished']} of {total} trials finished",
        *(f"{counts[name]} {name}" for name in ("running", "pending", "failed", "pruned") if counts[name]),
        f"{len(content['points'])} points, {len(content['seeds'])} seed{'s' * (len(content['seeds']) > 1)} each",
        f"search: {content['search']}", hours_text(content["core_hours"]),
    ]  # fmt: skip
    body = [f"<h1>Sweep {escape(content['name'])}</h1>", '<p class="dim">' + escape("; ".join(facts)) + "</p>"]
    if sentence := gain_sentence(content):
        body.append(f"<p><strong>{escape(sentence[0].upper() + sentence[1:])}.</strong></p>")
    charts = [chart for chart in [front_chart(content)] if chart] + slice_charts(content)
    if charts:
        bars = "bars: 95 % intervals over seeds, cut at the edge of a chart" if len(content["seeds"]) > 1 else ""
        body.append(f"{KEY.format(base=base_name(content))}{bars}</p>")
        figures = (f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for svg, text in charts)
        body.append('<div class="charts">' + "".join(figures) + "</div>")
    body += ["<h2>Points</h2>", _points(content)]
    if content["left_out"]:
        rows = [[", ".join(f"{key}={value}" for key, value in each["config"].items()) or "the recipe", each["reason"]]
                for each in content["left_out"]]  # fmt: skip
        body += ["<h2>Left out</h2>", _table(["configuration", "why"], rows)]
    return html_page(f"Sweep {content['name']}", "\n".join(body), CSS)


def _points(content: Json) -> str:
    keys, names = list(content["over"]), columns_of(content)
    tested = any(each["test_db"] for each in content["points"])
    head = ["point", *keys, *(UNITS[name] for name in names), *(["test [dB]"] if tested else []), "status"]
    rows, styles, texts = [], [], [value_texts(content, key) for key in keys]
    for each in ordered_points(content):
        means = [mean_text(each["objectives"].get(name), name) for name in names]
        means += [mean_text(each["test_db"], "test")] if tested else []
        values = [text[each["number"]] for text in texts]
        number = f"{each['number']}{f' {base_name(content)}' if each['rules'] else ''}"
        status = f"{each['status']}: {each['reason']}" if each["reason"] else str(each["status"])
        rows.append([number, *values, *(text.replace("+-", "\N{PLUS-MINUS SIGN}") for text in means), status])
        styles.append(
            " ".join(name for name, is_so in (("front", each["on_front"]), ("rules", each["rules"])) if is_so)
        )
    numbers = range(1 + len(keys), len(head) - 1)
    note = (
        "Means over the seeds of a point, with half the width of their 95 % interval. Trials: run folders in trials/."
    )
    return _table(head, rows, styles, numbers) + f'<p class="dim">{note}</p>'


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = (), numbers: Sequence[int] = ()
) -> str:
    def cell(tag: str, index: int, text: str) -> str:
        style = ' class="n"' if index in numbers else ""
        return f"<{tag}{style}>{escape(text)}</{tag}>"

    lines = ["<tr>" + "".join(cell("th", index, text) for index, text in enumerate(head)) + "</tr>"]
    for number, row in enumerate(rows):
        style = f' class="{styles[number]}"' if styles and styles[number] else ""
        lines.append(f"<tr{style}>" + "".join(cell("td", index, text) for index, text in enumerate(row)) + "</tr>")
    return '<div class="scroll"><table>' + "".join(lines) + "</table></div>"
