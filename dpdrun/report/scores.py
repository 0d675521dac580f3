"""The scores of an evaluation as plain tables, which the terminal and a saved page both show.

All of it comes from the report of `evaluation.assessment`; nothing is computed here but differences.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dpdrun.rf.aclr import SPACED
from dpdrun.run.scores import COLD, COLD_START, as_chosen, cold_nmse_db

Report = Mapping[str, Any]
Scores = Mapping[str, Any]  # a `linearity` section

DASH = "-"
INTERVAL_CAVEAT = (
    "for this record only; another seed or measurement adds to it. None for the PAPR, which depends on one sample"
)
FROM_SILENCE = (
    "the NMSE of published tables, which take what is before a split for silence; all other scores, and every choice, "
    "use the samples that the record has there"
)
INTERVAL = "95 % interval"


@dataclass(frozen=True)
class ScoreTable:
    """A table of cells.

    Attributes:
        caption: what it is about.
        header: of the columns, the first one names the figures.
        rows: cells, the first one the name of the figure and its unit.
        main: column of this run's own scores.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    main: int


@dataclass(frozen=True)
class Figure:
    """A score: its key in a report, its name and unit, and the decimals that are significant."""

    key: str
    name: str
    unit: str
    decimals: int = 2

    @property
    def title(self) -> str:
        """Return name and unit."""
        return f"{self.name} [{self.unit}]"

    def cell(self, scores: Scores | None) -> str:
        """Return the value in a `linearity` section; a dash where there is none."""
        value = (scores or {}).get(self.key)
        return DASH if value is None else _number(value, self.decimals)

    def interval(self, scores: Scores | None) -> str:
        """Return its 95 % interval; empty where there is none."""
        interval = ((scores or {}).get("intervals") or {}).get(self.key)
        return "" if interval is None else " .. ".join(_number(limit, self.decimals) for limit in interval)

    def difference(self, scores: Scores | None, other: Scores | None) -> str:
        """Return by how much the other is higher; a dash where one is missing."""
        one, two = ((each or {}).get(self.key) for each in (scores, other))
        return DASH if one is None or two is None else _number(two - one, self.decimals, sign="+")


def _number(value: float, decimals: int, sign: str = "") -> str:
    """Return the value without a minus before zero."""
    return f"{value:{sign}z.{decimals}f}"


NMSE = Figure("nmse_db", "NMSE", "dB")
IN_BAND = Figure("in_band_error_db", "in-band error", "dB")
ACLR = (
    Figure("aclr_left_dbc", "ACLR left", "dBc"),
    Figure("aclr_right_dbc", "ACLR right", "dBc"),
    Figure("aclr_worse_dbc", "ACLR worse side", "dBc"),
)
EVM = Figure("evm_db", "EVM", "dB")
SPECTRAL_EVM = Figure("spectral_evm_db", "spectral EVM", "dB")
SPREAD = (Figure("am_am_spread_db", "AM/AM spread", "dB", 3), Figure("am_pm_spread_deg", "AM/PM spread", "deg"))
CURVE = (Figure("compression_db", "gain compression", "dB"), Figure("phase_shift_deg", "AM/PM shift", "deg"))
PAPR = Figure("papr_db", "PAPR of the output", "dB")
POWER = Figure("power_change_db", "output power over target", "dB")

OTHER_NMSE = (("nmse_opendpd_legacy_db", "NMSE, OpenDPD's legacy"), ("nmse_as_one_record_db", "NMSE, loops ignored"))

OF_A_PREDISTORTER = (NMSE, IN_BAND, *ACLR, EVM, SPECTRAL_EVM, *SPREAD, PAPR, POWER)
OF_A_MODEL = (NMSE, IN_BAND, EVM, SPECTRAL_EVM, Figure("power_change_db", "power over measured", "dB"))
OF_AN_AMPLIFIER = (*ACLR, IN_BAND, EVM, *SPREAD, *CURVE, PAPR)


def score_tables(report: Report) -> list[ScoreTable]:
    """Return the tables of a report: one or two for each split.

    Args:
        report: of `evaluation.assessment`, with `through` where another PA model judged too.

    Raises:
        KeyError: something is missing in it.
    """
    report = as_chosen(report)
    of_split = _of_predistorter if report.get("simulated") else _of_model
    return [table for split in report["splits"] for table in of_split(report, split)]


