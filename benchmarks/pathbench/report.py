"""The tables: recall by fault, false alarms, rivals, what the advice brings; into docs/results.md when all is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.common import RESULTS_PAGE, markdown, write_table
from benchmarks.pathbench.faults import FAULTS
from benchmarks.pathbench.repairs import JOBS as REPAIRED_CELLS
from benchmarks.pathbench.repairs import SEEDS as REPAIR_SEEDS
from benchmarks.pathbench.rivals import Rival, installed, quietly
from benchmarks.pathbench.score import (
    COSTS_DB,
    LOOKS,
    SILENCE_DB,
    TIMES,
    Case,
    Judged,
    Kept,
    cases,
    judged,
    median_or_none,
    wilson,
)
from benchmarks.pathbench.work import all_trials

NAMES = {"tune": "tuned on", "score": "held out"}
TABLES = ("pathbench-summary", "pathbench-faults", "pathbench-rivals", "pathbench-repairs")

SECTION = f"""
## Faults found

`make pathbench` puts known faults into small runs, one mutation of the recipe, the data or the training code each,
and trains healthy runs of many kinds beside them (`benchmarks/pathbench/faults.py`, `healthy.py`). Thresholds of
rules were set on the part "tuned on": synthetic amplifiers first, then APA_200MHz and DPA_200MHz, which had been held
out until the rules met them (94.5 % of the faults named, 92.6 to 95.9, with alarms on 3.1 % of the healthy runs).
"Held out" are APA_200MHz_b, DPA_160MHz and networks of other sizes, scored once. APA_200MHz_b has the input of
APA_200MHz at another operating point (its output differs by -24 dB), so it is a new output, not a new waveform. The
rates of the learning-rate faults are multiples of the rate that our sweeps give, which LR204 and the linter know.

A fault counts as revealed when the run is {COSTS_DB} dB worse than its healthy twin of the same seed, or when plain
numbers of its log lie outside those of all healthy twins (`trace.py`); the rules have no say in that. It is named
when the finished run has a right finding as a warning or an error, or as an info where it did no harm. An alarm is a
warning or an error on a healthy run; "live" asks every {LOOKS} steps and counts a run that ever had one. Intervals
are Wilson's, 95 %.

<!-- begin pathbench-summary -->
<!-- end pathbench-summary -->

By fault, held out. The lead is the number of steps from the first live finding to the step from which
the loss is {TIMES:g} times that of the twin.

<!-- begin pathbench-faults -->
<!-- end pathbench-faults -->

Other programs on the same logs, held out. Any warning or error of theirs, of any kind, counts as having found any
fault; so does any of ours in the second row.

<!-- begin pathbench-rivals -->
<!-- end pathbench-rivals -->

What following the advice brings, held out. Where the findings have patches: those that `dpdrun diagnose --fix` makes,
trained with the same seed. A mistake in the data or the training code no recipe can reach; where a right finding says
so in words, following it is to mend the mistake, and the gain is that of the healthy twin ("mended"). A mistake that is
missed, or taken for one of the recipe, stays in, and what the patches bring in spite of it is counted. "Better": by any
amount; a run without advice is not.

