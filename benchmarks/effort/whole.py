"""Peak memory of whole runs, from `dpdrun train` to the report, beside what the estimate says.

    python -m benchmarks.effort.whole

`benchmarks.effort.run` measures steps and a scoring alone. A run also loads what trains and writes, and at its end fits
the gmp that it is compared with; on small models that decides the peak. Each setting here is a real run of three steps,
in a process of its own with one thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine

HERE = Path(__file__).parent
STEPS = 3


def settings() -> dict[str, dict[str, Any]]:
    """Every run by name: a recipe."""
    apa, long, embedded = "opendpd/APA_200MHz", "opendpd/DPA_160MHz", "synthetic/hard"
    found = {}
    for source, d_model, layers, batch in (
        (apa, 8, 1, 8), (apa, 16, 2, 8), (apa, 64, 4, 16), (apa, 256, 2, 8), (embedded, 16, 2, 8), (apa, 128, 2, 8),
        (long, 16, 2, 8), (long, 64, 2, 8),
    ):  # fmt: skip
        model = {"kind": "transformer", "d_model": d_model, "layers": layers, "heads": max(2, d_model // 8)}
        name = f"transformer/{source}/d_model {d_model}/layers {layers}/batch {batch}"
        found[name] = _recipe(source, model | {"window": 32}, batch)
    for source, hidden, layers, batch in ((apa, 8, 1, 8), (embedded, 23, 1, 32), (apa, 64, 2, 32), (long, 23, 1, 8)):
        model = {"kind": "gru", "hidden": hidden, "layers": layers}
        found[f"gru/{source}/hidden {hidden}/layers {layers}/batch {batch}"] = _recipe(source, model, batch)
    return found


def _recipe(source: str, model: dict[str, Any], batch: int) -> dict[str, Any]:
    train = {"batch_size": batch, "frame": 256, "burn_in": 64, "max_steps": STEPS, "eval_every": STEPS}
    return {"task": "pa", "data": {"source": source}, "model": model, "optim": {"lr": 1e-3}, "train": train}


def measured(recipe: dict[str, Any]) -> dict[str, Any]:
    """The peak memory of one run [MiB], and the validation samples that it scored."""
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        path, run = Path(folder) / "recipe.yaml", Path(folder) / "run"
        path.write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "dpdrun", "train", str(path), "--run-dir", str(run)]
        with (Path(folder) / "output").open("w") as output:
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=output, stderr=output
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if not (run / "report.json").is_file():
            raise SystemExit((Path(folder) / "output").read_text(encoding="utf-8"))
        from dpdrun.data.sources import load_capture
        from dpdrun.recipe.schema import DataSection

        val = len(load_capture(DataSection.model_validate(recipe["data"])).val)
        return {
            "machine": machine(),
            "recipe": recipe,
            "peak_mib": round(usage.ru_maxrss / 1024, 1),
            "val_samples": val,
        }


def main() -> None:
    """Measure what is missing."""
    results = ResultsFile(HERE / "whole.json")
    for name, recipe in settings().items():
        if name not in results:
            results.add(name, measured(recipe))
            print(f"{name}: {results.results[name]['peak_mib']:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
