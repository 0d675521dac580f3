"""How many logs EV205 would be right about with limits that were chosen without them (ten minutes of a core).

    python -m benchmarks.public_logs.leave_out

Each blind scoring is left out in turn: the limits are chosen on all other logs of the tuning half and counted on it.
All other findings are as results.json has them. That says how far the choice of these limits carries, and nothing about
the form of the rules, which were made in view of all of these logs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.public_logs.corpus import unpacked
from benchmarks.public_logs.report import alarms, is_named
from benchmarks.public_logs.run import result_of
from dpdrun.diagnosis.diagnose import diagnose_any
from dpdrun.errors import DpdrunError
from dpdrun.rules.engine import Finding
from dpdrun.rules.facts.run import RunFacts
from dpdrun.rules.run import overfitting

GRID: dict[str, tuple[float, ...]] = {
    "RISE": (0.03, 0.04, 0.06),
    "RISE_OF_FEW": (0.04, 0.06, 0.08),
    "SURE": (2.0, 2.5, 3.0),
    "MUCH_UNDONE": (0.15, 0.25, 0.35),
    "OVER_NOISE": (0.7, 0.9, 1.2),
}
PRICE = 5.0  # sick logs found that one false alarm has to bring


@dataclass(frozen=True)
class Judged:
    """A log, which scoring it is of, and what diagnose says of it without EV205."""

    scoring: str
    result: Mapping[str, Any]
    facts: RunFacts


def main() -> None:
    """Print the limits that each choice gives, and what they are right about in the scoring that was left out."""
    logs = list(_judged())
    settings = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    counts = [_counts(logs, setting) for setting in settings]
    found, wrong = 0, 0
    for left_out in sorted({each.scoring for each in logs}):
        best = max(range(len(settings)), key=lambda k, left_out=left_out: _worth(counts[k], left_out))
        right, alarmed = counts[best][left_out]
        found, wrong = found + right, wrong + alarmed
        print(f"{left_out}: {settings[best]}; {right} sick found, {alarmed} healthy alarmed")
    sick, healthy = (sum(each.result["label"] == label for each in logs) for label in ("sick", "healthy"))
    print(f"in all: {found} of {sick} sick found, {wrong} of {healthy} healthy alarmed ({len(settings)} settings)")


def _judged() -> Iterable[Judged]:
    with unpacked() as logs:
        for log in logs:
            if log.half != "tune":
                continue
            scoring = json.loads((log.path.parent / "label.json").read_text(encoding="utf-8")).get(
                "scored_blind", "none"
            )
            result = result_of(log, {})
            result["findings"] = [each for each in result.get("findings", []) if each[0] != "EV205"]
            try:
                facts = diagnose_any(log.path).facts
            except DpdrunError:
                facts = RunFacts()
            yield Judged(scoring if isinstance(scoring, str) else scoring[-1], result, facts)


def _counts(logs: Iterable[Judged], setting: Mapping[str, float]) -> dict[str, tuple[int, int]]:
    """Return the sick logs found and the healthy ones alarmed of each scoring."""
    for name, value in setting.items():
        setattr(overfitting, name, value)
    counts: dict[str, tuple[int, int]] = {}
    for each in logs:
        verdict = overfitting.overfits_in_few_scores(each.facts) if each.facts.scorings and each.facts.loss else None
        said = [["EV205", verdict.severity]] if isinstance(verdict, Finding) else []
        result = {**each.result, "findings": [*each.result["findings"], *said]}
        right, alarmed = counts.get(each.scoring, (0, 0))
        right += result["label"] == "sick" and is_named(result)
        alarmed += result["label"] == "healthy" and bool(alarms(result))
        counts[each.scoring] = (right, alarmed)
    return counts


def _worth(counts: Mapping[str, tuple[int, int]], left_out: str) -> float:
    others = [count for scoring, count in counts.items() if scoring != left_out]
    return sum(right - PRICE * alarmed for right, alarmed in others)


if __name__ == "__main__":
    main()