def _of_predistorter(report: Report, split: str) -> list[ScoreTable]:
    this, through = report["splits"][split]["linearity"], (report.get("through") or {}).get("splits", {}).get(split)
    none, gmp = (report["baselines"][name][split]["linearity"] for name in ("one_tap", "gmp"))
    wanted = report["splits"][split].get("wanted")
    columns: list[tuple[str, Any]] = [
        *([("wanted", lambda f: f.cell(wanted))] if wanted else []),
        ("none", lambda f: f.cell(none)),
        ("gmp", lambda f: f.cell(gmp)),
        ("this run", lambda f: f.cell(this)),
        (INTERVAL, lambda f: f.interval(this)),
    ]
    if through is not None:
        cross = through["linearity"]
        columns += [("cross-model", lambda f: f.cell(cross)), ("change", lambda f: f.difference(this, cross))]
    main = [name for name, _ in columns].index("this run") + 1
    table = _table(f"{split}, amplifier after the predistorter", OF_A_PREDISTORTER, columns, main=main)
    scored = [*(report["baselines"][name][split] for name in ("one_tap", "gmp")), report["splits"][split]]
    _add_cold_start(table, [*([{}] if wanted else []), *scored])
    return [table]


def _of_model(report: Report, split: str) -> list[ScoreTable]:
    score = report["splits"][split]
    this = score["linearity"]
    one_tap, gmp = (report["baselines"][name][split]["linearity"] for name in ("one_tap", "gmp"))
    error = _table(
        f"{split}, error against the measured output",
        OF_A_MODEL,
        [
            ("one gain", lambda f: f.cell(one_tap)),
            ("gmp", lambda f: f.cell(gmp)),
            ("this run", lambda f: f.cell(this)),
            (INTERVAL, lambda f: f.interval(this)),
        ],
        main=3,
    )
    _add_cold_start(error, [*(report["baselines"][name][split] for name in ("one_tap", "gmp")), score])
    for key, name in OTHER_NMSE:
        if score.get(key) is not None:
            error.rows.append([f"{name} [dB]", "", "", f"{score[key]:.2f}", ""])
    amplifier = (report.get("amplifier") or {}).get(split)
    if amplifier is None:
        return [error]
    measured, model, wanted = amplifier["measured"], amplifier["model"], amplifier.get("wanted")
    columns = [
        *([("input", lambda f: f.cell(wanted))] if wanted else []),
        ("measured", lambda f: f.cell(measured)),
        ("this run", lambda f: f.cell(model)),
        ("difference", lambda f: f.difference(measured, model)),
    ]
    return [
        error,
        _table(f"{split}, the amplifier as measured and as modelled", OF_AN_AMPLIFIER, columns, main=2 + bool(wanted)),
    ]


def _add_cold_start(table: ScoreTable, columns: Sequence[Scores]) -> None:
    """Add the NMSE from a cold start below the first row, where the scores have the past of the record."""
    cold = [cold_nmse_db(each) for each in columns]
    if cold[-1] is not None:
        cells = ["" if value is None else _number(value, 2) for value in cold]
        table.rows.insert(1, [f"NMSE, {COLD_START} [dB]", *cells, *[""] * (len(table.header) - 1 - len(cells))])


def _table(caption: str, figures: Sequence[Figure], columns: Sequence[tuple[str, Any]], *, main: int) -> ScoreTable:
    """Return a table; figures that no column has are left out."""
    rows = [[figure.title, *(cell(figure) for _, cell in columns)] for figure in figures]
    rows = [row for row in rows if any(cell not in ("", DASH) for cell in row[1:])]
    return ScoreTable(caption, ["", *(name for name, _ in columns)], rows, main)


def facts_of_scores(report: Report) -> list[tuple[str, str]]:
    """Return notes on the tables as (name, text): bands, windows, and why a score is missing."""
    report = as_chosen(report)
    first = next(iter(report["splits"].values()))["linearity"]
    notes = [("ACLR", _aclr(first) + _edges(report)), ("EVM", _evm(report)), ("spectral EVM", _spectral_evm(first))]
    notes += [("warning", text) for text in aclr_caveats(report)]
    if any(COLD in score for score in report["splits"].values()):
        notes.append((COLD_START, FROM_SILENCE))
    if method := first.get("interval_method"):  # none of an output that is silent or not finite
        notes.append(("interval", f"{method}, {INTERVAL_CAVEAT}"))
    if report.get("simulated"):
        notes += [("measured", _on_the_amplifier(report)), ("cross-model", _cross_model(report))]
    return [(name, text) for name, text in notes if text]


