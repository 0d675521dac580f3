"""What functions that are expensive in hardware are worth: softmax, GELU, LayerNorm, and what needs none of them.

    make hard-functions      (or: python -m benchmarks.fixed_point.functions; resumable)

Transformers of about 500 parameters model the amplifier of APA_200MHz, by the protocol of benchmarks/backbones: 1,500
steps, three seeds, the learning rate that is best on the validation split after 200 steps.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.backbones.run import PROBE_STEPS, RATES, SEEDS, STEPS, result_of
from benchmarks.common import ResultsFile, markdown, write_table
from benchmarks.fixed_point.attention_scores import attention

RESULTS = Path(__file__).parent / "functions.json"
PLAIN: dict[str, Any] = {
    "kind": "transformer", "d_model": 8, "layers": 1, "heads": 2, "window": 32, "conv": 5, "ff_mult": 0.375,
    "activation": "bilinear", "norm": "off", "attention_bias": "query",
}  # fmt: skip
# Settings, weights of the attention, and what it computes for a sample that is no product and no sum
NETWORKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "bilinear, norm off": (PLAIN, "softmax", "64 exponentials, 8 divisions"),
    "gelu": (
        PLAIN | {"activation": "gelu", "ff_mult": 0.625},
        "softmax",
        "64 exponentials, 8 divisions, 5 normal distributions",
    ),
    "relu": (PLAIN | {"activation": "relu", "ff_mult": 0.625}, "softmax", "64 exponentials, 8 divisions"),
    "norm layer": (PLAIN | {"norm": "layer"}, "softmax", "64 exponentials, 10 divisions, 2 roots"),
    "linear scores": (PLAIN, "linear", "none"),
    "relu scores": (PLAIN, "relu", "none"),
}


def probed(name: str) -> dict[float, str]:
    """Return the names of the short runs by learning rate."""
    return {lr: f"{name}/{PROBE_STEPS} steps at {lr:g}" for lr in RATES}


def trained(name: str) -> list[str]:
    """Return the names of the runs of all seeds."""
    return [f"{name}/{STEPS} steps, seed {seed}" for seed in SEEDS]


def measure(results: ResultsFile) -> None:
    """Train what is not in the results yet: the short runs first, then one seed of all networks after another."""

    def add(key: str, name: str, *settings: Any) -> None:
        if key not in results:
            model, scores, _ = NETWORKS[name]
            with attention(scores):
                results.add(key, result_of(model, *settings))
            print(f"{key}: val {results.results[key]['val_db']:.2f} dB", flush=True)

    for name in NETWORKS:
        for lr, key in probed(name).items():
            add(key, name, lr, PROBE_STEPS, 0)
    for seed in SEEDS:
        for name in NETWORKS:
            short = probed(name)
            best = min(RATES, key=lambda lr, short=short: float(results.results[short[lr]]["val_db"]))
            add(trained(name)[seed], name, best, STEPS, seed)


def table(results: dict[str, Any]) -> str:
    """Return a row for each network: means over seeds."""
    rows = []
    for name, (_, _, functions) in NETWORKS.items():
        found = [results[key] for key in trained(name) if key in results]
        if found:
            test = [each["test_db"] for each in found]
            rows.append([
                name, f"{found[0]['parameters']:,}", functions, f"{found[0]['lr']:g}",
                f"{mean(each['val_db'] for each in found):.2f}", f"{mean(test):.2f}", f"{max(test) - min(test):.2f}",
                str(len(found)),
            ])  # fmt: skip
    head = ["network", "parameters", "functions a sample", "lr", "val [dB]", "test [dB]", "its range", "seeds"]
    return markdown(head, rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    results = ResultsFile(RESULTS)
    if "--only-tables" not in sys.argv:
        measure(results)
    write_table("hard-functions", table(results.results))


if __name__ == "__main__":
    main()
