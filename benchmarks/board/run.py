"""Score the entries of the board and write its tables into docs/results.md.

    make board              (or: build/arena-env/bin/python -m benchmarks.board.run [--again])

An entry is scored where it, or a PA model that judges it, is not what results.json was made from; `--again` scores all.
Captures that are not at hand are left out with a message, and keep the scores that they have.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.arena.judge import BUDGETS
from benchmarks.board.entries import BOARD, STUDIES, Entry, found_in
from benchmarks.board.score import ARENA, ARENA_CAPTURE, ARENA_DATA, scored
from benchmarks.board.table import dpd_tables, pa_tables
from benchmarks.common import ResultsFile, write_table
from dpdrun.errors import DataError, DpdrunError

if TYPE_CHECKING:
    from benchmarks.arena.protocol import Arena

PUBLISHED, JUDGES, RESULTS = "published.json", "judges.json", "results.json"


def judges_of(board: Path, entry: Entry) -> dict[str, Entry]:
    """Return the PA models that a predistorter is scored through, by name; none of a PA model."""
    recipe = entry.loaded.recipe
    if recipe.task == "pa":
        return {}
    names: list[str] = json.loads((board / JUDGES).read_text()).get(recipe.data.source, [])
    return {name: Entry(board / "entries" / name) for name in names}


def is_current(result: dict[str, Any] | None, entry: Entry, judges: dict[str, Entry]) -> bool:
    """Whether a result is of these weights, through these judges."""
    if result is None or result["digest"] != entry.digest():
        return False
    found = result.get("judges", {})
    arena = entry.loaded.recipe.data == ARENA_DATA and entry.loaded.recipe.task == "dpd"
    names = [*([ARENA] if arena else []), *judges]
    return names == list(found) and all(found[name]["digest"] == judge.digest() for name, judge in judges.items())


def score_all(entries: list[Entry], board: Path, arena: Arena | None = None, *, again: bool = False) -> ResultsFile:
    """Score what is not in the results yet, and drop what is no entry any more.

    Raises:
        RecipeError, RunError, PluginError: of an entry that cannot be read.
    """
    results = ResultsFile(board / RESULTS)
    results.keep({each.name for each in entries})
    for entry in entries:
        judges = judges_of(board, entry)
        if not again and is_current(results.results.get(entry.name), entry, judges):
            continue
        try:
            found = scored(entry, judges, arena)
        except DataError as error:
            print(f"{entry.name}: left out: {error}", file=sys.stderr)
            continue
        results.add(entry.name, found)
        print(f"{entry.name}: {_shown(found)}", flush=True)
    return results


def _shown(found: dict[str, Any]) -> str:
    if found["task"] == "pa":
        return f"test {found['test_nmse_db']:.2f} dB"
    return ", ".join(f"{name} {each['test']['aclr_worse_db']:.2f} dB" for name, each in found["judges"].items())


def published(board: Path, arena: Arena) -> list[dict[str, Any]]:
    """Return what others published: published.json, and the best rows of each budget in the Arena's own table."""
    rows: list[dict[str, Any]] = json.loads((board / PUBLISHED).read_text())
    for budget in BUDGETS:
        found = arena.rows(budget)
        for name in dict.fromkeys(min(found, key=lambda name, i=i: found[name][i]) for i in range(2)):
            entry = arena.published(name, budget)
            rows.append({"capture": ARENA_CAPTURE, "task": "dpd", "name": f"{name}, published", "judge": ARENA,
                         "parameters": entry["parameters"], "operations": entry["ops"], "evm_db": found[name][0],
                         "aclr_worse_db": found[name][1]})  # fmt: skip
    return rows


def main() -> None:
    """Score what is new, then write the tables."""
    parser = argparse.ArgumentParser(description="score the entries of the board")
    parser.add_argument("--again", action="store_true", help="score all of them, also those that have scores")
    asked = parser.parse_args()
    try:
        from benchmarks.arena.protocol import Arena
    except ModuleNotFoundError as error:
        sys.exit(f"{error}: this needs the environment of the Arena's judge; run `make board`")
    arena = Arena()
    entries = found_in([*STUDIES, BOARD / "entries"])
    try:
        results = score_all(entries, BOARD, arena, again=asked.again)
    except DpdrunError as error:
        sys.exit(str(error))
    others = published(BOARD, arena)
    write_table("board-pa", pa_tables(results.results, entries, others))
    write_table("board-dpd", dpd_tables(results.results, entries, others))


if __name__ == "__main__":
    main()
