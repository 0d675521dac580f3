"""What `dpdrun auto` reaches: captures, minutes and budgets, through both PA models, next to a gmp.

    make auto-study           (or: python -m benchmarks.auto.run CAPTURE... --minutes 5 15 --parameters 250 500 1000)

Every case is one call of the command, in build/auto; an interrupted one continues when the study runs again. With
--by-hand the recipe of benchmarks/arena, written by hand for that many parameters, is trained once through the same PA
model, where that is missing; it takes as long as its iterations need. Scores are those of the test split, which nothing
is chosen by.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from dpdrun.run.scores import as_chosen

RESULTS = Path(__file__).parent / "results.json"
FOLDER = ROOT / "build" / "auto"
CAPTURES = ("opendpd/APA_200MHz", "opendpd/APA_200MHz_b", "opendpd/DPA_160MHz", "opendpd/DPA_200MHz",
            "synthetic/mild", "synthetic/hard")  # fmt: skip
SCORES = {"nmse_db": "NMSE", "in_band_error_db": "in band", "aclr_worse_dbc": "ACLR", "evm_db": "EVM"}
BY_HAND = ROOT / "benchmarks" / "arena" / "recipes"
HEADER = ["capture", "minutes", "parameters", "PA model / judge, NMSE [dB]", "in-band error before [dB]", "gmp",
          "by hand", "after", "after, judge", "ACLR before [dBc]", "gmp", "by hand", "after",
          "after, judge"]  # fmt: skip


def measure(results: ResultsFile, capture: str, minutes: float, parameters: int, *, also_by_hand: bool) -> None:
    """Run the command for one case, and train the recipe by hand, unless that is known."""
    key = f"{capture} {minutes:g} min {parameters}"
    folder = FOLDER / key.replace("/", "-").replace(" ", "-")
    missing = also_by_hand and "by_hand" not in (results.results[key]["scores"]["pa"] if key in results else ())
    if key not in results or (missing and not (folder / "pa").is_dir()):
        limit = ("--budget", f"parameters={parameters}", "--minutes", f"{minutes:g}")
        dpdrun("auto", capture, *limit, "-o", str(folder))
        results.add(key, result_of(json.loads((folder / "auto.json").read_text())))
    if missing:
        result = results.results[key]
        result["scores"]["pa"]["by_hand"] = by_hand(folder, capture, parameters)
        results.add(key, result)


def by_hand(folder: Path, capture: str, parameters: int) -> dict[str, float | None]:
    """Train the recipe that was written by hand for this many parameters through the PA model of a case; its scores."""
    run = folder / "by_hand"
    if not (run / "report.json").is_file():
        sets = ("--set", f"pa={folder / 'pa'}", "--set", f"data={{source: {capture}, align: off}}")
        dpdrun("train", str(BY_HAND / f"transformer-{parameters}.yaml"), *sets, "--run-dir", str(run))
    return _scores(as_chosen(json.loads((run / "report.json").read_text()))["splits"]["test"])


def dpdrun(*words: str) -> None:
    """Run a command of dpdrun."""
    subprocess.run([sys.executable, "-m", "dpdrun", *words], cwd=ROOT, check=True)


def result_of(content: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of auto.json."""
    own, judged = as_chosen(content["scores"]["own"]), as_chosen(content["scores"]["judged"])
    through = {"pa": own, "judge": {name: each["judge"] for name, each in judged.items()}}
    scores = {
        name: {
            "none": _scores(reports["dpd"]["baselines"]["one_tap"]["test"]),
            "gmp": _scores(reports["dpd_gmp"]["splits"]["test"]),
            "dpd": _scores(reports["dpd"]["splits"]["test"]),
        }
        for name, reports in through.items()
    }
    models = {
        name: {"kind": content["steps"][name]["kind"], "nmse_db": round(reports["dpd"]["pa"]["nmse_db"]["test"], 3)}
        for name, reports in through.items()
    }
    size = content["steps"]["dpd"]["parameters"]
    core_seconds = round(sum(trial["seconds"] for trial in content["trials"]), 1)
    return {"search_seconds": content["seconds"], "core_seconds": core_seconds, "parameters": size, "models": models,
            "scores": scores, "trials": len(content["trials"]), "machine": machine()}  # fmt: skip


def _scores(split: dict[str, Any]) -> dict[str, float | None]:
    found = {name: split["linearity"].get(name) for name in SCORES}
    return {name: None if value is None else round(value, 3) for name, value in found.items()}


def table(results: dict[str, Any]) -> str:
    """A row for each case."""
    rows = []
    for key, each in results.items():
        capture, minutes = key.split(" ")[:2]
        errors = " / ".join(f"{model['kind']} {model['nmse_db']:.2f}" for model in each["models"].values())
        own, judge = each["scores"]["pa"], each["scores"]["judge"]
        through = (own["none"], own["gmp"], own.get("by_hand"), own["dpd"], judge["dpd"])
        cells = ["" if value is None else f"{value[name]:.2f}" for name in ("in_band_error_db", "aclr_worse_dbc")
                 for value in through]  # fmt: skip
        rows.append([capture, minutes, f"{each['parameters']:,}", errors, *cells])
    return markdown(HEADER, rows)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="what dpdrun auto reaches")
    parser.add_argument("captures", nargs="*", default=CAPTURES)
    parser.add_argument("--minutes", nargs="+", type=float, default=[5, 15, 60])
    parser.add_argument("--parameters", nargs="+", type=int, default=[250, 500, 1000])
    parser.add_argument("--by-hand", action="store_true", help="also train the recipe by hand, where that is missing")
    parser.add_argument("--write-table", action="store_true", help="also into docs/results.md, between its markers")
    chosen = parser.parse_args()
    results = ResultsFile(RESULTS)
    for capture in chosen.captures:
        for minutes in chosen.minutes:
            for parameters in chosen.parameters:
                measure(results, capture, minutes, parameters, also_by_hand=chosen.by_hand)
    print(table(results.results))
    if chosen.write_table:
        write_table("auto", table(results.results))


if __name__ == "__main__":
    main()
