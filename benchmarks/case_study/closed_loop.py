"""The closed loop on the user's own failure: diagnose, fix, train again, keep what helps; nobody chooses.

    make closed-loop           (or: python -m benchmarks.case_study.closed_loop)

Begins with recipes/case_study/00_as_it_was.yaml, by the commands that a user types, and goes on from every repair that
was kept until nothing is left to fix. Two seeds; validation decides. Resumable: the runs stay in runs/closed_loop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, THREADS, ResultsFile, markdown, write_table

HERE = Path(__file__).parent
FOLDER = ROOT / "runs" / "closed_loop"
START = ROOT / "recipes" / "case_study" / "00_as_it_was.yaml"
MOST_ROUNDS = 12
SEEDS = 2


def dpdrun(*arguments: str) -> int:
    """Run a command as a user would; returns its exit code."""
    print("dpdrun", *arguments, flush=True)
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS)}
    return subprocess.run(
        [sys.executable, "-m", "dpdrun", *arguments], cwd=ROOT, env=environment, check=False
    ).returncode


def scores(run: Path) -> dict[str, float]:
    """NMSE of a finished run by split [dB]."""
    report = json.loads((run / "report.json").read_text())
    return {name: report["splits"][name]["nmse_db"] for name in ("val", "test")}


def rounds() -> list[dict[str, Any]]:
    """Repair until nothing is left: what every round changed and brought."""
    run = FOLDER / "start"
    if not (run / "report.json").is_file() and dpdrun("train", str(START.relative_to(ROOT)), "--run-dir", str(run)):
        raise SystemExit("the first run failed")
    done: list[dict[str, Any]] = [{"codes": [], "kept": True, **scores(run)}]
    while len(done) <= MOST_ROUNDS:
        number = len(list((run / "repairs").glob("*/comparison.json"))) + 1
        if dpdrun("diagnose", str(run), "--fix", "--rerun", "--seeds", str(SEEDS)):
            break  # nothing left to fix, which it says
        attempt = run / "repairs" / str(number)
        outcome = json.loads((attempt / "comparison.json").read_text())
        entry = {key: outcome[key] for key in ("codes", "kept", "gain_db", "spread_db")}
        if outcome["kept"]:
            run = attempt / f"after-seed{outcome['seeds'][0]}"
            entry |= scores(run)
        done.append(entry)
    return done


def table(done: list[dict[str, Any]]) -> str:
    """One row a round."""
    rows = []
    for number, entry in enumerate(done):
        gain = "" if not number else f"{-entry['gain_db']:+.2f} ({entry['spread_db']:.2f})"
        held = "" if not number else "kept" if entry["kept"] else "rejected"
        nmse = [f"{entry[split]:.2f}" if split in entry else "" for split in ("val", "test")]
        rows.append([str(number), ", ".join(entry["codes"]) or "as it was", gain, held, *nmse])
    header = [
        "round",
        "changed by",
        "change of NMSE, 2 seeds (standard deviation) [dB]",
        "",
        "validation [dB]",
        "test [dB]",
    ]
    return markdown(header, rows)


def main() -> None:
    """Go round, then write the table."""
    results = ResultsFile(HERE / "closed_loop.json")
    done = rounds()
    results.results = {}
    for number, entry in enumerate(done):
        results.add(f"{number:02}", entry)
    write_table("closed-loop", table(done))


if __name__ == "__main__":
    main()
