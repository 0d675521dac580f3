"""Predistorters of OpenDPD's DPA captures, under the scores of its publications and through two PA models.

    make dpa-dpd            (or: python -m benchmarks.dpa_dpd.run CAPTURE... --seeds 3)

The recipe of benchmarks/arena is trained through a Transformer and through a gmp, PA models of different structure that
are trained here, and each predistorter is scored through both. Published predistorters were scored through one PA model
of their authors, the one that they were trained through. Scores are of the test split, "legacy" as OpenDPD 2.4 defines
it: NMSE and EVM as means over segments, ACLR over the strongest carrier. Seeds are chosen by validation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, trained, write_table
from dpdrun.run.scores import chosen

HERE = Path(__file__).parent
ARENA = ROOT / "benchmarks" / "arena" / "recipes"
PA_STEPS = 3000
PA = {
    "transformer": "{{kind: transformer, d_model: 16, layers: 2, heads: 2, window: {window}, lookahead: 8}}",
    "gmp": "{{kind: gmp}}",
}
CAPTURES = {  # window of the PA model, parameters of the predistorter
    "opendpd/DPA_200MHz": (32, 500),
    "opendpd/DPA_160MHz": (128, 1000),
}
PUBLISHED = {
    "opendpd/DPA_200MHz": [
        ("TCN-DPD (arXiv 2506.12165)", "500", -44.61, -47.52, -51.58, -49.26),
        ("LW-ResGRU (IEEE TCAS-II 73(2), 2026)", "< 600", -43.5, -46.7, -50.4, -47.8),
    ],
    "opendpd/DPA_160MHz": [("TRes-DeltaGRU-15 (docs/benchmark_report.md)", "999", -54.4, -59.4, -61.7, -61.7)],
}
SCORES = ("NMSE", "EVM", "ACLR left", "ACLR right")
HEADER = ["capture, predistorter", "parameters", "PA model, its test NMSE [dB]", *(f"{name} [dB]" for name in SCORES),
          "NMSE through the other PA model [dB]"]  # fmt: skip


def measure(results: ResultsFile, capture: str, seeds: int) -> None:
    """Train what is missing for a capture: both PA models, and predistorters with some seeds through each."""
    window, size = CAPTURES[capture]
    dpd = ARENA / f"transformer-{size}.yaml"
    wanted = {(kind, seed): f"{capture} {size} {kind} {seed}" for kind in PA for seed in range(seeds)}
    missing = {case: name for case, name in wanted.items() if name not in results}
    if not missing:
        return
    data = f"data={{source: {capture}}}"
    with ExitStack() as stack:
        models: dict[str, tuple[Path, dict[str, Any]]] = {}
        for kind, section in PA.items():
            model = f"model={section.format(window=window)}"
            sets = (data, model, *([f"train.max_steps={PA_STEPS}"] if kind != "gmp" else []))
            models[kind] = stack.enter_context(trained(HERE / "pa.yaml", *sets))
            print(f"{capture}, PA model {kind}: test {models[kind][1]['test_nmse_db']:.2f} dB", flush=True)
        for (kind, seed), name in missing.items():
            (through, pa), (other, _) = models[kind], models[next(each for each in PA if each != kind)]
            with trained(dpd, f"pa={through}", data, f"train.seed={seed}") as (run, _):
                report = json.loads((run / "report.json").read_text())
                splits = report["splits"]
                result = {
                    "parameters": report["parameters"],
                    "pa_test_nmse_db": round(pa["test_nmse_db"], 3),
                    "seconds": round(report["seconds"], 1),
                    "val_objective_db": round(chosen(splits["val"])["objective_db"], 3),
                    "legacy": legacy(splits["test"]["linearity"]),
                    "other_nmse_db": round(_through(run, other)["nmse_db"], 3),
                    "machine": machine(),
                }
            print(f"{name}: {result['legacy']}", flush=True)
            results.add(name, result)


def legacy(linearity: dict[str, Any]) -> list[float]:
    """Return NMSE, EVM, ACLR left and right [dB] as OpenDPD's legacy scores define them."""
    aclr = linearity["aclr"]["opendpd-legacy-v1"]
    found = (linearity["nmse_opendpd_legacy_db"], linearity["spectral_evm_db"], aclr["left_dbc"], aclr["right_dbc"])
    return [round(value, 3) for value in found]


def _through(run: Path, pa: Path) -> dict[str, Any]:
    """Return the test scores of a predistorter through another PA model."""
    words = [sys.executable, "-m", "dpdrun", "evaluate", str(run), "--through", str(pa), "--format", "json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    scores: dict[str, Any] = json.loads(done.stdout)["splits"]["test"]
    return scores


def table(results: dict[str, Any]) -> str:
    """A row for each PA model with the seed that is best on validation, below what is published."""
    rows = []
    for capture, (_, size) in CAPTURES.items():
        ours = []
        for kind in PA:
            seeds = [each for name, each in results.items() if name.startswith(f"{capture} {size} {kind} ")]
            if not seeds:
                continue
            best = min(seeds, key=lambda each: each["val_objective_db"])
            cells = []
            for at, value in enumerate(best["legacy"]):
                every = [each["legacy"][at] for each in seeds]
                spread = f" ({min(every):.1f} to {max(every):.1f})" if len(every) > 1 else ""
                cells.append(f"{value:.2f}{spread}")
            ours.append([f"{capture}, ours, best of {len(seeds)}", f"{best['parameters']:,}",
                         f"{kind} {best['pa_test_nmse_db']:.2f}", *cells, f"{best['other_nmse_db']:.2f}"])  # fmt: skip
        if ours:
            rows += [[f"{capture}, {name}", many, "theirs", *(f"{value:.2f}" for value in values), ""]
                     for name, many, *values in PUBLISHED[capture]] + ours  # fmt: skip
    return markdown(HEADER, rows)


def main() -> None:
    """Measure what is missing, then write the table."""
    parser = argparse.ArgumentParser(description="predistorters of OpenDPD's DPA captures")
    parser.add_argument("captures", nargs="*", default=list(CAPTURES))
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    results = ResultsFile(HERE / "results.json")
    for capture in asked.captures:
        measure(results, capture, asked.seeds)
    write_table("dpa-dpd", table(results.results))


if __name__ == "__main__":
    main()
