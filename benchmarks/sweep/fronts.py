"""What a PA model of a given size reaches: fronts of NMSE against parameters and MAC/sample, for four kinds.

    make fronts        (or: python -m benchmarks.sweep.fronts; resumable)

For each capture and kind, one `dpdrun sweep` trains all sizes with equal steps and minimizes the validation score, the
parameters and the MACs. Its front is chosen on the validation split; the test split of those points alone is scored,
once, at the end of the sweep.

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
from typing import Any

import matplotlib

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table

matplotlib.use("Agg")
import matplotlib.pyplot as plt

HERE = Path(__file__).parent
PICTURE = ROOT / "docs" / "images" / "fronts.png"
PLUGIN = ROOT / "examples" / "plugins" / "tcn_ssm.py"
CAPTURES = ("APA_200MHz", "DPA_200MHz")
STEPS = 1500
HIGHEST_DB = -28  # of the figure: a small gmp that is far worse from a cold start is left out
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
        "#666666", {}, {},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """A PA model of others: test NMSE from a cold start [dB], and what is known of its size."""

    name: str
    nmse_db: float
    parameters: int | None = None
    macs_per_sample: int | None = None
    label_at: tuple[int, int] = (6, 6)  # [points]


# OpenDPD: its benchmark record (150 epochs) and regression suite. theJorDea/DPD and padpd: their repositories, 2026-11;
# the first counts real multiplications.
PUBLISHED = {
    "APA_200MHz": (
        Published("TCN-66 (OpenDPD)", -38.25, 1914), Published("GRU-23 (OpenDPD)", -38.87, 1911, label_at=(-75, 3)),
        Published("TRes-GRU-22 (OpenDPD)", -39.01, 1916, label_at=(-95, -6)),
        Published("DGRU-23 (OpenDPD)", -39.21, 2751, label_at=(4, -10)),
        Published("GMP (theJorDea)", -38.61, macs_per_sample=954),
    ),
    "DPA_200MHz": (
        Published("MP (OpenDPD)", -34.91, 200), Published("TCN (padpd)", -34.9, 464),
        Published("GRU-23 (OpenDPD)", -35.2, 1911), Published("GMP (theJorDea)", -35.39, macs_per_sample=766),
    ),
}  # fmt: skip


def swept(capture: str, name: str) -> list[dict[str, Any]]:
    """Run (or continue) the sweep of one kind; return a result for each size."""
    kind, folder = KINDS[name], ROOT / "build" / "fronts" / f"{capture}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    models = list(kind.sizes.values())
    train = {} if name == "gmp" else {"max_steps": STEPS, "threads": 1} | kind.train  # a gmp has no steps
    recipe = {"task": "pa", "data": {"source": f"opendpd/{capture}"}, "model": models[0], "optim": kind.optim,
              "train": train}  # fmt: skip
    sweep = {"recipe": "recipe.yaml", "over": {"model": models}, "prune": "off",
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
    """Return what is kept of a point; the test score from a cold start stands in the report of its trial alone."""
    (trial,) = point["trials"]
    result = {name: trial[name] for name in ("parameters", "macs_per_sample")}
    result |= {"size": size, "on_front": point["on_front"], "val_db": trial["val_nmse_db"]}
    if point["on_front"]:
        report = json.loads((sweep / "trials" / trial["id"] / "report.json").read_text())
        result |= {"test_db": trial["test_db"], "test_cold_db": report["splits"]["test"]["nmse_db"]}
    return result


def measure(results: ResultsFile) -> None:
    """Run what is not in the results yet."""
    for capture in CAPTURES:
        for name in KINDS:
            if (key := f"{capture}/{name}") not in results:
                results.add(key, {"sizes": swept(capture, name), "steps": STEPS, "machine": machine()})


def sizes(results: dict[str, Any], capture: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and the result of each size that was measured on a capture."""
    for name in KINDS:
        for each in results.get(f"{capture}/{name}", {"sizes": []})["sizes"]:
            yield name, each


def is_best(results: dict[str, Any], capture: str, one: dict[str, Any]) -> bool:
    """Return whether no model of any kind is better on the validation split with as few parameters."""
    others = [each for _, each in sizes(results, capture) if each is not one]
    return not any(each["val_db"] <= one["val_db"] and each["parameters"] <= one["parameters"] for each in others)


def table(results: dict[str, Any]) -> str:
    """A row for each model, with its scores on both captures; bold: on the front of all kinds."""
    rows: dict[tuple[str, str], list[str]] = {}
    for capture in CAPTURES:
        for name, each in sizes(results, capture):
            costs = [f"{each['parameters']:,.0f}", f"{each['macs_per_sample']:,.0f}"]
            row = rows.setdefault((name, each["size"]), [f"{name}, {each['size']}", *costs])
            mark = "**" if is_best(results, capture, each) else ""
            scores = (each.get(score) for score in ("val_db", "test_db", "test_cold_db"))
            val, test, cold = ("-" if score is None else f"{score:.2f}" for score in scores)
            row += [val, f"{mark}{test}{mark}", cold]
    head = ["model", "parameters", "MAC/sample"]
    head += [f"{capture[:3]} {column}" for capture in CAPTURES for column in ("val [dB]", "test", "cold start")]
    return markdown(head, list(rows.values()))


def draw(results: dict[str, Any]) -> None:
    """Write the figure: a row for each capture, test NMSE from a cold start against both costs."""
    figure, axes = plt.subplots(len(CAPTURES), 2, figsize=(10, 8), layout="constrained", sharey="row", squeeze=False)
    for row, capture in zip(axes, CAPTURES, strict=True):
        for axis, cost, title in zip(row, ("parameters", "macs_per_sample"), ("parameters", "MAC/sample"), strict=True):
            for name, kind in KINDS.items():
                front = [
                    each
                    for of, each in sizes(results, capture)
                    if of == name and each.get("test_cold_db", 0) < HIGHEST_DB
                ]
                scores = [each["test_cold_db"] for each in front]
                axis.plot([each[cost] for each in front], scores, "o-", color=kind.color, label=name, markersize=4)
            for each in PUBLISHED[capture]:
                if (at := getattr(each, cost)) is not None:
                    axis.plot(at, each.nmse_db, "k*", markersize=9)
                    axis.annotate(each.name, (at, each.nmse_db), each.label_at, textcoords="offset points", fontsize=7)
            axis.set_xscale("log")
            axis.set_xlabel(title)
            axis.grid(alpha=0.3)
            axis.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(f"{capture}, test NMSE [dB]")
        row[0].set_ylim(top=HIGHEST_DB)
    axes[0, 1].plot([], [], "k*", label="published by others")
    axes[0, 1].legend(fontsize=8, frameon=False, loc="upper right")
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