def aclr_caveats(report: Report) -> list[str]:
    """Return why ACLRs of a report measure something else than the amplifier, with the splits."""
    texts: dict[str, list[str]] = {}
    for place in (report["splits"], report.get("amplifier") or {}):
        for split, scores in place.items():
            if text := (scores.get("wanted") or {}).get("caveat"):
                texts.setdefault(text, []).append(split)
    return [f"{', '.join(splits)}: {text}" for text, splits in texts.items()]


def _on_the_amplifier(report: Report) -> str:
    """Return what a measurement may show: the error of the PA model, noise included, adds to the simulated one."""
    expected = []
    for split, score in report["splits"].items():
        powers = [10 ** (level / 10) for level in (score["nmse_db"], report["pa"]["nmse_db"][split])]
        expected.append(f"{split} {10 * math.log10(sum(powers)):.1f} dB")
    return (
        f"on the amplifier itself expect an NMSE of about {', '.join(expected)}: the error here plus that of the PA "
        "model, noise included, if it is as large after a predistorter; the ACLR cannot be estimated in this way"
    )


def _cross_model(report: Report) -> str:
    judge = (report.get("through") or {}).get("pa")
    if judge is None:
        return ""
    scores = ", ".join(f"{split} {value:.2f} dB" for split, value in judge["nmse_db"].items())
    text = f"through {judge['path']} (NMSE {scores}), not used in training: trust a score only as far as the two agree"
    if judge["same_kind"]:
        text += f"; both are of kind {judge['model']}, so shared errors are not visible: prefer another kind"
    return text


def _aclr(scores: Scores) -> str:
    convention = scores.get("aclr_convention")
    if convention is None:
        missing = scores["missing"]
        return f"none: {next((missing[name] for name in (SPACED, 'general-v1', 'all') if name in missing), '')}"
    found = scores["aclr"][convention]
    left, right, main = (band_text(found[name]) for name in ("left_hz", "right_hz", "main_hz"))
    against = "the whole band" if convention == "general-v1" else "the strongest carrier"
    others = [name for name in scores["aclr"] if name != convention]
    also = f"; --format json has {' and '.join(others)} too" if others else ""
    return f"{convention}: {left} and {right} over {against}, {main} MHz; {found['window']}{also}"


def _edges(report: Report) -> str:
    """Say so where the stated bandwidth cuts the signal."""
    band = report.get("bandwidth_hz") or {}
    if band.get("stated") == band.get("channel"):
        return ""
    return (
        f"; the stated {band['stated'] / 1e6:.6g} MHz cut the signal, so the channels begin at the edges of its "
        f"spectrum, +-{band['channel'] / 2e6:.6g} MHz"
    )


def band_text(edges: Sequence[float]) -> str:
    """Return the edges in MHz of a band in Hz."""
    return f"{edges[0] / 1e6:.6g}..{edges[1] / 1e6:.6g}"


def _evm(report: Report) -> str:
    """Return how the EVM was computed, or why there is none; one text per split where they differ."""
    texts = {split: _evm_of(score["linearity"]) for split, score in report["splits"].items()}
    different = set(texts.values())
    return different.pop() if len(different) == 1 else "; ".join(f"{split}: {text}" for split, text in texts.items())


def _evm_of(scores: Scores) -> str:
    count = scores.get("evm_symbols")
    if not count:
        return f"none: {scores['missing'].get('evm_db', scores['missing'].get('all', ''))}"
    how = "by FFT, one common gain, no equaliser"
    return f"{scores['evm_percent']:.3g} %, from {count} known OFDM symbols {how}"


def _spectral_evm(scores: Scores) -> str:
    if scores.get("spectral_evm_db") is None:
        return ""
    return "OpenDPD's ratio over FFT bins: no symbols are demodulated, so it is not comparable with an EVM"
