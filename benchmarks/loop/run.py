"""What `dpdrun loop` reaches on the virtual bench of docs/loop.md, by ILC and by predistorters trained in each round.

    make loop-study           (or: python -m benchmarks.loop.run ilc gmp gru --rounds 5)

Each capture has two periods from anywhere, noise at -45 dB, and a gain and phase of its own, as a bench that drifts.
Resumable: the folders are in build/loop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from benchmarks.common import ROOT, ResultsFile, machine, markdown, write_table
from dpdrun.data.synthetic import PRESETS

RESULTS = Path(__file__).parent / "results.json"
FOLDER = ROOT / "build" / "loop"
# Short, as in the example of docs/loop.md: from the second round on each starts from the weights of the one before
GRU_PA = "task: pa\ndata: {source: synthetic/hard}\nmodel: {kind: gru, hidden: 16}\ntrain: {max_steps: 400}\n"
GRU_DPD = GRU_PA.replace("task: pa", "task: dpd\npa: given\ndpd: {learning: ilc, weak_pa: accept}")
METHODS = {
    "ilc": (),
    "gmp": ("--method", "model"),
    "gru": ("--method", "model", "--pa", "pa.yaml", "--dpd", "dpd.yaml"),
}
SCORES = ("nmse_db", "evm_db", "aclr_worse_dbc")


def dpdrun(*words: str) -> None:
    """Run a command of dpdrun in build/loop."""
    subprocess.run([sys.executable, "-m", "dpdrun", *words], cwd=FOLDER, check=True)


def played(folder: Path, number: int) -> Path:
    """Play the waveform of a round on the virtual bench; returns the capture."""
    rng = np.random.default_rng(number)
    u = scipy.io.loadmat(folder / f"waveform-{number}.mat")["x"][:, 0]
    y = np.roll(np.tile(PRESETS["hard"].pa(u), 2), rng.integers(len(u)))
    y = y * 7 * 10 ** (rng.normal() * 0.1 / 20) * np.exp(1j * rng.normal())
    noise = rng.normal(size=len(y)) + 1j * rng.normal(size=len(y))
    path = folder.parent / f"{folder.name}-capture{number}.mat"
    scipy.io.savemat(path, {"y": y + noise * np.std(y) / 2**0.5 * 10 ** (-45 / 20)})
    return path


def rounds_of(folder: Path) -> list[dict[str, Any]]:
    """Return the rounds that were captured."""
    state = json.loads((folder / "loop.json").read_text())
    return [each for each in state["rounds"] if each.get("scores")]


def measure(method: str, rounds: int) -> list[dict[str, float]]:
    """Run a loop for so many rounds; the scores of each."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "pa.yaml").write_text(GRU_PA)
    (FOLDER / "dpd.yaml").write_text(GRU_DPD)
    folder = FOLDER / method
    if not (folder / "loop.json").is_file():
        dpdrun("loop", "start", "synthetic/hard", *METHODS[method], "-o", str(folder))
    while len(done := rounds_of(folder)) < rounds:
        dpdrun("loop", "next", str(folder), str(played(folder, len(done))))
    return [{name: round(each["scores"][name], 3) for name in SCORES} for each in done[:rounds]]


def table(results: dict[str, Any]) -> str:
    """A row for each round."""
    rows = [
        [method, str(number), *(f"{scores[name]:.2f}" for name in SCORES)]
        for method, result in results.items()
        for number, scores in enumerate(result["rounds"])
    ]
    return markdown(["method", "round", "NMSE [dB]", "EVM [dB]", "ACLR, worse side [dBc]"], rows)


def main() -> None:
    """Measure what is missing, then print the table."""
    parser = argparse.ArgumentParser(description="what dpdrun loop reaches on a virtual bench")
    parser.add_argument("methods", nargs="*", default=list(METHODS))
    parser.add_argument("--rounds", type=int, default=5, help="captures of each loop")
    parser.add_argument("--write-table", action="store_true", help="also into docs/results.md, between its markers")
    chosen = parser.parse_args()
    results = ResultsFile(RESULTS)
    for method in chosen.methods:
        if len(results.results.get(method, {}).get("rounds", ())) < chosen.rounds:
            results.add(method, {"rounds": measure(method, chosen.rounds), "machine": machine()})
    print(table(results.results))
    if chosen.write_table:
        write_table("loop", table(results.results))


if __name__ == "__main__":
    main()
