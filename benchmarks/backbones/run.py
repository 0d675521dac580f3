"""Attention, state space, convolution or recurrence? Networks of equal size in one training loop, with equal steps.

    make backbones           (or: python -m benchmarks.backbones.run, where opendpd 2.4.2 is installed)

All model the amplifier of APA_200MHz with about 500 and 2,000 parameters, and predistort it with 500 through one model.
They differ in `model` and `optim.lr` alone: the same frames, batches, steps, schedule and clip. The learning rate of
each is the best of three on the validation split after a short run; then three seeds are trained at it.

The networks whose scores OpenDPD published are trained for longer, to see whether this loop reaches those scores.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import dpdrun
from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from dpdrun import plugins
from dpdrun.evaluation.cross_model import load_reference_pa, score_with_reference

RESULTS = Path(__file__).parent / "results.json"
PLUGINS = [ROOT / "examples" / "plugins" / name for name in ("tcn_ssm.py", "opendpd_backbones.py")]
SIZES = (2000, 500)
RATES = (1e-2, 3e-2, 9e-2)
PROBE_STEPS, STEPS = 200, 1500
LONG_RATES = (1e-2, 3e-2, 6e-2)  # of the published networks
LONG_PROBE_STEPS = 1500
DPD_SIZE = 500
SEEDS = (0, 1, 2)

ATTENTION = {
    "kind": "transformer", "heads": 2, "window": 32, "conv": 5, "activation": "bilinear", "norm": "off",
    "attention_bias": "query",
}  # fmt: skip
NETWORKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # in the order of SIZES
    "attention": (
        ATTENTION | {"d_model": 12, "layers": 2, "ff_mult": 0.5},
        ATTENTION | {"d_model": 8, "layers": 1, "ff_mult": 0.375},
    ),
    "ssm": (
        {"kind": "ssm", "width": 14, "layers": 3, "states": 3},
        {"kind": "ssm", "width": 8, "layers": 2, "states": 2},
    ),
    "tcn": ({"kind": "tcn", "width": 13}, {"kind": "tcn", "width": 6}),
    "gru": ({"kind": "gru", "hidden": 22}, {"kind": "gru", "hidden": 10}),
    "DGRU of OpenDPD": ({"kind": "opendpd_dgru", "hidden": 19}, {"kind": "opendpd_dgru", "hidden": 8}),
    "TRes-GRU of OpenDPD": ({"kind": "opendpd_tres_gru", "hidden": 22}, {"kind": "opendpd_tres_gru", "hidden": 10}),
}


# name: network, steps (longer where the validation score still fell), test NMSE that OpenDPD published for it on
# APA_200MHz [dB] (its docs/benchmark_report.md and docs/pa_modeling_investigation.md: 300 epochs of 919 steps, batches
# of 64 windows of 200 samples, seed 0)
PUBLISHED: dict[str, tuple[dict[str, Any], tuple[int, ...], float]] = {
    "DGRU-23": ({"kind": "opendpd_dgru", "hidden": 23}, (12000, 24000), -39.21),
    "TRes-GRU-27": ({"kind": "opendpd_tres_gru", "hidden": 27}, (12000,), -39.13),
}
PA_MODEL = "apa_200mhz_small"  # the recipe of the model that predistorters are trained through
SECOND_PA_MODEL: dict[str, Any] = {  # of another kind, that they are scored through as well
    "task": "pa", "data": {"source": "opendpd/APA_200MHz"}, "model": {"kind": "tcn", "width": 13},
    "optim": {"lr": 9e-2},
}  # fmt: skip


def training(steps: int, seed: int) -> dict[str, Any]:
    """Return the section `train`, the same for all."""
    return {
        "max_steps": steps, "seed": seed, "batch_size": 32, "frame": 256, "burn_in": 64, "eval_every": steps,
        "checkpoint_every": "off", "threads": 1,
    }  # fmt: skip


def predistorter(pa: Path, second: Path, model: dict[str, Any], lr: float, steps: int, seed: int) -> dict[str, Any]:
    """Train one predistorter; return what is kept of it, with its scores through a second PA model."""
    recipe = {"model": model, "optim": {"lr": lr}, "train": training(steps, seed)}
    began = time.process_time()
    with TemporaryDirectory(prefix="dpdrun-study-") as folder:
        run = dpdrun.train_dpd(pa, recipe, out=Path(folder) / "run")
        report = run.scores.to_dict()
        seconds = time.process_time() - began
        reference = load_reference_pa(second, run.capture)
        through = score_with_reference(run.model, run.plan, run.capture, ("test",), reference).report
    return {
        "model": model, "lr": lr, "steps": steps, "val_db": round(report["splits"]["val"]["objective_db"], 3),
        "test": linearity_of(report["splits"]["test"]), "none": linearity_of(report["baselines"]["one_tap"]["test"]),
        "second": linearity_of(through["splits"]["test"]), "processor_s": round(seconds, 1), "machine": machine(),
        **{name: report[name] for name in ("parameters", "macs_per_sample", "lookahead")},
    }  # fmt: skip


def linearity_of(scores: dict[str, Any]) -> dict[str, float]:
    """Return the kept scores of a split [dB]."""
    found = scores["linearity"]
    return {name: round(found[name], 3) for name in ("in_band_error_db", "aclr_worse_dbc", "evm_db")
            if found[name] is not None}  # fmt: skip


def result_of(model: dict[str, Any], lr: float, steps: int, seed: int) -> dict[str, Any]:
    """Train one network; return what is kept of it."""
    recipe = {
        "task": "pa", "data": {"source": "opendpd/APA_200MHz"}, "model": model, "optim": {"lr": lr},
        "train": training(steps, seed),
    }  # fmt: skip
    began = time.process_time()
    with TemporaryDirectory(prefix="dpdrun-study-") as folder:
        run = dpdrun.train(recipe, out=Path(folder) / "run")
        result = run.scores
    report, scores = result.to_dict(), result.nmse_db
    return {
        "model": model, "lr": lr, "steps": steps,
        "val_db": round(scores["val"], 3), "test_db": round(scores["test"], 3),
        "gmp_test_db": round(result.gmp_nmse_db["test"], 3), "processor_s": round(time.process_time() - began, 1),
        "machine": machine(),
        **{name: report[name] for name in ("parameters", "macs_per_sample", "lookahead")},
    }  # fmt: skip


def probed(size: int, name: str) -> dict[float, str]:
    """Return the names of the short runs by learning rate."""
    return {lr: f"{size}/{name}/{PROBE_STEPS} steps at {lr:g}" for lr in RATES}


def trained(size: int, name: str) -> list[str]:
    """Return the names of the runs of all seeds."""
    return [f"{size}/{name}/{STEPS} steps, seed {seed}" for seed in SEEDS]


def dpd_probed(name: str) -> dict[float, str]:
    """Return the names of the short runs of a predistorter by learning rate."""
    return {lr: f"dpd {DPD_SIZE}/{name}/{PROBE_STEPS} steps at {lr:g}" for lr in RATES}


def dpd_trained(name: str) -> list[str]:
    """Return the names of the runs of all seeds of a predistorter."""
    return [f"dpd {DPD_SIZE}/{name}/{STEPS} steps, seed {seed}" for seed in SEEDS]


def best_of(keys: dict[float, str], results: dict[str, Any]) -> float:
    """Return the learning rate with the best validation score of the short runs."""
    return min(keys, key=lambda lr: float(results[keys[lr]]["val_db"]))


def networks() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Return every network: its size, name and section of the recipe."""
    for at, size in enumerate(SIZES):
        for name, models in NETWORKS.items():
            yield size, name, models[at]


