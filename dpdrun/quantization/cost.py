"""Count what a program costs in hardware, for each sample."""

from __future__ import annotations

import math
from typing import Any

from dpdrun.quantization.reference import Program

OPERATIONS = ("multiplications", "divisions", "square_roots", "table_lookups")


def cost_of(program: Program) -> dict[str, int]:
    """Return the operations of one sample and the memory of a program.

    Shifts, additions and comparisons are not counted. A table lookup reads two neighbouring words; its interpolation is
    one of the multiplications.

    Returns:
        `multiplications`, `divisions`, `square_roots`, `table_lookups` for each sample; `state_bytes`, `weight_bytes`
        (weights, biases and tables) with every word in its own bits, rounded up to bytes in all.
    """
    tensors, arrays = program["tensors"], program["weights"]
    counts = dict.fromkeys(OPERATIONS, 0)
    for each in program["steps"]:
        for name, count in _operations(each, program).items():
            counts[name] += count
    state = sum(rows * tensors[name]["size"] * tensors[name]["bits"] for name, rows in program["history"].items())
    weights = sum(math.prod(each["shape"]) * each["bits"] for each in arrays.values())
    return counts | {"state_bytes": -(-state // 8), "weight_bytes": -(-weights // 8)}


def _operations(each: dict[str, Any], program: Program) -> dict[str, int]:
    size, kind = program["tensors"][each["out"]]["size"], each["op"]
    if kind in ("linear", "fir"):
        names = [each["weight"]] if kind == "fir" else [term["weight"] for term in each["terms"] if term["weight"]]
        return {"multiplications": sum(math.prod(program["weights"][name]["shape"]) for name in names)}
    if kind == "attention":
        kept = sum(len(distances) for distances in each["distances"])
        width = size // each["heads"]
        return {"multiplications": kept * (2 * width + 1), "divisions": size, "table_lookups": kept}
    if kind == "taps":
        return {"multiplications": 4 * each["count"] * (2 if each["image"] else 1)}
    fixed: dict[str, dict[str, int]] = {
        "power": {"multiplications": 2},
        "magnitude": {"multiplications": 2, "square_roots": 1},
        "multiply": {"multiplications": size},
        "blend": {"multiplications": size},
        "relu": {},
        "table": {"multiplications": size, "table_lookups": size},
        "limit": {"multiplications": 4, "square_roots": 1, "divisions": 2},
    }
    return fixed[kind]
