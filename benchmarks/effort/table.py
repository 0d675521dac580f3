"""The table of the study: predicted against measured, for the settings that were not fitted."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from benchmarks.common import markdown, write_table
from benchmarks.effort.fit import WHOLE, fitted, held_mib, is_held_out, load, reference, run_mib, work_of_result
from dpdrun.plan.cost import SCALES_WITH


def factors(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Predicted over measured of each held-out setting: time of a step and of a scoring."""
    costs, speed = fitted(results), reference(results)
    found = {}
    for name, result in results.items():
        if not is_held_out(name, results):
            continue
        kind, work = costs[name.partition("/")[0]], work_of_result(result)
        times = {
            what: sum(getattr(work, what)[n] * cost * speed[SCALES_WITH[n]] for n, cost in kind[what].items())
            for what in ("step", "score")
        }
        found[name] = {
            "step": times["step"] / result["step_s"],
            "score": times["score"] / result["score_s"],
        }
    return found


def memory_factors(results: dict[str, Any], whole: dict[str, Any]) -> dict[str, float]:
    """Predicted over measured peak memory of each held-out whole run."""
    costs = fitted(results)
    beside, end = run_mib(whole, costs)
    return {
        name: max(end, beside + held_mib(run, costs)) / run["peak_mib"]
        for name, run in whole.items()
        if is_held_out(name, whole)
    }


def off(ratios: list[float]) -> tuple[float, float]:
    """By which factor predictions are off: the median and the worst."""
    each = [math.exp(abs(math.log(ratio))) for ratio in ratios]
    return median(each), max(each)


def text(results: dict[str, Any], whole: dict[str, Any]) -> str:
    """A row for each kind of model."""
    found, memory = factors(results), memory_factors(results, whole)
    rows = []
    for kind in ("transformer", "gru"):
        mine = {name: ratios for name, ratios in found.items() if name.startswith(kind)}
        steps = [results[name]["step_s"] * 1e3 for name in mine]
        cells = [f"{len(mine)}", f"{min(steps):.0f} to {max(steps):,.0f} ms"]
        columns = [[ratios[what] for ratios in mine.values()] for what in ("step", "score")]
        columns.append([ratio for name, ratio in memory.items() if name.startswith(kind)])
        for ratios_of in columns:
            typical, worst = off(ratios_of)
            cells.append(f"{typical:.2f}, worst {worst:.2f}")
        rows.append([kind, *cells])
    return markdown(
        ["settings not fitted", "number", "a step", "time of a step", "time of a scoring", "peak memory of a run"], rows
    )


def write(results: dict[str, Any]) -> None:
    """Into docs/results.md."""
    write_table("effort", text(results, load(WHOLE)))


if __name__ == "__main__":
    write(load())