def measure(results: ResultsFile) -> None:
    """Train what is not in the results yet: the short runs first, then one seed of all networks after another."""

    def add(key: str, *settings: Any) -> None:
        if key not in results:
            results.add(key, result_of(*settings))
            print(f"{key}: val {results.results[key]['val_db']:.2f} dB", flush=True)

    for size, name, model in networks():
        for lr, key in probed(size, name).items():
            add(key, model, lr, PROBE_STEPS, 0)
    for seed in SEEDS:
        for size, name, model in networks():
            add(trained(size, name)[seed], model, best_of(probed(size, name), results.results), STEPS, seed)
    for name, (model, lengths, _) in PUBLISHED.items():
        short = {lr: f"{name}/{LONG_PROBE_STEPS} steps at {lr:g}" for lr in LONG_RATES}
        for lr, key in short.items():
            add(key, model, lr, LONG_PROBE_STEPS, 0)
        for steps in lengths:
            add(f"{name}/{steps} steps", model, best_of(short, results.results), steps, 0)


def measure_predistorters(results: ResultsFile) -> None:
    """Train two PA models, then what is not in the results yet through the first; one seed of all networks a time."""
    with TemporaryDirectory(prefix="dpdrun-study-") as folder:
        runs: dict[str, Path] = {}

        def add(key: str, *settings: Any) -> None:
            if "second" in results.results.get(key, {}):
                return
            if not runs:
                runs["pa"] = dpdrun.train(PA_MODEL, out=Path(folder) / "pa").path
                runs["second"] = dpdrun.train(
                    SECOND_PA_MODEL | {"train": training(STEPS, 0)}, out=Path(folder) / "second"
                ).path
            results.add(key, predistorter(runs["pa"], runs["second"], *settings))
            print(f"{key}: val {results.results[key]['val_db']:.2f} dB", flush=True)

        for seed in SEEDS:
            for name, models in NETWORKS.items():
                model = models[SIZES.index(DPD_SIZE)]
                for lr, key in dpd_probed(name).items():
                    if key not in results:
                        add(key, model, lr, PROBE_STEPS, 0)
                add(dpd_trained(name)[seed], model, best_of(dpd_probed(name), results.results), STEPS, seed)


