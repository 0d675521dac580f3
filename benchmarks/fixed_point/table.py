"""The tables of the study of fixed point, from its results alone."""

from __future__ import annotations

import re
from statistics import mean
from typing import Any

from benchmarks.common import markdown

BITS = ((16, 16), (14, 14), (12, 14), (12, 12), (10, 10), (8, 8))  # weights, activations
WAYS = ("tensor", "channel", "tuned")  # a scale a tensor, a scale a channel, and fine-tuned
SCALES = ("minmax", "percentile", "mse")
SCALE_BITS = (14, 12)
FIGURES = ("val_in_band_db", "evm_db", "aclr_db")
COST = ("multiplications", "divisions", "square_roots", "table_lookups", "state_bytes", "weight_bytes")
MAX_POWER_ERROR_DB = 0.5
SEED = re.compile(r"-seed\d+$")
HEAD = ["in-band error (validation) / EVM / worse ACLR [dB]", "a scale a tensor", "a scale a channel", "and fine-tuned"]


def name_of(model: str, way: str, bits: tuple[int, int]) -> str:
    """Return the name of a result."""
    return f"{model}/{way}/W{bits[0]}A{bits[1]}"


def models_of(results: dict[str, Any]) -> dict[str, list[str]]:
    """Return the models that were measured, by kind and size."""
    found: dict[str, list[str]] = {}
    for key in sorted(results, key=lambda key: (results[key].get("parameters", 0), key)):
        if key.endswith("/float"):
            found.setdefault(SEED.sub("", key.removesuffix("/float")), []).append(key.removesuffix("/float"))
    return found


def costs(results: dict[str, Any]) -> str:
    """Return a row for each model and word length: means over its seeds."""
    rows = []
    for group, models in models_of(results).items():
        count = results[f"{models[0]}/float"]["parameters"]
        title = f"{group.split('-')[0]}, {count:,}" + (f", mean of {len(models)}" if len(models) > 1 else "")
        rows.append([f"**{title}**, float", _scores([results[f"{model}/float"] for model in models]), "", ""])
        for bits in BITS:
            cells = []
            for way in WAYS:
                found = [results[name] for model in models if (name := name_of(model, way, bits)) in results]
                cells.append(_scores(found) if len(found) == len(models) else "")
            rows.append([f"W{bits[0]} A{bits[1]}", *cells])
    return markdown(HEAD, rows)


def scales(results: dict[str, Any]) -> str:
    """Return a row for each model: the change of its output by the way in which ranges are chosen."""
    rows = []
    for models in models_of(results).values():
        rows += [
            [model, *(f"{results[f'{model}/scales'][f'{way}/{bits}']:.1f}" for bits in SCALE_BITS for way in SCALES)]
            for model in models
        ]
    head = [f"{way}, {bits} bits" for bits in SCALE_BITS for way in SCALES]
    return markdown(["change of the output, validation [dB]", *head], rows)


def hardware(results: dict[str, Any]) -> str:
    """Return a row for each kind and size: operations of a sample, and memory at 16 bits."""
    rows = []
    for group, models in models_of(results).items():
        found = [results[f"{model}/cost"] for model in models]
        title = f"{group.split('-')[0]}, {results[f'{models[0]}/float']['parameters']:,}"
        rows.append([title, *(_range([cost[name] for cost in found]) for name in COST)])
    return markdown(["16 bits, a sample", *(name.replace("_", " ") for name in COST)], rows)


def resets(results: dict[str, Any]) -> str:
    """Return a row for each model: what a reset of the state in each block changes, by length of the blocks."""
    names = [model for models in models_of(results).values() for model in models]
    lengths = list(results[f"{names[0]}/resets"])
    rows = [[name, *(f"{results[f'{name}/resets'][length]:.1f}" for length in lengths)] for name in names]
    head = ["change of the output, training part [dB]", *(f"{int(length):,} samples" for length in lengths)]
    return markdown(head, rows)


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _scores(found: list[dict[str, Any]]) -> str:
    """Return the means, or that there is no score: the Arena gives none beyond its gate on the output power."""
    if max(abs(each["power_error_db"]) for each in found) > MAX_POWER_ERROR_DB:
        return "no score"
    return " / ".join(f"{mean(each[name] for each in found):.2f}" for name in FIGURES)
