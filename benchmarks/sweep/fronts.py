"""What a PA model of a given size reaches: fronts of NMSE against parameters and MAC/sample, for four kinds.

    make fronts        (or: python -m benchmarks.sweep.fronts; resumable)

For each capture and kind, one `dpdrun sweep` trains all sizes with equal steps and minimizes the validation score, the
parameters and the MACs. Its front is chosen on the validation split; the test split of those points alone is scored,
once, at the end of the sweep. The first seed of everything comes first, then each sweep is extended by the second.

Learning rates and batches are those of the rules where they are measured (Transformers). Of the GRU and the TCN, a
plug-in, the rates are those of recipes/quickstart_gru.yaml and of `make backbones`, with the batch of these.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
PICTURE = ROOT / "docs" / "images" / "fronts.png"
PLUGIN = ROOT / "examples" / "plugins" / "tcn_ssm.py"
CAPTURES = ("APA_200MHz", "DPA_200MHz")
STEPS, SEEDS = 1500, 2
ATTENTION = {
    "kind": "transformer", "heads": 2, "window": 32, "conv": 5, "activation": "bilinear", "norm": "off",
    "attention_bias": "query",
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """The sizes of a kind, and what its recipe has besides."""

    sizes: dict[str, dict[str, Any]]
    color: str
    optim: dict[str, Any]
    train: dict[str, Any]
    seeds: int = SEEDS


BATCH = {"batch_size": 32, "frame": 256}
KINDS = {
    "Transformer": Kind(
        {f"d_model {width}, {layers} layer{'s' * (layers > 1)}":
         ATTENTION | {"d_model": width, "layers": layers, "ff_mult": ff}
         for width, layers, ff in ((8, 1, 0.375), (8, 2, 0.5), (12, 2, 0.5), (18, 2, 0.5), (28, 2, 0.5))},
        "#2a7f62", {}, {},
    ),
    "TCN": Kind({f"width {width}": {"kind": "tcn", "width": width} for width in (4, 8, 13, 28)}, "#4c72b0",
                {"lr": 0.09}, BATCH),
    "GRU": Kind({f"hidden {hidden}": {"kind": "gru", "hidden": hidden} for hidden in (4, 10, 22, 50)}, "#c44e52",
                {"lr": 0.06}, BATCH),
    "gmp": Kind(
        {f"order {order}, {delays} delays, cross {cross}":
         {"kind": "gmp", "order": order, "delays": delays, "cross": cross}
         for order, delays, cross in ((5, 10, 0), (5, 12, 1), (5, 24, 2), (7, 32, 4), (9, 48, 4))},
        "#666666", {}, {}, seeds=1,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A PA model of others: test NMSE from a cold start [dB], and what is known of its size."""

    name: str
    nmse_db: float
    parameters: int | None = None
    macs_per_sample: int | None = None


# OpenDPD: its benchmark record (150 epochs) and regression suite. theJorDea/DPD and padpd: their repositories, 2026-11;
# the first counts real multiplications.
PUBLISHED = {
    "APA_200MHz": (
        Published("TCN-66 (OpenDPD)", -38.25, 1914), Published("GRU-23 (OpenDPD)", -38.87, 1911),
        Published("TRes-GRU-22 (OpenDPD)", -39.01, 1916), Published("DGRU-23 (OpenDPD)", -39.21, 2751),
        Published("GMP (theJorDea)", -38.61, macs_per_sample=954),
    ),
    "DPA_200MHz": (
        Published("MP (OpenDPD)", -34.91, 200), Published("TCN (padpd)", -34.9, 464),
        Published("GRU-23 (OpenDPD)", -35.2, 1911), Published("GMP (theJorDea)", -35.39, macs_per_sample=766),
    ),
}  # fmt: skip


def swept(capture: str, name: str, seeds: int) -> list[dict[str, Any]]:
    """Run (or continue, or extend) the sweep of one kind; return a result for each size."""
    kind, folder = KINDS[name], ROOT / "build" / "fronts" / f"{capture}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    models = list(kind.sizes.values())
    train = {} if name == "gmp" else {"max_steps": STEPS, "threads": 1} | kind.train  # a gmp has no steps
    recipe = {"task": "pa", "data": {"source": f"opendpd/{capture}"}, "model": models[0], "optim": kind.optim,
              "train": train}  # fmt: skip
    sweep = {"recipe": "recipe.yaml", "over": {"model": models}, "seeds": seeds, "prune": "off",
             "objectives": ["val_nmse_db", "parameters", "macs_per_sample"]}  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(recipe))  # JSON is YAML
    (folder / "sweep.yaml").write_text(json.dumps(sweep))
    command = [sys.executable, "-m", "dpdrun", "sweep", str(folder / "sweep.yaml"), "--workers", "1",
               "--run-dir", str(folder / "sweep"), "--plugin", str(PLUGIN)]  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
    found = json.loads((folder / "sweep" / "sweep.json").read_text())
    points = {point["config"]["model"]: point for point in found["points"] if point["config"]}
    return [
        scores_of(folder / "sweep", size, point) for size, point in zip(kind.sizes, points.values(), strict=True)
    ]  # in the order of `over`


