"""Fit the costs of dpdrun/plan/cost.py to every second setting of the study.

    python -m benchmarks.effort.fit      # writes them into dpdrun/plan/cost.py

Non-negative least squares on relative errors: a cost below zero has no meaning, and 5 ms count as much as 2 s.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from scipy.optimize import nnls

from benchmarks.common import ROOT
from dpdrun.plan.cost import SCALES_WITH, Workload, workload_of
from dpdrun.recipe.schema import GRUModel, ModelSection, TransformerModel

RESULTS = Path(__file__).parent / "results.json"
WHOLE = Path(__file__).parent / "whole.json"
SMALL_MIB = 180  # of training: below, the end of a run takes more
MODULE = ROOT / "dpdrun" / "effort.py"
BEGIN, END = "# BEGIN FITTED\n", "# END FITTED\n"
KINDS = ("transformer", "gru")
Costs = dict[str, dict[str, dict[str, float]]]  # kind -> what -> kind of work -> cost


def load(path: Path = RESULTS) -> dict[str, Any]:
    """The measured settings by name."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def is_held_out(name: str, results: dict[str, Any]) -> bool:
    """Every second setting of a kind is not fitted but predicted."""
    same = [other for other in results if other.partition("/")[0] == name.partition("/")[0]]
    return same.index(name) % 2 == 1


def work_of_result(result: dict[str, Any]) -> Workload:
    """The amounts of work of a measured setting."""
    model: ModelSection = TypeAdapter(ModelSection).validate_python(result["setting"]["model"])
    assert isinstance(model, TransformerModel | GRUModel)
    train = result["setting"]["train"]
    # results.json was measured with complete records through the model at once
    val = result["val_samples"]
    return workload_of(model, batch=train["batch_size"], frame=train["frame"], val_samples=val, chunk=val)


def reference(results: dict[str, Any]) -> dict[str, float]:
    """The machine of the study: medians of its speed."""
    names = ("matrix", "memory", "call")
    return {name: median(result["speed"][name] for result in results.values()) for name in names}


def fitted(results: dict[str, Any]) -> Costs:
    """Costs of each kind of model, from the settings that are not held out."""
    speed = reference(results)
    costs: Costs = {}
    for kind in KINDS:
        used = [result for name, result in results.items() if name.startswith(kind) and not is_held_out(name, results)]
        scored = [result for result in used if result["score_mib"] > result["steps_mib"] + 5]  # the scoring's own peak
        costs[kind] = {
            "step": _costs(used, "step", [result["step_s"] for result in used], speed),
            "score": _costs(used, "score", [result["score_s"] for result in used], speed),
            "step_memory": _costs(used, "step_memory", [_grown(result, "steps_mib") for result in used], None),
            "score_memory": _costs(scored, "score_memory", [_grown(result, "score_mib") for result in scored], None),
        }
    return costs


def _grown(result: dict[str, Any], name: str) -> float:
    return float(result[name] - result["before_mib"]) * 2**20


def _costs(
    results: list[dict[str, Any]], what: str, measured: list[float], speed: dict[str, float] | None
) -> dict[str, float]:
    amounts = [getattr(work_of_result(result), what) for result in results]
    names = list(amounts[0])
    units = [1.0 if speed is None else speed[SCALES_WITH[name]] for name in names]
    A = np.array([[amount[name] * unit for name, unit in zip(names, units, strict=True)] for amount in amounts])
    A = A / np.array(measured)[:, None]
    norms = np.linalg.norm(A, axis=0)
    solution, _ = nnls(A / norms, np.ones(len(A)))
    found = dict(zip(names, (solution / norms).tolist(), strict=True))
    return {name: float(f"{value:.3g}") for name, value in found.items() if value > 0}


def held_mib(result: dict[str, Any], costs: Costs) -> float:
    """What training and scoring of a whole run (whole.json) take by the fitted costs [MiB]."""
    recipe = result["recipe"]
    work = work_of_result({"setting": recipe, "val_samples": result["val_samples"]})
    kind = costs[recipe["model"]["kind"]]
    parts = ("step_memory", "score_memory")
    held = (sum(getattr(work, part)[n] * cost for n, cost in kind[part].items()) for part in parts)
    return float(max(held)) / 2**20


def run_mib(whole: dict[str, Any], costs: Costs) -> tuple[int, int]:
    """What a run holds beside training, and its peak where the scores at its end decide it [MiB].

    Runs whose own training takes the least are the second kind.
    """
    used = [result for name, result in whole.items() if not is_held_out(name, whole)]
    held = {id(result): held_mib(result, costs) for result in used}
    beside = [r["peak_mib"] - held[id(r)] for r in used if held[id(r)] > SMALL_MIB]
    end = [r["peak_mib"] for r in used if held[id(r)] <= SMALL_MIB]
    return round(median(beside)), round(median(end))


def text(results: dict[str, Any], whole: dict[str, Any]) -> str:
    """The block of dpdrun/plan/cost.py."""
    costs = fitted(results)
    lines = ["COSTS: Mapping[str, Mapping[str, Mapping[str, float]]] = {"]
    for kind, parts in costs.items():
        lines.append(f'    "{kind}": {{')
        lines += [f'        "{what}": {json.dumps(fit)},' for what, fit in parts.items()]
        lines.append("    },")
    beside, end = run_mib(whole, costs)
    lines += ["}", f"RUN_MIB = {beside}  # what a run holds beside training: python, torch, the data, what it writes"]
    lines += [
        f"END_MIB = {end}  # peak of a run whose training takes little: the scores at its end, with the gmp's fit"
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the block."""
    module = MODULE.read_text()
    before, _, rest = module.partition(BEGIN)
    MODULE.write_text(before + BEGIN + text(load(), load(WHOLE)) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
