"""Do our scores equal those of OpenDPD 2.4.2? Its own functions, from its wheel, on its own data.

    make golden            (or: python -m benchmarks.golden.run)

Every case of `signals` is scored by both sides in float64 and every number is compared. Where OpenDPD declines a score
(a record shorter than its segment), there is nothing to compare. The study fails if two differ by more than LIMIT_DB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common import ResultsFile, markdown, write_table
from benchmarks.golden import ours, theirs
from benchmarks.golden.ours import ARENA, GENERAL, LEGACY, SPECTRAL
from benchmarks.golden.signals import Case, cases

RESULTS = Path(__file__).parent / "results.json"
LIMIT_DB = 1e-6


def compared(case: Case) -> dict[str, dict[str, float]]:
    """Both values and their difference of every score that OpenDPD gives.

    Raises:
        SystemExit: we have no value for one of them.
    """
    opendpd, dpdrun = theirs.scores(case), ours.scores(case)
    if lacking := opendpd.keys() - dpdrun.keys():
        raise SystemExit(f"{case.name}: OpenDPD scores {', '.join(sorted(lacking))}, dpdrun does not")
    return {
        name: {"opendpd": value, "dpdrun": dpdrun[name], "difference_db": dpdrun[name] - value}
        for name, value in opendpd.items()
    }


def table(results: dict[str, Any]) -> str:
    """A row a case: the scores, which are the same on both sides, and the largest difference of any."""
    columns = {
        "NMSE": f"{SPECTRAL}/NMSE",
        "in-band error": f"{SPECTRAL}/IBE",
        "ACLR, spectral-v2": f"{SPECTRAL}/ACLR_AVG",
        "ACLR, legacy": f"{LEGACY}/ACLR_AVG",
        "ACPR right, general": f"{GENERAL}/ACPR_R",
        "spectral EVM": f"{LEGACY}/EVM",
        "EVM": f"{ARENA}/evm_db",
    }
    rows = []
    for case, scores in results.items():
        values = [f"{scores[name]['dpdrun']:.4f}" if name in scores else "" for name in columns.values()]
        rows.append([case, *values, str(len(scores)), f"{largest(scores):.0e}" if largest(scores) else "0"])
    return markdown(["pair [dB]", *columns, "scores", "largest difference"], rows)


def largest(scores: dict[str, dict[str, float]]) -> float:
    """Of the differences of a case, by magnitude [dB]."""
    return max(abs(score["difference_db"]) for score in scores.values())


def main() -> None:
    """Score every case, keep both values, write the table."""
    results = ResultsFile(RESULTS)
    with theirs.unpacked() as wheel:
        for case in cases(wheel):
            results.add(case.name, compared(case))
            print(f"{case.name}: {largest(results.results[case.name]):.1e} dB", flush=True)
    write_table("golden", table(results.results))
    off = {name: largest(scores) for name, scores in results.results.items() if not largest(scores) <= LIMIT_DB}
    if off:
        raise SystemExit(f"more than {LIMIT_DB:g} dB apart: {off}")


if __name__ == "__main__":
    main()