def table(results: dict[str, Any]) -> str:
    """A row a network: means over seeds, and the range of the test score."""
    written = []
    for size, name, _ in networks():
        found = [results[key] for key in trained(size, name) if key in results]
        if not found:
            continue
        test = [each["test_db"] for each in found]
        written.append([
            f"{name}, {size:,}", f"{found[0]['parameters']:,}", f"{found[0]['macs_per_sample']:,}",
            str(found[0]["lookahead"]), f"{found[0]['lr']:g}", f"{mean(each['val_db'] for each in found):.2f}",
            f"{mean(test):.2f}", f"{max(test) - min(test):.2f}", str(len(found)),
            f"{mean(each['processor_s'] for each in found):.0f}",
        ])  # fmt: skip
    head = [
        "network", "parameters", "MAC/sample", "look-ahead", "lr", "val [dB]", "test [dB]", "its range", "seeds",
        "processor time [s]",
    ]  # fmt: skip
    return markdown(head, written)


def published_table(results: dict[str, Any]) -> str:
    """A row for each network whose score OpenDPD published."""
    runs = [(name, n, theirs) for name, (_, lengths, theirs) in PUBLISHED.items() for n in lengths]
    written = [
        [
            name, f"{each['parameters']:,}", f"{each['lr']:g}", f"{steps:,}", f"{each['val_db']:.2f}",
            f"{each['test_db']:.2f}", f"{theirs:.2f}", f"{each['processor_s']:,.0f}",
        ]
        for name, steps, theirs in runs if (each := results.get(f"{name}/{steps} steps")) is not None
    ]  # fmt: skip
    head = ["network", "parameters", "lr", "steps", "val [dB]", "test [dB]", "published by OpenDPD [dB]",
            "processor time [s]"]  # fmt: skip
    return markdown(head, written)


def predistorter_table(results: dict[str, Any]) -> str:
    """A row for each network as predistorter: means over seeds."""
    written = []
    for name in NETWORKS:
        found = [results[key] for key in dpd_trained(name) if key in results]
        if not found:
            continue
        val = [each["val_db"] for each in found]
        scores = [
            f"{mean(each[model][score] for each in found):.2f}" if all(model in each for each in found) else "-"
            for model in ("test", "second")
            for score in ("in_band_error_db", "aclr_worse_dbc")
        ]
        written.append([
            name, f"{found[0]['parameters']:,}", f"{found[0]['macs_per_sample']:,}", str(found[0]["lookahead"]),
            f"{found[0]['lr']:g}", f"{mean(val):.2f}", f"{max(val) - min(val):.2f}",
            *scores, str(len(found)), f"{mean(each['processor_s'] for each in found):.0f}",
        ])  # fmt: skip
    head = [
        "predistorter", "parameters", "MAC/sample", "look-ahead", "lr", "val objective [dB]", "its range",
        "in-band error [dB]", "ACLR [dBc]", "in-band error, second PA model", "ACLR, second PA model", "seeds",
        "processor time [s]",
    ]  # fmt: skip
    return markdown(head, written)


def main() -> None:
    """Measure what is missing, then write the tables."""
    plugins.load_files(PLUGINS)
    results = ResultsFile(RESULTS)
    if "--only-tables" not in sys.argv:
        measure(results)
        measure_predistorters(results)
    write_table("backbones", table(results.results))
    write_table("backbones-published", published_table(results.results))
    write_table("backbones-dpd", predistorter_table(results.results))


if __name__ == "__main__":
    main()