def scores_of(sweep: Path, size: str, point: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of a point; the test scores from a cold start stand in the reports of its trials alone."""
    result = {name: point["objectives"][name]["mean"] for name in ("parameters", "macs_per_sample")}
    result |= {"size": size, "seeds": len(point["trials"]), "on_front": point["on_front"],
               "val_db": [each["val_nmse_db"] for each in point["trials"]]}  # fmt: skip
    if point["on_front"]:
        reports = [json.loads((sweep / "trials" / each["id"] / "report.json").read_text()) for each in point["trials"]]
        result["test_db"] = [each["test_db"] for each in point["trials"]]
        result["test_cold_db"] = [report["splits"]["test"]["nmse_db"] for report in reports]
    return result


def measure(results: ResultsFile) -> None:
    """Run what is not in the results yet, one seed of everything before the second."""
    for seeds in range(1, SEEDS + 1):
        for capture in CAPTURES:
            for name, kind in KINDS.items():
                key, count = f"{capture}/{name}", min(seeds, kind.seeds)
                if key not in results or results.results[key]["sizes"][0]["seeds"] < count:
                    results.add(key, {"sizes": swept(capture, name, count), "steps": STEPS, "machine": machine()})


def sizes(results: dict[str, Any], capture: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the result of each size that was measured on a capture."""
    for name in KINDS:
        for each in results.get(f"{capture}/{name}", {"sizes": []})["sizes"]:
            yield name, each


def is_best(results: dict[str, Any], capture: str, one: dict[str, Any]) -> bool:
    """Return whether no model of any kind is better on the validation split with as few parameters."""
    others = [each for _, each in sizes(results, capture) if each is not one]
    return not any(
        fmean(each["val_db"]) <= fmean(one["val_db"]) and each["parameters"] <= one["parameters"] for each in others
    )


def table(results: dict[str, Any]) -> str:
    """A row for each model, with its scores on both captures; bold: on the front of all kinds."""
    rows: dict[tuple[str, str], list[str]] = {}
    for capture in CAPTURES:
        for name, each in sizes(results, capture):
            costs = [f"{each['parameters']:,.0f}", f"{each['macs_per_sample']:,.0f}"]
            row = rows.setdefault((name, each["size"]), [f"{name}, {each['size']}", *costs])
            mark = "**" if is_best(results, capture, each) else ""
            cells = [fmean(each[score]) if score in each else None for score in ("val_db", "test_db", "test_cold_db")]
            val, test, cold = ("-" if cell is None else f"{cell:.2f}" for cell in cells)
            row += [val, f"{mark}{test}{mark}", cold, f"{max(each['val_db']) - min(each['val_db']):.2f}"]
    head = ["model", "parameters", "MAC/sample"]
    head += [
        f"{capture[:3]} {column}" for capture in CAPTURES for column in ("val [dB]", "test", "cold start", "range")
    ]
    return markdown(head, list(rows.values()))


def draw(results: dict[str, Any]) -> None:
    """Write the figure: a row for each capture, test NMSE from a cold start against both costs."""
    figure, axes = plt.subplots(len(CAPTURES), 2, figsize=(10, 8), layout="constrained", sharey="row", squeeze=False)
    for row, capture in zip(axes, CAPTURES, strict=True):
        for axis, cost, title in zip(row, ("parameters", "macs_per_sample"), ("parameters", "MAC/sample"), strict=True):
            for name, kind in KINDS.items():
                front = [each for of, each in sizes(results, capture) if of == name and "test_cold_db" in each]
                scores = [fmean(each["test_cold_db"]) for each in front]
                axis.plot([each[cost] for each in front], scores, "o-", color=kind.color, label=name, markersize=4)
            for each in PUBLISHED[capture]:
                if (at := getattr(each, cost)) is not None:
                    axis.plot(at, each.nmse_db, "k*", markersize=9)
                    axis.annotate(each.name, (at, each.nmse_db), (6, 4), textcoords="offset points", fontsize=7)
            axis.set_xscale("log")
            axis.set_xlabel(title)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"{capture}, test NMSE [dB]")
    axes[0, 0].plot([], [], "k*", label="published by others")
    axes[0, 0].legend(fontsize=8, frameon=False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)


def main() -> None:
    results = ResultsFile(HERE / "fronts.json")
    if "--only-tables" not in sys.argv:
        measure(results)
    write_table("fronts", table(results.results))
    draw(results.results)


if __name__ == "__main__":
    main()
