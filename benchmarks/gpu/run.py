"""What a machine with a GPU shows that others cannot: the tests that need one, and samples a second by precision.

    make gpu-check          (or: python -m benchmarks.gpu.run; resumable, under eight minutes)

Each cell is a short `dpdrun train` of an embedded recipe, so nothing is downloaded. Speeds are samples a second as in
report.json, which does not count compilation. The CPU of the machine is a cell too: networks this small may not gain.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.common import ROOT, ResultsFile, machine, markdown, trained

HERE = Path(__file__).parent
TESTS = ("tests/training/test_precision.py", "tests/training/test_guard.py", "tests/training/test_launcher_checks.py")
RECIPES = ("quickstart", "quickstart_gru")
STEPS = 150
# device, precision, compile; fp16 scales its loss, which only a GPU does
CELLS = (
    ("cpu", "fp32", "off"),
    ("cuda", "fp32", "off"),
    ("cuda", "tf32", "off"),
    ("cuda", "bf16", "off"),
    ("cuda", "fp16", "off"),
    ("cuda", "fp32", "on"),
    ("cuda", "bf16", "on"),
)
BATCHES = (32, 512)  # of our recipes, and one that gives a GPU more to do


def speed(recipe: str, device: str, precision: str, compiled: str, batch: int, steps: int = STEPS) -> dict[str, Any]:
    """Train for a few steps; returns the speed and the validation score."""
    settings = (
        f"train.device={device}", f"train.precision={precision}", f"train.compile={compiled}",
        f"train.batch_size={batch}", f"train.max_steps={steps}", f"train.eval_every={steps}",
    )  # fmt: skip
    with trained(ROOT / "recipes" / f"{recipe}.yaml", *settings) as (_, result):
        return {key: result[key] for key in ("command", "samples_per_s", "val_nmse_db", "seconds")}


def gpu() -> str:
    """Return the name of the GPU; ends the program where there is none."""
    import torch

    if not torch.cuda.is_available():
        sys.exit("this needs a GPU that torch finds (torch.cuda.is_available() is False)")
    return torch.cuda.get_device_name()


def table(results: dict[str, Any]) -> str:
    """One row a cell; speeds in thousands of samples a second."""
    rows = []
    for recipe in RECIPES:
        for device, precision, compiled in CELLS:
            cells = [results[f"{recipe}/{device}/{precision}/{compiled}/{batch}"] for batch in BATCHES]
            rows.append([
                f"`{recipe}`", device, precision, compiled, *(f"{each['samples_per_s'] / 1e3:,.0f}" for each in cells),
                f"{cells[0]['val_nmse_db']:.2f}",
            ])  # fmt: skip
    head = ["recipe", "device", "precision", "compiled", *(f"{batch} frames a step" for batch in BATCHES)]
    return markdown([*head, f"validation after {STEPS} steps [dB]"], rows)


def main() -> None:
    """Run the tests, then measure what is missing."""
    name = gpu()
    tests = [str(ROOT / path) for path in TESTS]
    subprocess.run([sys.executable, "-m", "pytest", "-q", "-rs", *tests], cwd=ROOT, check=True)
    results = ResultsFile(HERE / "results.json")
    for recipe in RECIPES:
        for device, precision, compiled in CELLS:
            for batch in BATCHES:
                key = f"{recipe}/{device}/{precision}/{compiled}/{batch}"
                if key not in results:
                    results.add(key, speed(recipe, device, precision, compiled, batch))
                    print(key, results.results[key]["samples_per_s"], flush=True)
    print(f"{table(results.results)}\n\n{name}; {machine()}. Thousands of samples a second, one run a cell.")


if __name__ == "__main__":
    main()