<!-- begin pathbench-repairs -->
<!-- end pathbench-repairs -->
"""


def share(hits: int, trials: int) -> str:
    """`97.5 % (93.0 to 99.2) of 120`."""
    low, high = wilson(hits, trials)
    return f"{hits / trials:.1%} ({low:.1%} to {high:.1%}) of {trials}".replace("%", " %") if trials else "none yet"


def summary_table(found: Sequence[Case], healthy: Sequence[Judged]) -> str:
    """Recall and false alarms, a column a part."""
    rows: list[list[str]] = []

    def row(title: str, value: Callable[[list[Case], list[Judged]], str]) -> None:
        parts = [([c for c in found if c.trial.part == p], [h for h in healthy if h.part == p]) for p in NAMES]
        rows.append([title, *(value(*part) for part in parts)])

    def recall(wanted: Callable[[Case], bool]) -> Callable[[list[Case], list[Judged]], str]:
        return lambda mine, _: share(sum(c.is_named for c in mine if wanted(c)), sum(map(wanted, mine)))

    def alarms(asked: Callable[[Judged], bool]) -> Callable[[list[Case], list[Judged]], str]:
        return lambda _, runs: share(sum(map(asked, runs)), len(runs))

    row("detected, of faults with a cost or trace", recall(lambda c: c.is_revealed))
    row(f"detected, of faults that cost {COSTS_DB} dB or more", recall(lambda c: c.is_harmful))
    row("faulty runs without cost or trace", lambda mine, _: str(sum(not c.is_revealed for c in mine)))
    row("healthy runs with an error", alarms(lambda run: run.reaches("error")))
    row("healthy runs with a warning or an error", alarms(lambda run: run.reaches("warning")))
    row("the same with an error, live", alarms(lambda run: run.reaches_live("error")))
    row("the same with a warning or an error, live", alarms(lambda run: run.reaches_live("warning")))
    row("codes of these alarms", lambda _, runs: _causes(runs))
    return markdown(["", *NAMES.values()], rows)


def _causes(runs: Sequence[Judged]) -> str:
    counted = Counter(code for run in runs for code in {f.code for f in run.findings if f.severity != "info"})
    return ", ".join(f"{code} {count}" for code, count in counted.most_common()) or "none"


def fault_table(found: Sequence[Case]) -> str:
    """One row a fault."""
    rows = []
    for fault in FAULTS:
        mine = [case for case in found if case.trial.variant == fault.name]
        revealed = [case for case in mine if case.is_revealed]
        if not mine:
            continue
        cost, lead = (median_or_none(values) for values in ((c.cost_db for c in mine), (c.lead for c in revealed)))
        named = f"{sum(case.is_named for case in revealed)} of {len(revealed)}" if revealed else "harmless"
        codes = Counter(f.code for case in revealed for f in case.trial.findings if case.names_it(f))
        rows.append([
            f"`{fault.name}`", str(len(mine)), f"{cost:+.1f}", named,
            ", ".join(code for code, _ in codes.most_common(3)), "" if lead is None else f"{lead:+.0f}",
        ])  # fmt: skip
    return markdown(["fault", "runs", "median cost [dB]", "named", "by", "lead [steps]"], rows)


def rival_table(found: Sequence[Case], healthy: Sequence[Judged], rivals: Mapping[str, Rival]) -> str:
    """One row a program."""
    faulty = [case for case in found if case.is_revealed]
    rows = [
        [
            "**dpdrun**, a right finding", share(sum(case.is_named for case in faulty), len(faulty)),
            *_alarm_cells([[(f.code, f.severity) for f in run.findings] for run in healthy]),
        ],
        [
            "**dpdrun**, any finding", share(sum(case.trial.reaches("warning") for case in faulty), len(faulty)),
            *_alarm_cells([[(f.code, f.severity) for f in run.findings] for run in healthy]),
        ],
    ]  # fmt: skip
    for name, ask in rivals.items():
        hits = sum(bool(quietly(ask, case.trial.facts)) for case in faulty)
        rows.append([name, share(hits, len(faulty)), *_alarm_cells([quietly(ask, run.facts) for run in healthy])])
    return markdown(["", "faults found", "healthy runs with an error", "with a warning or an error"], rows)


def _alarm_cells(said: Sequence[Sequence[tuple[str, str]]]) -> list[str]:
    loud = [{severity for _, severity in alarms} for alarms in said]
    errors, any_level = (sum(bool(each & levels) for each in loud) for levels in ({"error"}, {"error", "warning"}))
    return [share(errors, len(said)), share(any_level, len(said))]


def repair_table(repairs: Mapping[str, Any], found: Sequence[Case]) -> str:
    """One row a fault: what following the advice gained, where the fault had cost something."""
    harmful = {case.trial.name: case for case in found if case.is_harmful and case.trial.name in repairs}
    followed = {name: _followed(repairs[name], case) for name, case in harmful.items()}
    rows = []
    for fault in FAULTS:  # those without a harmful run have no row
        names = [name for name, case in harmful.items() if case.trial.variant == fault.name]
        if names:
            rows.append(_repair_row(f"`{fault.name}`", [followed[name] for name in names]))
    rows.append(_repair_row("**all**", list(followed.values()), total=True))
    return markdown(["fault", "harmful runs", "better after it", "median gain [dB]", "by"], rows)


def _followed(result: Mapping[str, Any], case: Case) -> tuple[float | None, list[str]]:
    """Gain of following the advice for one run [dB], None without advice; and what was followed."""
    if "said" in result:
        return case.cost_db, [f"mended ({code})" for code in result["said"]]
    return gain_db(result), list(result.get("patches", {}))


def _repair_row(title: str, followed: Sequence[tuple[float | None, list[str]]], *, total: bool = False) -> list[str]:
    better = sum(gain is not None and gain > 0 for gain, _ in followed)
    middle = median_or_none(gain for gain, _ in followed)
    sources = Counter(source for _, each in followed for source in each)
    return [
        title,
        str(len(followed)),
        share(better, len(followed)) if total else f"{better} of {len(followed)}",
        "no advice" if middle is None else f"{middle:+.1f}",
        "" if total else ", ".join(source for source, _ in sources.most_common(3)),
    ]


def gain_db(result: Mapping[str, Any]) -> float | None:
    """What a repair gained [dB], positive = better; None where there was nothing to patch."""
    if "patches" not in result:
        return None
    before, after = (
        SILENCE_DB if result[key] is None else min(result[key], SILENCE_DB) for key in ("before_db", "after_db")
    )
    return float(before - after)


def write(results: Mapping[str, Any], repairs: Mapping[str, Any], logs: Kept) -> None:
    """All tables: into docs/results.md when every trial is measured, else on the screen."""
    trials = judged(results, logs)
    found, healthy = cases(trials), [each for each in trials if not each.is_faulty]
    held, held_healthy = [c for c in found if c.trial.part == "score"], [h for h in healthy if h.part == "score"]
    tables = (
        summary_table(found, healthy),
        fault_table(held),
        rival_table(held, held_healthy, installed()),
        repair_table(repairs, found),
    )
    missing = len(set(all_trials()) - set(results))
    wanted = sum(name.split("/")[0] in REPAIRED_CELLS for name in all_trials() if _is_repaired(name))
    if missing or len(repairs) < wanted:
        print(f"{missing} trials and {wanted - len(repairs)} repairs are missing; docs/results.md stays as it is")
        print("\n\n".join(tables))
        return
    page = RESULTS_PAGE.read_text()
    if f"<!-- begin {TABLES[0]} -->" not in page:
        RESULTS_PAGE.write_text(page.rstrip() + "\n" + SECTION)
    for name, text in zip(TABLES, tables, strict=True):
        write_table(name, text)


def _is_repaired(name: str) -> bool:
    _, kind, _, seed = name.split("/")
    return kind == "faults" and int(seed) < REPAIR_SEEDS
