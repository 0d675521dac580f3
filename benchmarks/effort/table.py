"""The table of the study: predicted against measured, for the settings that were not fitted."""

from __future__ import annotations

import math
from statistics import median
from typing import Any

from benchmarks.common import markdown, write_table
from benchmarks.effort.fit import fitted, is_held_out, load, reference, work_of_result
from dpdrun.effort import GOES_WITH


def factors(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Predicted over measured of each held-out setting: time of a step, time of a scoring, growth of memory."""
    costs, speed = fitted(results), reference(results)
    found = {}
    for name, result in results.items():
        if not is_held_out(name, results):
            continue
        kind, work = costs[name.partition("/")[0]], work_of_result(result)
        times = {
            what: sum(getattr(work, what)[n] * cost * speed[GOES_WITH[n]] for n, cost in kind[what].items())
            for what in ("step", "score")
        }
        held = max(
            sum(getattr(work, what)[n] * cost for n, cost in kind[what].items())
            for what in ("step_memory", "score_memory")
        )
        found[name] = {
            "step": times["step"] / result["step_s"],
            "score": times["score"] / result["score_s"],
            "memory": (result["before_mib"] + held / 2**20) / result["score_mib"],
        }
    return found


def off(ratios: list[float]) -> tuple[float, float]:
    """By which factor predictions are off: the median and the worst."""
    each = [math.exp(abs(math.log(ratio))) for ratio in ratios]
    return median(each), max(each)


def text(results: dict[str, Any]) -> str:
    """A row for each kind of model."""
    found = factors(results)
    rows = []
    for kind in ("transformer", "gru"):
        mine = {name: ratios for name, ratios in found.items() if name.startswith(kind)}
        steps = [results[name]["step_s"] * 1e3 for name in mine]
        cells = [f"{len(mine)}", f"{min(steps):.0f} to {max(steps):,.0f} ms"]
        for what in ("step", "score", "memory"):
            typical, worst = off([ratios[what] for ratios in mine.values()])
            cells.append(f"{typical:.2f}, worst {worst:.2f}")
        rows.append([kind, *cells])
    return markdown(["settings not fitted", "number", "a step", "time of a step", "time of a scoring", "memory"], rows)


def write(results: dict[str, Any]) -> None:
    """Into docs/results.md."""
    write_table("effort", text(results))


if __name__ == "__main__":
    write(load())
