"""The report of a predistorter on the terminal: the amplifier's output with and without it, and how it was simulated.

The first line under the table names the PA model and its NMSE: a score through a model is worth no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from dpdrun.dpd.objective import POWER_GATE_DB
from dpdrun.report.layout import NumberTables
from dpdrun.report.scores import aclr_caveats
from dpdrun.run.scores import COLD_START, OBJECTIVE_WITH_PAST, cold_nmse_db

FIGURES = (
    ("nmse_db", "NMSE"),
    ("in_band_db", "in-band error"),
    ("aclr_left_db", "ACLR left"),
    ("aclr_right_db", "ACLR right"),
    ("aclr_worse_db", "ACLR worse side"),
)


def score_table(report: Mapping[str, Any]) -> NumberTables:
    """Return the scores of each split with this predistorter, a least-squares gmp, and none at equal power.

    Args:
        report: from `run.scores.as_chosen`.
    """
    splits: Mapping[str, Any] = report["splits"]
    rows = list[tuple[list[str | Text], str]]()
    for key, name in FIGURES:
        cells: list[str | Text] = [name]
        for split, score in splits.items():
            rivals = (report["baselines"][rival][split] for rival in ("one_tap", "gmp"))
            cells += [*(_db(rival[key]) for rival in rivals), Text(_db(score[key]), "bold")]
        rows.append((cells, ""))
        if key == "nmse_db":
            rows += _cold_start(report)
    return NumberTables(["dB", *(f"{split}\n{who}" for split in splits for who in ("none", "gmp", "this"))], rows)


def _cold_start(report: Mapping[str, Any]) -> list[tuple[list[str | Text], str]]:
    """Return the row of the NMSE from a cold start, where that is not the one above it."""
    cold = [
        cold_nmse_db(scores) for split in report["splits"]
        for scores in (*(report["baselines"][rival][split] for rival in ("one_tap", "gmp")), report["splits"][split])
    ]  # fmt: skip
    if all(value is None for value in cold):
        return []
    return [([f"NMSE, {COLD_START}", *(_db(value) for value in cold)], "dim")]


def facts(report: Mapping[str, Any]) -> list[tuple[str, Text]]:
    """Return notes on the scores, as (title, text)."""
    return [
        ("PA model", _amplifier(report["pa"])),
        ("target", Text(f"gain {report['gain']['value']:.4g} ({report['gain']['method']}), {_limit(report)}")),
        ("power", _power(report["splits"])),
        ("none", Text("no predistortion: the PA model's input scaled by one complex factor to the target's power")),
        ("gmp", Text("of default size, by least squares (indirect learning), with the same limit")),
        ("learning", Text(_learning(report))),
    ]


def caveats(report: Mapping[str, Any]) -> list[tuple[str, Text]]:
    """Return warnings about the scores, as (title, text)."""
    return [("warning", Text(text, "yellow")) for text in aclr_caveats(report)]


def objective(line: Mapping[str, Any]) -> str:
    """Return the objective that selects the checkpoint, and the output power, of a validation line of metrics.jsonl."""
    shown = line.get(OBJECTIVE_WITH_PAST, line["objective_db"])
    return f"objective {shown:7.2f} dB  power {line['power_db']:+.2f} dB"


def _amplifier(pa: Mapping[str, Any]) -> Text:
    scores = ", ".join(f"{split} {value:.2f} dB" for split, value in pa["nmse_db"].items())
    text = Text(f"{pa['path']}: NMSE {scores}; these scores are simulated through it")
    if pa["weak"]:
        text.append(f"; WORSE THAN A GMP ({', '.join(_db(v) for v in pa['gmp_nmse_db'].values())} dB)", "red")
    return text


def _limit(report: Mapping[str, Any]) -> str:
    peaks = ", ".join(f"{split} {score['peak']:.4g}" for split, score in report["splits"].items())
    limit = report["peak_limit"]
    limited = f"peak limit {limit:.4g}" if isinstance(limit, int | float) and limit < float("inf") else "no peak limit"
    return f"{limited}; peak reached {peaks}"


def _power(splits: Mapping[str, Any]) -> Text:
    parts = [
        f"{split} {score['power_db']:+.2f} dB, PAPR of the input {score['papr_x_db']:.1f} -> {score['papr_db']:.1f} dB"
        for split, score in splits.items()
    ]
    text = Text(f"output relative to the target: {'; '.join(parts)}")
    if not all(score["holds_power"] for score in splits.values()):
        text.append(
            f"; OUTSIDE +-{POWER_GATE_DB} dB: choose a gain that this PA can reach (dpd.gain, dpd.peak_limit)", "red"
        )
    return text


def _learning(report: Mapping[str, Any]) -> str:
    how = f"{report['learning']}; selected by {report['selected_by']}"
    if report["without_spectrum"]:
        how += f" ({report['without_spectrum']})"
    for part, found in (report.get("ilc") or {}).items():
        how += f"; ilc {part}: {found['nmse_db']:.2f} dB after {found['iterations']} iterations"
    return how


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
