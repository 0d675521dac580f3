"""The page of `dpdrun auto`: what went in, what came out, what limits it, and how to do each step by hand."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dpdrun.report.auto import shortfalls
from dpdrun.report.figures.page import CSS as FIGURES_CSS
from dpdrun.report.figures.page import html_table
from dpdrun.report.html_page import html_page
from dpdrun.report.scores import ACLR, EVM, IN_BAND, NMSE, SPECTRAL_EVM, Figure, aclr_caveats, facts_of_scores
from dpdrun.run.scores import as_chosen

Json = Mapping[str, Any]
SPLIT = "test"
WORSE = ACLR[2]
SHOWN = (NMSE, IN_BAND, WORSE, EVM, SPECTRAL_EVM)
PICTURES = (
    ("psd", "PSD of the amplifier's output, before and after", "narrow"),
    ("gain", "AM/AM and AM/PM, before and after", "wide"),
    ("constellation", "Demodulated symbols", "wide"),
)
NEAR_DB = 1.0  # of the noise floor: a PA model has nothing more to learn there
AGREE_DB = 1.0  # of two PA models
CSS = """\
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.cards div { background: var(--card); border-radius: 6px; padding: .7rem 1rem; flex: 1 1 150px; }
.cards b { display: block; font-size: 1.15rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
.cards span { color: var(--dim); font-size: .85em; }
td { white-space: normal; } td.number { white-space: pre; } ul { padding-left: 1.2rem; } li { margin: .35rem 0; }
figure.narrow { justify-self: center; width: min(100%, 620px); grid-column: 1 / -1; }
pre { background: var(--card); padding: .7rem; border-radius: 6px; margin: .2rem 0 .8rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
"""


def product_page(content: Json, folder: Path) -> str:
    """Return the page.

    Args:
        content: of auto.json, complete.
        folder: that holds it, for the figures of the evaluation.
    """
    own, judged = as_chosen(content["scores"]["own"]), as_chosen(content["scores"]["judged"])
    name = content["capture"]["name"]
    parts = [
        f"<h1>Predistorter for {escape(name)}</h1>",
        f'<p class="dim">{escape(_made(content))}</p>',
        _cards(own["dpd"]),
        "<h2>Result</h2>",
        '<p class="dim">Test split, which nothing was chosen by. Simulated: after the predistorter comes a model of '
        f"the amplifier, not the amplifier. {escape(_intervals(own['dpd']))}</p>",
        html_table(*_results(content, own, judged)),
        _figures(folder),
        '<p class="dim">The gmp of the figures learns indirectly, the baseline of every evaluation; that of the table '
        "learns the ideal input, as this one.</p>",
        "<h2>What limits it</h2>",
        _list(limits(content)),
        "<h2>What went in</h2>",
        _facts(_capture(content["capture"])),
        "<h2>Models</h2>",
        html_table(*_models(content, own, judged)),
        "<h2>On the target</h2>",
        _facts(_target(content)),
        "<h2>What was tried</h2>",
        html_table(*_trials(content)),
        "<h2>Each step by hand</h2>",
        *(f"<p>{escape(what)}</p><pre><code>{escape(command)}</code></pre>" for what, command in content["by_hand"]),
        f'<p class="dim">All of it again, or more of it with a larger --minutes:</p><pre><code>'
        f"{escape(content['command'])}</code></pre>",
    ]
    return html_page(f"Predistorter for {name}", "\n".join(parts), FIGURES_CSS + CSS)


def _made(content: Json) -> str:
    made, minutes = content["environment"], content["seconds"] / 60
    return f"{made['date']}, dpdrun {made['dpdrun']}, {minutes:.1f} minutes of search on {made['host']}"


def _linearity(report: Json) -> Json:
    found: Json = report["splits"][SPLIT]["linearity"]
    return found


def _none(report: Json) -> Json:
    found: Json = report["baselines"]["one_tap"][SPLIT]["linearity"]
    return found


def _cards(report: Json) -> str:
    before, after = _none(report), _linearity(report)
    cards = [
        (figure.name, f"{figure.cell(before)} \N{RIGHTWARDS ARROW} {figure.cell(after)} {figure.unit}")
        for figure in (WORSE, EVM, SPECTRAL_EVM, NMSE)
        if after.get(figure.key) is not None
    ][:3]
    cards.append(("size, work per sample", f"{report['parameters']:,} parameters, {report['macs_per_sample']:,} MACs"))
    return (
        '<div class="cards">'
        + "".join(f"<div><span>{escape(name)}</span><b>{escape(value)}</b></div>" for name, value in cards)
        + "</div>"
    )


def _intervals(report: Json) -> str:
    scores = _linearity(report)
    if not scores.get("intervals"):
        return "There are no intervals: the split is too short for them."
    return f"In brackets: 95 % interval, {scores['interval_method']}."


def _results(content: Json, own: Json, judged: Json) -> tuple[str, list[str], list[list[str]]]:
    """Return caption, header and rows: no predistorter, the gmp and this one, through both PA models."""
    shown = [figure for figure in SHOWN if _linearity(own["dpd"]).get(figure.key) is not None]
    rows = []
    for through, reports in (("pa", own), ("judge", {name: each["judge"] for name, each in judged.items()})):
        kind = content["steps"][through]["kind"]
        where = f"{kind} PA model" + (", independent" if through == "judge" else "")
        gmp, this = (f"{content['steps'][name]['parameters']:,} parameters" for name in ("dpd_gmp", "dpd"))
        entries = (("none", _none(reports["dpd"])), (f"gmp, {gmp}", _linearity(reports["dpd_gmp"])),
                   (f"this one, {this}", _linearity(reports["dpd"])))  # fmt: skip
        rows += [[name, where, *(_with_interval(figure, scores) for figure in shown)] for name, scores in entries]
    header = ["predistorter", "scored through", *(figure.title for figure in shown)]
    return "Amplifier after the predistorter", header, rows


def _with_interval(figure: Figure, scores: Json) -> str:
    interval = figure.interval(scores)
    return figure.cell(scores) + (f"\n({interval})" if interval else "")


def limits(content: Json) -> list[str]:
    """Return what limits the result, as sentences, the first one most."""
    own, judged = as_chosen(content["scores"]["own"])["dpd"], as_chosen(content["scores"]["judged"])["dpd"]["judge"]
    pa_db, left_db = own["pa"]["nmse_db"][SPLIT], own["splits"][SPLIT]["nmse_db"]
    floor_db = content["capture"]["floor_db"]
    found = []
    at_floor = floor_db is not None and pa_db < floor_db + NEAR_DB
    noise = f" and is at the noise floor of the capture ({floor_db:.1f} dB): record with less noise" if at_floor else ""
    if pa_db > left_db:
        found.append(
            f"The model of the amplifier: its error, {pa_db:.1f} dB, is larger than what the predistorter leaves, "
            f"{left_db:.1f} dB{noise or '; more --minutes or a longer capture help more than a larger predistorter'}."
        )
    else:
        found.append(
            f"The size of the predistorter: it leaves {left_db:.1f} dB, and the error of the PA model is {pa_db:.1f} "
            f"dB{noise or '; a larger --budget, or more --minutes, help'}."
        )
    found = [*shortfalls(content), *found]
    found.append(trust(own, judged, content["steps"]["judge"]["kind"]))
    found += [f"What the ACLR can show ({text})." for text in aclr_caveats(own)]
    expected = dict(facts_of_scores(own)).get("measured")
    if expected:
        found.append(f"{expected[0].upper()}{expected[1:]}.")
    fixed = content["exported"].get("fixed")
    if fixed is not None:
        found.append(f"Fixed point changes the output by {fixed['change_db']:.1f} dB of its power.")
    return [*found, *(f"The capture: {warning}." for warning in content["capture"]["warnings"])]


def trust(own: Json, judged: Json, kind: str) -> str:
    """Return how far two PA models agree, in NMSE and ACLR.

    Args:
        own, judged: scores of the predistorter through the PA model that it was trained through, and another.
        kind: of the other.
    """
    parts = [scores["splits"][SPLIT] for scores in (own, judged)]
    pairs = [(part["nmse_db"], part["linearity"].get(WORSE.key)) for part in parts]
    apart = [abs(second - first) for first, second in zip(*pairs, strict=True) if None not in (first, second)]
    first, second = (
        f"NMSE {nmse:.1f} dB" + ("" if aclr is None else f" and ACLR {aclr:.1f} dBc") for nmse, aclr in pairs
    )
    return (
        f"How far the simulation can be trusted: the two PA models {'agree' if max(apart) <= AGREE_DB else 'differ'}, "
        f"{first} through the one that it was trained through, {second} through the independent one ({kind}, its own "
        f"error {judged['pa']['nmse_db'][SPLIT]:.1f} dB). Measure, and continue with the measured pair."
    )


def _capture(capture: Json) -> list[tuple[str, str]]:
    floor = capture["floor_db"]
    rate = f"{capture['sample_rate_hz'] / 1e6:g} MS/s"
    width = capture["bandwidth_hz"]
    return [
        ("capture", f"{capture['name']}: {capture['samples']:,} samples at {rate}, bandwidth "
                    + ("not stated" if width is None else f"{width / 1e6:g} MHz")),
        ("sha256 of the samples, aligned", capture["sha256"]),
        ("corrected", "; ".join(capture["corrected"]) or "nothing: input and output are aligned"),
        ("not corrected", "; ".join(capture["warnings"]) or "nothing was found"),
        ("noise floor", f"{floor:.1f} dB" if floor is not None else
                        f"not known: {capture.get('floor_reason') or 'no estimate'}"),
        ("a linear gain leaves", f"{capture['linear_db']:.1f} dB"),
    ]  # fmt: skip


def _models(content: Json, own: Json, judged: Json) -> tuple[str, list[str], list[list[str]]]:
    nmse = {"pa": own["dpd"]["pa"]["nmse_db"], "judge": judged["dpd"]["judge"]["pa"]["nmse_db"]}
    roles = {
        "pa": "PA model that the predistorters are trained through",
        "judge": "independent PA model: another kind, scores only",
        "dpd_gmp": "reference: a gmp",
        "dpd": "the predistorter",
    }
    rows = []
    for name, step in content["steps"].items():
        error = nmse.get(name, {}).get(SPLIT)
        size, macs = (f"{step[key]:,}" for key in ("parameters", "macs_per_sample"))
        rows.append([roles[name], step["kind"], str(step["seed"]), size, macs, "" if error is None else f"{error:.2f}",
                     step["run"]])  # fmt: skip
    header = ["role", "kind", "seed", "parameters", "MACs per sample", f"NMSE, {SPLIT} [dB]", "run folder"]
    return "Seeds, sizes and errors", header, rows


def _target(content: Json) -> list[tuple[str, str]]:
    exported = content["exported"]
    error = exported["error"]
    verified = "not verified: there was no compiler" if error is None else (
        f"on {exported['verified_samples']:,} test samples: "
        + ("bit-exact" if exported["fixed"] else f"largest error {error:.1e} of the rms")
    )  # fmt: skip
    facts = [("file", f"{exported['path']}, {exported['bytes'] / 1000:,.1f} kB"), ("verified", verified)]
    if c := exported.get("c"):
        macs, products = content["steps"]["dpd"]["macs_per_sample"], c["multiplications_per_sample"]
        of_these = (f": {macs:,} multiply-accumulates (MACs) of weights and attention, {products - macs:,} of "
                    "features, products and scales") if exported["fixed"] is None else (
                    f", without keys whose attention is 0 in these bits; {macs:,} multiply-accumulates (MACs) of "
                    "weights and attention in floating point")  # fmt: skip
        facts.append(("multiplications per sample", f"{products:,}{of_these}"))
        size = c["bytes"]
        code = f", code {size['code']:,} ({size['code_of']})" if "code" in size else ""
        facts.append(("bytes", f"tables {size['tables']:,}, state {size['state']:,}{code}"))
    if fixed := exported.get("fixed"):
        settings, cost = fixed["settings"], fixed["cost"]
        facts.append(("bits", f"weights {settings['weights']}, activations {settings['activations']}"))
        facts.append(("of these bits", f"weights and tables {cost['weight_bytes']:,} bytes, state "
                      f"{cost['state_bytes']:,}"))  # fmt: skip
    return facts


def _trials(content: Json) -> tuple[str, list[str], list[list[str]]]:
    rows = [
        [each["search"], each["configuration"], str(each["seed"]), _number(each["score_db"], 2),
         _number(each["seconds"], 0), _status(each)]
        for each in content["trials"]
    ]  # fmt: skip
    header = ["search", "configuration", "seed", "validation [dB]", "time [s]", "status"]
    return "All trials, the best of each search first", header, rows


def _status(trial: Json) -> str:
    """Return what became of a trial, in words."""
    status = "ended early" if trial["status"] == "pruned" else trial["status"]
    code = re.match(r"[A-Z]{2}[0-9]{3}", trial["reason"])
    return status + (f": {trial['reason']}" if trial["reason"] else "") + (
        f" (dpdrun explain {code[0]})" if code else "")  # fmt: skip


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:,.{decimals}f}"


def _figures(folder: Path) -> str:
    """Return the figures of the evaluation, as they were drawn there."""
    place = folder / "evaluation" / "dpd"
    drawn = [
        (title, style, b64encode(path.read_bytes()).decode("ascii"))
        for stem, title, style in PICTURES
        if (path := place / f"{stem}-{SPLIT}.svg").is_file()
    ]
    if not drawn:
        return "<p class=\"missing\">No figures: they need matplotlib; pip install 'dpdrun[plots]'</p>"
    return '<div class="figures">' + "".join(
        f'<figure class="{style}"><h3>{escape(title)}</h3><img alt="{escape(title)}" '
        f'src="data:image/svg+xml;base64,{source}"></figure>' for title, style, source in drawn
    ) + "</div>"  # fmt: skip


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f'<dl class="facts">{entries}</dl>'


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
