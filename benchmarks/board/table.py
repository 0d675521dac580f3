"""The two tables of the board: PA models, and predistorters through each PA model that judges them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from statistics import mean
from typing import Any

from benchmarks.board.entries import Entry
from benchmarks.board.score import ARENA
from benchmarks.common import markdown

Result = Mapping[str, Any]
Score = Callable[[Result], float | None]
Row = tuple[int, list[str]]  # parameters, by which a table is sorted, and the cells
PA_HEADER = ["PA model", "parameters", "MAC/sample", "look-ahead", "training [min]", "seeds", "val [dB]", "test [dB]",
             "95 % interval", "test, as published [dB]"]  # fmt: skip
DPD_HEADER = ["predistorter", "parameters", "MAC/sample", "operations", "look-ahead", "training [min]", "seeds",
              "judge", "NMSE [dB]", "{error} [dB]", "95 % interval", "ACLR, worse side [dB]"]  # fmt: skip
NONE = "no predistorter"


def pa_tables(results: Mapping[str, Result], entries: Iterable[Entry], published: Iterable[Result]) -> str:
    """A table for each capture, a row for each PA model and for what others published, by parameters."""
    tables: dict[str, list[Row]] = defaultdict(list)
    for capture, name, found, runs in _rows(results, entries, "pa"):
        tables[capture].append((found[0]["parameters"], [
            name, *_size(found[0], runs), ranged(found, lambda each: each["val_nmse_db"]),
            f"**{ranged(found, lambda each: each['test_nmse_db'])}**",
            _interval([each["test_interval_db"] for each in found]),
            ranged(found, lambda each: each["as_published_db"]),
        ]))  # fmt: skip
    for each in published:
        if each["task"] == "pa" and each["capture"] in tables:
            cells = [f"*{each['name']}*", f"{each['parameters']:,}", *[""] * 7, f"{each['nmse_db']:.2f}"]
            tables[each["capture"]].append((each["parameters"], cells))
    return _page({capture: (PA_HEADER, rows) for capture, rows in tables.items()})


def dpd_tables(results: Mapping[str, Result], entries: Iterable[Entry], published: Iterable[Result]) -> str:
    """A table for each capture: a row for each predistorter and judge, and for what others published.

    Scores are OpenDPD's legacy ones on captures where those were published.
    """
    published = list(published)
    legacy = {each["capture"] for each in published if each.get("convention") == "legacy"}
    tables: dict[str, list[Row]] = defaultdict(list)
    for capture, name, found, runs in _rows(results, entries, "dpd"):
        judges = found[0]["judges"]
        if capture not in tables:
            tables[capture] += [
                (
                    0,
                    [
                        NONE if not at else "",
                        *[""] * 6,
                        _judge(judge, one, {}),
                        *_cells([one["without"]], capture in legacy),
                    ],
                )
                for at, (judge, one) in enumerate(judges.items())
            ]
        size = _size(found[0], runs)
        size.insert(2, f"{found[0]['operations']:,}" if found[0].get("operations") else "")
        for at, (judge, one) in enumerate(judges.items()):
            scores = _cells([each["judges"][judge]["test"] for each in found], capture in legacy)
            cells = [*([name, *size] if not at else [""] * 7), _judge(judge, one, one), *scores]
            tables[capture].append((found[0]["parameters"], cells))
    for each in published:
        if each["task"] == "dpd" and each["capture"] in tables:
            scores = [f"{each[name]:.2f}" if name in each else "" for name in ("nmse_db", "evm_db", "aclr_worse_db")]
            scores.insert(2, "")
            operations = f"{each['operations']:,}" if each.get("operations") else ""
            cells = [f"*{each['name']}*", f"{each['parameters']:,}", "", operations, "", "", "", each["judge"], *scores]
            tables[each["capture"]].append((each["parameters"], cells))
    headers = {
        capture: [each.format(error="EVM" if capture in legacy else "EVM or in-band error") for each in DPD_HEADER]
        for capture in tables
    }
    return _page({capture: (headers[capture], rows) for capture, rows in tables.items()})


def ranged(found: list[Result], score: Score) -> str:
    """Return the mean of a score over the seeds, and its range where they differ; empty where one has none."""
    values = [value for value in map(score, found) if value is not None]
    if len(values) < len(found):
        return ""
    low, high = (f"{end(values):.2f}" for end in (min, max))
    return f"{mean(values):.2f}" + ("" if low == high else f" ({low} to {high})")


def _page(tables: Mapping[str, tuple[list[str], list[Row]]]) -> str:
    texts = []
    for capture in sorted(tables):
        header, rows = tables[capture]
        texts.append(
            f"`{capture}`:\n\n{markdown(header, [cells for _, cells in sorted(rows, key=lambda row: row[0])])}"
        )
    return "\n\n".join(texts)


def _rows(
    results: Mapping[str, Result], entries: Iterable[Entry], task: str
) -> Iterator[tuple[str, str, list[Result], list[Entry]]]:
    """Yield capture, name, results and entries of the seeds of each row."""
    grouped: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.name in results and results[entry.name]["task"] == task:
            grouped[results[entry.name]["capture"], entry.row].append(entry)
    for (capture, row), runs in grouped.items():
        yield capture, row, [results[each.name] for each in runs], runs


def _size(result: Result, runs: list[Entry]) -> list[str]:
    """Return the cells from the parameters to the seeds."""
    minutes = [each.about["minutes"] for each in runs if "minutes" in each.about]
    low, high = (f"{end(minutes):.1f}" if minutes else "" for end in (min, max))
    ahead = result["lookahead"]
    return [
        f"{result['parameters']:,}", f"{result['macs_per_sample']:,}", "record" if ahead is None else f"{ahead}",
        low if low == high else f"{low} to {high}", f"{len(runs)}",
    ]  # fmt: skip


def _judge(name: str, one: Result, judged: Result) -> str:
    through = ", trained through it" if judged.get("trained_through") else ""
    return name if name == ARENA else f"{name}, {one['pa_test_nmse_db']:.2f} dB{through}"


def _cells(scores: list[Result], legacy: bool) -> list[str]:
    """NMSE, error in the band, its interval, ACLR: the Arena's EVM, in-band error of ours, or OpenDPD's legacy ones."""
    if legacy:
        columns: list[Score] = [
            lambda each: each["legacy"][0], lambda each: each["legacy"][1], lambda each: max(each["legacy"][2:]),
        ]  # fmt: skip
    else:
        error = "in_band_db" if "in_band_db" in scores[0] else "evm_db"
        columns = [lambda each: each["nmse_db"], lambda each: each[error], lambda each: each["aclr_worse_db"]]
    nmse, middle, aclr = (ranged(scores, column) for column in columns)
    intervals = [None if legacy else each.get("in_band_interval_db") for each in scores]
    return [nmse, f"**{middle}**", _interval(intervals), f"**{aclr}**"]


def _interval(intervals: list[list[float] | None]) -> str:
    """Return the mean of the seeds' intervals; empty where one has none."""
    known = [each for each in intervals if each is not None]
    if len(known) < len(intervals):
        return ""
    low, high = (mean(each[end] for each in known) for end in range(2))
    return f"{low:.2f} to {high:.2f}"
