"""Is `dpdrun diagnose` right about other people's runs? `make public-logs` (a minute; with --tune one half alone).

Diagnoses every log of the corpus by the file, as a user would, and asks three other programs about the numbers that our
readers found in it; to be generous to them, any warning or error of theirs counts as having found whatever is wrong.
Results are in results.json, tables in docs/results.md. What a program that is not installed said in an earlier run is
kept; its counts are of the logs that it was asked about.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.pathbench.rivals import Rival, installed, quietly
from benchmarks.public_logs.corpus import PublicLog, unpacked
from benchmarks.public_logs.report import show, write
from dpdrun.diagnosis.diagnose import diagnose_any
from dpdrun.errors import DpdrunError
from dpdrun.rules.facts.run import RunFacts

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    """Diagnose all logs and write the tables; with --tune, show those of the tuning half alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tune", action="store_true", help="the tuning half alone; write nothing")
    only_tune = parser.parse_args().tune
    rivals, before = installed(), _alarms_before()
    with unpacked() as logs:
        results = [result_of(log, rivals) for log in logs if log.half == "tune" or not only_tune]
    for each in results:  # of programs that are not installed now
        each["alarms"] = before.get(each["name"], {}) | each["alarms"]
    if only_tune:
        show(results)
        return
    lines = ",\n".join(json.dumps(each) for each in results)
    RESULTS.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    write(results)


def _alarms_before() -> dict[str, dict[str, Any]]:
    """Return what other programs said of each log in the last run, by its name."""
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    return {each["name"]: each["alarms"] for each in known}


def result_of(log: PublicLog, rivals: dict[str, Rival]) -> dict[str, Any]:
    """Return what each program says of a log."""
    result: dict[str, Any] = {
        "half": log.half, "name": log.name, "source": log.source, "program": log.program, "label": log.label,
        "kinds": list(log.kinds),
    }  # fmt: skip
    try:
        diagnosis = diagnose_any(log.path)
    except DpdrunError as error:
        return result | {
            "verdict": "not read",
            "message": str(error).replace(str(log.path), log.path.name),
            "alarms": {},
        }
    findings = [[finding.code, finding.severity] for finding in diagnosis.findings]
    asked = {name: quietly(ask, _for_rivals(diagnosis.facts)) for name, ask in rivals.items()}
    return result | {"verdict": diagnosis.verdict, "findings": findings, "alarms": asked}


def _for_rivals(run: RunFacts) -> RunFacts:
    """Return the facts with the validation loss where `benchmarks.pathbench.rivals` takes it from, in its own unit."""
    steps, losses = next(iter(run.eval_losses.values()), (run.eval_loss_step, run.eval_loss))
    in_db = [10 * math.log10(loss) if 0 < loss < math.inf else loss for loss in losses]
    return replace(run, eval_step=list(steps), eval_nmse_db=in_db)


if __name__ == "__main__":
    main()
